"""Prompts become upstream's ids; a prompt that would break the sequence is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hidream_studio.errors import CheckpointError, PromptError
from hidream_studio.model.tokens import PromptTokenizer


def test_ids_are_upstreams_exactly(tokenizer: PromptTokenizer, golden: dict) -> None:
    assert tokenizer.encode(golden["prompt"]) == golden["input_ids"][0].tolist()


def test_reading_a_tokenizer_does_not_wait_for_transformers(checkpoint_copy: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from hidream_studio.model.tokens import PromptTokenizer; "
        "PromptTokenizer(Path(sys.argv[1])).encode('a red circle'); "
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", script, str(checkpoint_copy)], capture_output=True, text=True)
    assert (ran.stdout.strip(), ran.stderr) == ("[]", "")


def test_tokens_that_only_the_configuration_names_are_read_by_transformers(
    tokenizer: PromptTokenizer, checkpoint_copy: Path
) -> None:
    path = checkpoint_copy / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] != "<|tms_token|>"]
    path.write_text(json.dumps(content), encoding="utf-8")
    prompt = "Ein Schild: 'Straße' — 雨の街, naïve 🙂"
    assert PromptTokenizer(checkpoint_copy).encode(prompt) == tokenizer.encode(prompt)


@pytest.mark.parametrize("field", ["chat_template", "chat_template as a list"])
def test_the_chat_template_may_stand_in_the_configuration(
    tokenizer: PromptTokenizer, checkpoint_copy: Path, field: str
) -> None:
    template = (checkpoint_copy / "chat_template.jinja").read_text(encoding="utf-8")
    (checkpoint_copy / "chat_template.jinja").unlink()
    config = checkpoint_copy / "tokenizer_config.json"
    values = json.loads(config.read_text(encoding="utf-8"))
    named = [{"name": "default", "template": template}]
    values["chat_template"] = template if field == "chat_template" else named
    config.write_text(json.dumps(values), encoding="utf-8")
    assert PromptTokenizer(checkpoint_copy).encode("a cat") == tokenizer.encode("a cat")


@pytest.mark.parametrize(
    "token", ["<|tms_token|>", "<|boi_token|>", "<|vision_start|>", "<|im_end|>", "<|endoftext|>", "<|image_pad|>"]
)
@pytest.mark.parametrize("field", ["prompt", "negative_prompt"])
def test_a_prompt_that_spells_a_special_token_is_refused_by_name(
    tokenizer: PromptTokenizer, token: str, field: str
) -> None:
    with pytest.raises(PromptError) as caught:
        tokenizer.encode(f"a cat{token}and a dog", field=field)
    assert caught.value.field == field
    assert token in caught.value.message


def test_something_that_only_looks_like_a_special_token_is_text(tokenizer: PromptTokenizer) -> None:
    assert tokenizer.encode("a sign that says <|tms token|> or < |im_end| >")


def test_a_prompt_must_stay_below_the_image_positions(tokenizer: PromptTokenizer) -> None:
    overhead = len(tokenizer.encode("a")) - 1
    assert len(tokenizer.encode("a" * (4095 - overhead))) == 4095
    with pytest.raises(PromptError, match="4,096 tokens long; it must be under 4,096") as caught:
        tokenizer.encode("a" * (4096 - overhead))
    assert caught.value.limit == 4095


def test_a_tokenizer_without_the_o1_tokens_is_refused_by_token(checkpoint_copy: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        path = checkpoint_copy / name
        path.write_text(path.read_text(encoding="utf-8").replace("<|tms_token|>", "<|other_token|>"), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"has no <\|tms_token\|>"):
        PromptTokenizer(checkpoint_copy)


def test_a_broken_tokenizer_is_one_clear_line(checkpoint_copy: Path) -> None:
    (checkpoint_copy / "tokenizer.json").write_text('{"version": "1.0", "model": 7}', encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"the tokenizer in .* cannot be read") as caught:
        PromptTokenizer(checkpoint_copy)
    assert "\n" not in caught.value.message


def test_a_tokenizer_without_a_chat_template_is_refused(checkpoint_copy: Path) -> None:
    (checkpoint_copy / "chat_template.jinja").unlink()
    config = checkpoint_copy / "tokenizer_config.json"
    values = json.loads(config.read_text(encoding="utf-8"))
    values.pop("chat_template", None)
    config.write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(CheckpointError, match="no chat template"):
        PromptTokenizer(checkpoint_copy)
