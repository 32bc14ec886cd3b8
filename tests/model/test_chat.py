"""One reader of tokenizer and chat template: what it reads is what transformers reads, pictures included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hidream_studio.errors import CheckpointError, PromptError
from hidream_studio.model.chat import prompt_ids, read_files
from hidream_studio.model.tokens import PromptTokenizer
from hidream_studio.service.prompts import open_prompt_reader

WITH_BREAK = (
    "{{ bos_token }}{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}"
    "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)
PICKY = "{% if 'war' in messages[0].content %}{{ raise_exception('only peace') }}{% endif %}{{ messages[0].content }}"


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values), encoding="utf-8")


def named_templates(folder: Path) -> None:
    template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    (folder / "chat_template.jinja").unlink()
    named = [{"name": "tool_use", "template": "no"}, {"name": "default", "template": template}]
    change(folder / "tokenizer_config.json", chat_template=named)


def names_a_token(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text(WITH_BREAK, encoding="utf-8")
    change(folder / "tokenizer_config.json", bos_token={"__type": "AddedToken", "content": "<|im_start|>"})


def cut_short(folder: Path) -> None:
    truncation = {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0}
    change(folder / "tokenizer.json", truncation=truncation)


def padded(folder: Path) -> None:
    padding = {
        "strategy": {"Fixed": 64}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0,
        "pad_token": "<|endoftext|>",
    }  # fmt: skip
    change(folder / "tokenizer.json", padding=padding)


@pytest.mark.parametrize("made", [named_templates, names_a_token, cut_short, padded], ids=lambda made: made.__name__)
@pytest.mark.parametrize("prompt", ["a red heart", "  two\nlines, 赤い丸 🙂 " * 20])
def test_worker_web_side_and_transformers_read_the_same(checkpoint_copy: Path, made: Any, prompt: str) -> None:
    made(checkpoint_copy)
    ids = PromptTokenizer(checkpoint_copy).encode(prompt)
    reader, web = read_files(checkpoint_copy), open_prompt_reader(checkpoint_copy)
    assert reader is not None and web is not None
    assert prompt_ids(reader, prompt) == ids
    assert web._count(prompt, "prompt") == len(ids)
    assert by_transformers(checkpoint_copy, prompt) == ids


def by_transformers(folder: Path, content: str | list[dict[str, str]]) -> list[int]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    messages = [{"role": "user", "content": content}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return list(tokenizer.encode(text + "<|boi_token|><|tms_token|>", add_special_tokens=False))


@pytest.mark.parametrize("picture_tokens", [(1,), (144, 144), (64, 77, 96)])
def test_pictures_stand_before_the_prompt_each_with_its_vision_tokens(
    checkpoint_copy: Path, picture_tokens: tuple[int, ...]
) -> None:
    tokenizer = PromptTokenizer(checkpoint_copy)
    ids = tokenizer.encode("two cats", picture_tokens=picture_tokens)
    pictures = [{"type": "image"}] * len(picture_tokens)
    short = by_transformers(checkpoint_copy, [*pictures, {"type": "text", "text": "two cats"}])
    start, pad, end = (tokenizer._reader.ids(f"<|{name}|>")[0] for name in ("vision_start", "image_pad", "vision_end"))
    assert short.count(pad) == len(picture_tokens)
    assert [one for one in ids if one != pad] == [one for one in short if one != pad]
    begins = [place for place, one in enumerate(ids) if one == start]
    ends = [place for place, one in enumerate(ids) if one == end]
    assert tuple(b - a - 1 for a, b in zip(begins, ends, strict=True)) == picture_tokens


def test_pictures_count_against_the_longest_prompt(checkpoint_copy: Path) -> None:
    with pytest.raises(PromptError, match="4,000 of its pictures; it must be under 4,096"):
        PromptTokenizer(checkpoint_copy).encode("a " * 100, picture_tokens=(2000, 2000))


def test_a_template_without_a_place_for_pictures_says_so(checkpoint_copy: Path) -> None:
    (checkpoint_copy / "chat_template.jinja").write_text(WITH_BREAK.replace("{{ bos_token }}", ""), encoding="utf-8")
    with pytest.raises(CheckpointError, match="pictures"):
        PromptTokenizer(checkpoint_copy).encode("a cat", picture_tokens=(4,))


def test_what_the_template_refuses_is_an_error_of_the_prompt_on_both_sides(checkpoint_copy: Path) -> None:
    (checkpoint_copy / "chat_template.jinja").write_text(PICKY, encoding="utf-8")
    web = open_prompt_reader(checkpoint_copy)
    assert web is not None
    for read in (PromptTokenizer(checkpoint_copy).encode, lambda text: web._count(text, "prompt")):
        read("a cat")
        with pytest.raises(PromptError, match="only peace") as refusal:
            read("a war")
        assert refusal.value.field == "prompt"


def test_what_only_transformers_can_read_is_left_to_the_worker(checkpoint_copy: Path) -> None:
    (checkpoint_copy / "chat_template.jinja").write_text("{{ strftime_now('%Y') }}{{ messages[0].content }}")
    assert open_prompt_reader(checkpoint_copy) is None
    assert PromptTokenizer(checkpoint_copy).encode("a cat")
