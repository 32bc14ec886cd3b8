"""How long one job keeps a device busy, however its steps are interleaved with others'. Knows nothing of jobs.

A GPU works while the host goes on, so its time is taken by marks in its own stream, and read when the work is done.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Stopwatch:
    """Sums the device's time over all `running` blocks."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._host_s = 0.0
        self._marks: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        if self._device.type != "cuda":
            start_s = time.perf_counter()
            yield
            self._host_s += time.perf_counter() - start_s
            return
        start, end = _mark(), _mark()
        stream = torch.cuda.current_stream(self._device)
        start.record(stream)
        yield
        end.record(stream)
        self._marks.append((start, end))

    def seconds(self) -> float:
        """The sum, in s; waits for the last mark."""
        if self._marks:
            self._marks[-1][1].synchronize()
        marked_ms: float = sum(start.elapsed_time(end) for start, end in self._marks)
        return self._host_s + marked_ms / 1e3


def _mark() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
