"""Prompts checked where no torch is: the same answers as the worker's tokenizer gives."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hidream_studio.errors import PromptError
from hidream_studio.job.job import Job, pin
from hidream_studio.job.profiles import HIDREAM_O1_IMAGE
from hidream_studio.job.request import GenerationRequest
from hidream_studio.model.tokens import PromptTokenizer
from hidream_studio.service.prompts import PromptReader, open_prompt_reader


@pytest.fixture(scope="module")
def reader(golden_checkpoint: Path) -> PromptReader:
    found = open_prompt_reader(golden_checkpoint)
    assert found is not None
    return found


def job(prompt: str, negative_prompt: str | None = None) -> Job:
    request = GenerationRequest(prompt="x", seed=1)
    return replace(pin(request, HIDREAM_O1_IMAGE).job, prompt=prompt, negative_prompt=negative_prompt)


@pytest.mark.parametrize(
    "prompt", ["red circle, 赤い丸", " ", "two\nlines", "  blanks  ", "a" * 3000, "é🙂 {{ x }} <b>"]
)
def test_tokens_are_counted_as_the_worker_counts_them(reader: PromptReader, golden_checkpoint: Path, prompt: str):
    worker = PromptTokenizer(golden_checkpoint)
    assert reader.check(job(prompt, prompt)) == (len(worker.encode(prompt)),) * 2
    assert reader.check(job(prompt)) == (len(worker.encode(prompt)), len(worker.encode(" ")))


@pytest.mark.parametrize("token", ["<|tms_token|>", "<|vision_start|>", "<|im_end|>", "<|boi_token|>"])
def test_a_prompt_that_spells_a_special_token_is_refused_by_its_name(reader: PromptReader, token: str):
    with pytest.raises(PromptError, match="must not hold the model's own token") as refusal:
        reader.check(job(f"a cat {token} on a mat"))
    assert refusal.value.field == "prompt"
    assert token in refusal.value.message
    with pytest.raises(PromptError) as refusal:
        reader.check(job("a cat", f"blurry {token}"))
    assert refusal.value.field == "negative_prompt"


def test_the_longest_prompt_that_both_sides_take_is_the_same(reader: PromptReader, golden_checkpoint: Path):
    worker = PromptTokenizer(golden_checkpoint)
    overhead = len(worker.encode("a")) - 1
    longest = "赤" * ((4095 - overhead) // 3)  # three tokens each, and no merges
    reader.check(job(longest))
    worker.encode(longest)
    with pytest.raises(PromptError, match="tokens long; it must be under 4,096") as refusal:
        reader.check(job(longest + "赤"))
    assert refusal.value.limit == 4095
    with pytest.raises(PromptError):
        worker.encode(longest + "赤")


def test_a_folder_without_a_readable_tokenizer_is_left_to_the_worker(tmp_path: Path, golden_checkpoint: Path):
    assert open_prompt_reader(tmp_path) is None
    (tmp_path / "tokenizer.json").write_text("{")
    (tmp_path / "chat_template.jinja").write_text("")
    assert open_prompt_reader(tmp_path) is None


def test_a_chat_template_in_the_tokenizers_config_is_read_too(
    tmp_path: Path, golden_checkpoint: Path, reader: PromptReader
):
    (tmp_path / "tokenizer.json").write_bytes((golden_checkpoint / "tokenizer.json").read_bytes())
    template = (golden_checkpoint / "chat_template.jinja").read_text()
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    other = open_prompt_reader(tmp_path)
    assert other is not None
    assert other.check(job("a cat")) == reader.check(job("a cat"))
