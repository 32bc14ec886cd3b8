"""A prompt as token ids, the way upstream writes it. Knows nothing of tensors.

Tokenizer and chat template are read with `tokenizers` and jinja2 alone, which takes a tenth of a second; transformers'
AutoTokenizer, which takes seconds to import, reads only folders whose files do not tell everything by themselves.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from hidream_studio.errors import CheckpointError, PromptError
from hidream_studio.job.request import MAX_PROMPT_TOKENS

BOI_TOKEN = "<|boi_token|>"  # begin of image; upstream inference.py add_special_tokens
TMS_TOKEN = "<|tms_token|>"  # its embedding is replaced by the timestep's
UNCONDITIONAL_PROMPT = " "  # upstream models/pipeline.py: one space, not the empty string
NAMED_TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token")  # of tokenizer_config.json; templates may name them


class Reader(Protocol):
    """What a tokenizer's files say."""

    @property
    def specials(self) -> dict[int, str]:
        """Special tokens by id."""

    def ids(self, text: str) -> list[int]:
        """Tokens of a text as it stands."""

    def chat(self, prompt: str) -> str:
        """A user's message as the chat template writes it, up to where the answer begins."""


class PromptTokenizer:
    """Reads tokenizer and chat template of a checkpoint folder.

    Raises
    ------
    CheckpointError
        when the folder's tokenizer cannot be read, lacks the O1 tokens or has no chat template.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self._reader: Reader = _read_files(folder) or _TransformersReader(folder)
        except CheckpointError:
            raise
        except Exception as error:  # transformers and tokenizers raise bare ones for broken files
            first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise CheckpointError(f"the tokenizer in {folder} cannot be read: {first_line}") from error
        for token in (BOI_TOKEN, TMS_TOKEN):
            if token not in self._reader.specials.values():
                raise CheckpointError(f"the tokenizer in {folder} has no {token}: it is no HiDream-O1 tokenizer")

    def encode(self, prompt: str, *, field: str = "prompt") -> list[int]:
        """The ids of the whole text sequence: chat template, prompt, boi and, last, the tms token.

        `field` is the request's field that is named in an error.

        Raises
        ------
        PromptError
            when the prompt itself spells a special token, or is too long.
        """
        for token_id in self._reader.ids(prompt):
            if token_id in self._reader.specials:
                token = self._reader.specials[token_id]
                raise PromptError(f"{field} must not hold the model's own token {token}", field=field)
        ids = self._reader.ids(self._reader.chat(prompt) + BOI_TOKEN + TMS_TOKEN)
        if len(ids) >= MAX_PROMPT_TOKENS:
            raise PromptError(
                f"{field} is {len(ids):,} tokens long; it must be under {MAX_PROMPT_TOKENS:,}",
                field=field,
                limit=MAX_PROMPT_TOKENS - 1,
            )
        return ids


class _FilesReader:
    def __init__(self, tokenizer: Tokenizer, template: jinja2.Template, named: dict[str, str]) -> None:
        self._tokenizer = tokenizer
        self._template = template
        self._named = named
        self.specials = _specials(tokenizer.get_added_tokens_decoder())

    def ids(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def chat(self, prompt: str) -> str:
        messages = [{"role": "user", "content": prompt}]
        return self._template.render(messages=messages, add_generation_prompt=True, **self._named)


class _TransformersReader:
    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        # AutoProcessor would want torchvision; text needs no more than this
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        if not self._tokenizer.chat_template:
            raise CheckpointError(f"the tokenizer in {folder} has no chat template")
        self.specials = _specials(self._tokenizer.added_tokens_decoder)

    def ids(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False))

    def chat(self, prompt: str) -> str:
        messages = [{"role": "user", "content": prompt}]
        return str(self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


def _specials(added: dict[int, Any]) -> dict[int, str]:
    return {
        token_id: token.content
        for token_id, token in added.items()
        if token.special or token.content in (BOI_TOKEN, TMS_TOKEN)
    }


def _read_files(folder: Path) -> Reader | None:
    """None where transformers might make more of the files than they say by themselves."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        return None
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    declared = {int(key): value["content"] for key, value in config.get("added_tokens_decoder", {}).items()}
    if any(tokenizer.id_to_token(token_id) != content for token_id, content in declared.items()):
        return None  # transformers adds these while it loads
    file = folder / "chat_template.jinja"
    source = file.read_text(encoding="utf-8") if file.is_file() else config.get("chat_template")
    if not source:
        raise CheckpointError(f"the tokenizer in {folder} has no chat template")
    if not isinstance(source, str):
        return None  # several templates by name
    named = {name: _content(config[name]) for name in NAMED_TOKENS if config.get(name)}
    try:
        # as transformers compiles chat templates; its own tags and functions it alone has
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        reader = _FilesReader(tokenizer, environment.from_string(source), named)
        reader.chat("a prompt")
    except jinja2.TemplateError:
        return None
    return reader


def _content(token: str | dict[str, str]) -> str:
    return token if isinstance(token, str) else token["content"]
