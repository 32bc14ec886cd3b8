"""The last few thousand events, numbered, so that a reader that was away misses nothing. Knows nothing of jobs."""

from __future__ import annotations

import asyncio
import bisect
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

EventType = Literal["queued", "running", "preview", "finished", "failed", "cancelled", "queue", "worker", "image"]

CAPACITY = 4096


@dataclass(frozen=True)
class Event:
    """One message of `GET /api/events`. `seq` rises by one; a reconnect asks for what came after its last."""

    seq: int
    type: EventType
    data: dict[str, Any] = field(default_factory=dict)


class EventLog:
    """Numbers rise over restarts when `first` is taken from the clock: those of an earlier log are known as old.

    Of events with one key only the newest is kept: readers that are slow, or away, miss no more than its forerunners.
    """

    def __init__(self, first: int, *, capacity: int = CAPACITY) -> None:
        self._events: list[Event] = []  # numbers rise
        self._by_key: dict[str, int] = {}
        self._key_of: dict[int, str] = {}
        self._capacity = capacity
        self._last = first - 1
        self._lost = first - 1  # the last number that can no longer be given
        self._news = asyncio.Event()
        self._closed = False

    @property
    def last(self) -> int:
        """The number of the newest event."""
        return self._last

    def publish(self, type_: EventType, data: dict[str, Any], *, key: str | None = None) -> Event:
        """Tell all readers; an earlier event of the same key is forgotten."""
        self._last += 1
        event = Event(self._last, type_, data)
        if key is not None:
            self.forget(key)
            self._by_key[key] = event.seq
            self._key_of[event.seq] = key
        self._events.append(event)
        if len(self._events) > self._capacity:
            self._drop_oldest()
        self._wake()
        return event

    def forget(self, key: str) -> None:
        """Drop the event of that key: it tells of something that is over."""
        seq = self._by_key.pop(key, None)
        if seq is not None:
            del self._key_of[seq]
            del self._events[self._index(seq)]

    def follow(self, after: int | None, snapshot: Callable[[], dict[str, Any]]) -> AsyncIterator[Event]:
        """Events from now on, or all after the number `after`; a `queue` event of `snapshot()` where those are lost."""
        return self._follow(self._last if after is None else after, snapshot)

    def close(self) -> None:
        """End all readers, after what they have not read yet."""
        self._closed = True
        self._wake()

    async def _follow(self, cursor: int, snapshot: Callable[[], dict[str, Any]]) -> AsyncIterator[Event]:
        while True:
            news = self._news
            if not self._lost <= cursor <= self._last:
                cursor = self._last
                yield Event(cursor, "queue", {"reset": True, **snapshot()})
            # one at a time: while this event is sent, newer ones may take the place of those that follow
            while (index := self._index(cursor + 1)) < len(self._events):
                if cursor < self._lost:
                    break
                event = self._events[index]
                cursor = event.seq
                yield event
            if cursor < self._lost:
                continue
            if self._closed:
                return
            await news.wait()

    def _index(self, seq: int) -> int:
        """Of the first event with that number or a later one."""
        return bisect.bisect_left(self._events, seq, key=lambda event: event.seq)

    def _drop_oldest(self) -> None:
        oldest = self._events.pop(0)
        self._lost = oldest.seq
        key = self._key_of.pop(oldest.seq, None)
        if key is not None:
            del self._by_key[key]

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()
