"""How long one job keeps a device busy, however its steps are interleaved with others'. Knows nothing of jobs.

A GPU works while the host goes on, so its time is taken by marks in its own stream, and read when the work is done.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hidream_studio.engine.devices import Device, Mark


class Stopwatch:
    """Sums the device's time over all `running` blocks."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._marks: list[tuple[Mark, Mark]] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        start = self._device.mark(timed=True)
        yield
        self._marks.append((start, self._device.mark(timed=True)))

    def seconds(self) -> float:
        """The sum, in s; waits for the last mark."""
        if self._marks:
            self._marks[-1][1].wait()
        return sum(end.seconds_since(start) for start, end in self._marks)
