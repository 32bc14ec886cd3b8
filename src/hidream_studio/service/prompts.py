"""A prompt's tokens, counted where no torch is: so that one that cannot be drawn is refused before it is queued."""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from hidream_studio.errors import PromptError
from hidream_studio.job.job import Job
from hidream_studio.job.request import MAX_PROMPT_TOKENS

IMAGE_TOKENS = ("<|boi_token|>", "<|tms_token|>")  # end every prompt; upstream inference.py
UNCONDITIONAL_PROMPT = " "  # upstream models/pipeline.py: one space, where there is no negative prompt
COUNTS_KEPT = 512


class PromptReader:
    """The tokenizer and chat template of one checkpoint."""

    def __init__(self, tokenizer: Tokenizer, template: jinja2.Template) -> None:
        self._tokenizer = tokenizer
        self._template = template
        added = tokenizer.get_added_tokens_decoder()
        self._special = {
            token_id: token.content
            for token_id, token in added.items()
            if token.special or token.content in IMAGE_TOKENS
        }
        self._counts: OrderedDict[str, int] = OrderedDict()

    def check(self, job: Job) -> tuple[int, int]:
        """Tokens of the prompt and of what the unconditional branch reads, both with the chat template.

        Raises
        ------
        PromptError
            when one of them spells a special token, or is too long; names the field.
        """
        negative = job.negative_prompt or UNCONDITIONAL_PROMPT
        return self._count(job.prompt, "prompt"), self._count(negative, "negative_prompt")

    def _count(self, text: str, field: str) -> int:
        count = self._counts.get(text)
        if count is None:
            count = self._read(text, field)
            self._counts[text] = count
            if len(self._counts) > COUNTS_KEPT:
                self._counts.popitem(last=False)
        return count

    def _read(self, text: str, field: str) -> int:
        for token_id in self._tokenizer.encode(text, add_special_tokens=False).ids:
            if token_id in self._special:
                raise PromptError(f"{field} must not hold the model's own token {self._special[token_id]}", field=field)
        whole = self._template.render(messages=[{"role": "user", "content": text}], add_generation_prompt=True)
        count = len(self._tokenizer.encode(whole + "".join(IMAGE_TOKENS), add_special_tokens=False).ids)
        if count >= MAX_PROMPT_TOKENS:
            raise PromptError(
                f"{field} is {count:,} tokens long; it must be under {MAX_PROMPT_TOKENS:,}",
                field=field,
                limit=MAX_PROMPT_TOKENS - 1,
            )
        return count


def open_prompt_reader(folder: Path) -> PromptReader | None:
    """The reader of a checkpoint folder; None where it cannot be read, which the worker will explain when it loads."""
    try:
        template = _read_template(folder)
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        # as transformers compiles chat templates
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        return PromptReader(tokenizer, environment.from_string(template))
    except Exception:  # noqa: BLE001  tokenizers raises bare Exceptions for broken files
        return None


def _read_template(folder: Path) -> str:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    template = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))["chat_template"]
    if not isinstance(template, str):
        raise TypeError("several chat templates")
    return template
