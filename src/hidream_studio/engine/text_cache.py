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
        self.kept_bytes: TextBytes = {}  # asked before every step, so it is counted but once a prompt

    def get(self, ids: TokenIds) -> TextPrefix:
        """The prefix of these ids, read now if it is not kept."""
        if ids in self._kept:
            self._kept.move_to_end(ids)
            return self._kept[ids]
        prefix = self._kept[ids] = self._encode(ids)
        self.kept_bytes[text_key(ids)] = prefix.nbytes
        while len(self._kept) > 1 and self.nbytes > self._max_bytes:
            oldest, _ = self._kept.popitem(last=False)
            del self.kept_bytes[text_key(oldest)]
        return prefix

    def __contains__(self, ids: TokenIds) -> bool:
        return ids in self._kept

    def clear(self) -> None:
        """Keep none; who draws with one keeps that."""
        self._kept.clear()
        self.kept_bytes.clear()

    @property
    def nbytes(self) -> int:
        return sum(self.kept_bytes.values())
