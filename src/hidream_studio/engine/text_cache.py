"""Prompts and pictures that were read, kept as their keys and values: eight seeds of one prompt pay for it once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from torch import Tensor

from hidream_studio.model.transformer import TextPrefix
from hidream_studio.model.vision import Grid

TokenIds = tuple[int, ...]
LorasKey = tuple[tuple[str, float], ...]  # hash and strength of each, sorted
TextBytes = dict[int, int]  # by `text_key`: two jobs of one prompt keep it once


@dataclass(frozen=True)
class ReadPictures:
    """What some pictures leave behind for every prompt, branch and seed. Equal keys are equal pixels."""

    key: Hashable
    ids: TokenIds  # the prompt's first ones, up to the end of its last picture
    counts: tuple[int, ...]  # of each picture's tokens
    prefix: TextPrefix  # of ids
    patches: Tensor  # (1, R, hidden), what stands after the target's in each step
    grids: tuple[Grid, ...]  # of each picture's patches

    @property
    def nbytes(self) -> int:
        return self.prefix.nbytes + self.patches.nbytes


@dataclass(frozen=True)
class PromptBeside:
    """The rest of a prompt that begins with pictures."""

    ids: TokenIds
    pictures: ReadPictures

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PromptBeside) and (self.ids, self.pictures.key) == (other.ids, other.pictures.key)

    def __hash__(self) -> int:
        return hash((self.ids, self.pictures.key))


@dataclass(frozen=True)
class UnderLoras:
    """A prompt, or the rest of one, read with LoRAs beside the weights."""

    prompt: TokenIds | PromptBeside
    loras: LorasKey  # not empty


PromptKey = TokenIds | PromptBeside | UnderLoras


class Sized(Protocol):
    @property
    def nbytes(self) -> int: ...


Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value", bound=Sized)


def text_key(key: Hashable) -> int:
    """What tells a prompt, or pictures, from others for as long as the process runs."""
    return hash(key)


class TextCache(Generic[Key, Value]):
    """The least recently used value goes first when `max_bytes` are exceeded; the newest always stays."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[Key, Value] = OrderedDict()
        self._counted: TextBytes | None = None  # what is kept, until that changes: it is asked before every step

    def get(self, key: Key, encode: Callable[[Key], Value]) -> Value:
        """What was read of this key; read now, by `encode`, if it is not kept."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        value = self._kept[key] = encode(key)
        self._counted = None
        while len(self._kept) > 1 and self.nbytes > self._max_bytes:
            self._kept.popitem(last=False)
            self._counted = None
        return value

    def __contains__(self, key: Key) -> bool:
        return key in self._kept

    def clear(self) -> None:
        """Keep none; who draws with one keeps that."""
        self._kept.clear()
        self._counted = None

    @property
    def kept_bytes(self) -> TextBytes:
        """With the pictures that prompts stand on, each once."""
        if self._counted is None:
            self._counted = {text_key(key): value.nbytes for key, value in self._kept.items()}
            for key in self._kept:
                prompt = key.prompt if isinstance(key, UnderLoras) else key
                if isinstance(prompt, PromptBeside):
                    self._counted[text_key(prompt.pictures.key)] = prompt.pictures.nbytes
        return self._counted

    @property
    def nbytes(self) -> int:
        return sum(self.kept_bytes.values())
