"""A prompt, and pictures before it, as token ids, by what a tokenizer's files say. Knows no torch, no transformers.

The one reader of a chat template: the worker draws by its ids, and the web side counts them before a job is queued.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, Protocol

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from hidream_studio.errors import CheckpointError, PromptError
from hidream_studio.job.request import MAX_PROMPT_TOKENS

BOI_TOKEN = "<|boi_token|>"  # begin of image; upstream inference.py add_special_tokens
TMS_TOKEN = "<|tms_token|>"  # its embedding is replaced by the timestep's
PICTURE_TOKEN = "<|image_pad|>"  # one for each picture in the template's text, then one for each of its vision tokens
PICTURE_END_TOKEN = "<|vision_end|>"
UNCONDITIONAL_PROMPT = " "  # upstream models/pipeline.py: one space, not the empty string
NAMED_TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token")  # of tokenizer_config.json; templates may name them
DEFAULT_TEMPLATE = "default"  # of several by name; transformers' rule


class Reader(Protocol):
    """What a tokenizer's files say."""

    @property
    def specials(self) -> dict[int, str]:
        """Special tokens by id."""

    def ids(self, text: str) -> list[int]:
        """Tokens of a text as it stands."""

    def chat(self, message: str | list[dict[str, str]]) -> str:
        """A user's message as the chat template writes it, up to where the answer begins."""


def prompt_ids(reader: Reader, prompt: str, *, picture_tokens: Sequence[int] = (), field: str = "prompt") -> list[int]:
    """The ids of the whole text sequence: chat template, pictures, prompt, boi and, last, the tms token.

    Parameters
    ----------
    picture_tokens
        for each picture that stands before the prompt, how many vision tokens it has.
    field
        the request's field that is named in an error.

    Raises
    ------
    PromptError
        when the prompt itself spells a special token, the template refuses it, or the sequence is too long.
    CheckpointError
        when the chat template has no place for pictures.
    """
    for token_id in reader.ids(prompt):
        if token_id in reader.specials:
            raise PromptError(f"{field} must not hold the model's own token {reader.specials[token_id]}", field=field)
    try:
        text = reader.chat(_message(prompt, len(picture_tokens)))
    except (jinja2.TemplateError, TypeError) as error:
        if picture_tokens:
            raise CheckpointError(f"the chat template of this checkpoint takes no pictures: {error}") from error
        raise PromptError(f"the chat template of this checkpoint refuses {field}: {error}", field=field) from error
    ids = reader.ids(text + BOI_TOKEN + TMS_TOKEN)
    if picture_tokens:
        ids = _with_pictures(reader, ids, picture_tokens)
    if len(ids) >= MAX_PROMPT_TOKENS:
        of_pictures = f" with {sum(picture_tokens):,} of its pictures" if picture_tokens else ""
        raise PromptError(
            f"{field} is {len(ids):,} tokens long{of_pictures}; it must be under {MAX_PROMPT_TOKENS:,}",
            field=field,
            limit=MAX_PROMPT_TOKENS - 1,
        )
    return ids


def read_files(folder: Path) -> Reader | None:
    """The reader of a checkpoint folder; None where transformers might make more of the files than they say themselves.

    Raises
    ------
    CheckpointError
        when there is no chat template.
    Exception
        whatever `tokenizers` raises for broken files.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        return None
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    config = _config(folder / "tokenizer_config.json")
    declared = {int(key): value["content"] for key, value in config.get("added_tokens_decoder", {}).items()}
    if any(tokenizer.id_to_token(token_id) != content for token_id, content in declared.items()):
        return None  # transformers adds these while it loads
    source = _template(folder, config)
    named = {name: _content(config[name]) for name in NAMED_TOKENS if config.get(name)}
    try:
        # as transformers compiles chat templates; its own tags and further functions it alone has
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.globals["raise_exception"] = _refuse
        reader = _FilesReader(tokenizer, environment.from_string(source), named)
        reader.chat("a prompt")
    except jinja2.TemplateError:
        return None
    return reader


def specials_of(added: dict[int, Any]) -> dict[int, str]:
    """The tokens that no prompt may spell, among those that were added to a vocabulary."""
    return {
        token_id: token.content
        for token_id, token in added.items()
        if token.special or token.content in (BOI_TOKEN, TMS_TOKEN)
    }


class _FilesReader:
    def __init__(self, tokenizer: Tokenizer, template: jinja2.Template, named: dict[str, str]) -> None:
        self._tokenizer = tokenizer
        self._template = template
        self._named = named
        self.specials = specials_of(tokenizer.get_added_tokens_decoder())

    def ids(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def chat(self, message: str | list[dict[str, str]]) -> str:
        messages = [{"role": "user", "content": message}]
        return self._template.render(messages=messages, add_generation_prompt=True, **self._named)


def _message(prompt: str, pictures: int) -> str | list[dict[str, str]]:
    """One user message, pictures first; without any it is the text alone, as upstream sends it."""
    if not pictures:
        return prompt
    return [{"type": "image"}] * pictures + [{"type": "text", "text": prompt}]


def _with_pictures(reader: Reader, ids: list[int], picture_tokens: Sequence[int]) -> list[int]:
    """`ids` with each picture's one token repeated as often as that picture has vision tokens."""
    mark = reader.ids(PICTURE_TOKEN)
    written = ids.count(mark[0]) if len(mark) == 1 else 0
    if written != len(picture_tokens):
        raise CheckpointError(
            f"the chat template of this checkpoint writes {written} {PICTURE_TOKEN} for {len(picture_tokens)} pictures"
        )
    counts = iter(picture_tokens)
    return [one for token in ids for one in ([token] * next(counts) if token == mark[0] else [token])]


def _config(path: Path) -> dict[str, Any]:
    values = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} holds no JSON object")
    return values


def _template(folder: Path, config: dict[str, Any]) -> str:
    file = folder / "chat_template.jinja"
    source = file.read_text(encoding="utf-8") if file.is_file() else config.get("chat_template")
    if isinstance(source, list):  # several by name
        source = {one["name"]: one["template"] for one in source}.get(DEFAULT_TEMPLATE)
    if not source:
        raise CheckpointError(f"the tokenizer in {folder} has no chat template")
    return str(source)


def _content(token: str | dict[str, str]) -> str:
    return token if isinstance(token, str) else token["content"]


def _refuse(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)
