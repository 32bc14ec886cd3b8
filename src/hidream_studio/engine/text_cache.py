"""Prompts that were read, kept as their keys and values: eight seeds of one prompt pay for it once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from hidream_studio.model.transformer import TextPrefix

TokenIds = tuple[int, ...]
TextBytes = dict[int, int]  # by `text_key`: two jobs of one prompt keep it once


def text_key(ids: TokenIds) -> int:
    """What tells a prompt from others for as long as the process runs."""
    return hash(ids)


class TextCache:
    """The least recently used prefix goes first when `max_bytes` are exceeded; the newest always stays."""

    def __init__(self, encode: Callable[[TokenIds], TextPrefix], max_bytes: int) -> None:
        self._encode = encode
        self._max_bytes = max_bytes
        self._kept: OrderedDict[TokenIds, TextPrefix] = OrderedDict()

    def get(self, ids: TokenIds) -> TextPrefix:
        """The prefix of these ids, read now if it is not kept."""
        if ids in self._kept:
            self._kept.move_to_end(ids)
            return self._kept[ids]
        prefix = self._kept[ids] = self._encode(ids)
        while len(self._kept) > 1 and self.nbytes > self._max_bytes:
            self._kept.popitem(last=False)
        return prefix

    def __contains__(self, ids: TokenIds) -> bool:
        return ids in self._kept

    def clear(self) -> None:
        """Keep none; who draws with one keeps that."""
        self._kept.clear()

    @property
    def kept_bytes(self) -> TextBytes:
        return {text_key(ids): prefix.nbytes for ids, prefix in self._kept.items()}

    @property
    def nbytes(self) -> int:
        return sum(prefix.nbytes for prefix in self._kept.values())
