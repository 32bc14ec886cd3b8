"""Which job goes to the worker next: lanes, order, limit. Pure state; knows neither processes nor disks nor time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

from hidream_studio.errors import QueueFullError
from hidream_studio.job.request import Lane
from hidream_studio.scheduler.ticket import Ticket

LANES: tuple[Lane, ...] = ("draft", "final")
HELD_PER_LANE = 2  # by the worker: the one that it draws, and the next, so that it never waits for us
HELD_IN_FRONT = 2  # of those moved to the front, which go beside

Item = TypeVar("Item", bound=Ticket)


class JobQueue(Generic[Item]):
    """All jobs that are in memory, each with its stage; what is asked here is told by the stages alone."""

    def __init__(self, limit: int) -> None:
        self.limit = limit  # of jobs that have not begun
        self.jobs: dict[str, Item] = {}
        self._paused: set[Lane] = set()
        self._last_order = 0.0

    @property
    def waiting(self) -> int:
        """Jobs that have not begun, wherever they are held."""
        return sum(job.not_begun for job in self.jobs.values())

    @property
    def paused(self) -> tuple[Lane, ...]:
        return tuple(lane for lane in LANES if lane in self._paused)

    def check_room(self, count: int, *, retry_after_s: float) -> None:
        """Raises QueueFullError when `count` more would pass the limit."""
        waiting = self.waiting
        if waiting + count > self.limit:
            room = max(self.limit - waiting, 0)
            paused = f"; {' and '.join(self.paused)} jobs are paused" if self._paused else ""
            raise QueueFullError(
                f"the queue has room for {room} more job{'' if room == 1 else 's'}, {count} were asked for; "
                f"at most {self.limit} may wait{paused}",
                limit=self.limit,
                retry_after_s=retry_after_s,
            )

    def next_order(self) -> float:
        """The order of a job that comes now: after all that were ever here."""
        self._last_order += 1.0
        return self._last_order

    def add(self, job: Item) -> None:
        self.jobs[job.id] = job
        self._last_order = max(self._last_order, abs(job.order))

    def remove(self, job_id: str) -> None:
        self.jobs.pop(job_id, None)

    def move_to_front(self, job: Item) -> None:
        """Before all others, also those moved there earlier."""
        job.order = -self.next_order()

    def pause(self, lanes: Iterable[Lane]) -> list[Item]:
        """Let no more jobs of these lanes go. Returns those that the worker holds and has not begun."""
        self._paused.update(lanes)
        return [job for job in self.jobs.values() if job.stage == "held" and job.lane in self._paused]

    def resume(self, lanes: Iterable[Lane]) -> None:
        self._paused.difference_update(lanes)

    def next_to_send(self) -> Item | None:
        """What the worker should be given now, if anything."""
        room = self._room()
        able = (
            job
            for job in self.jobs.values()
            if job.stage == "waiting" and job.lane not in self._paused and room[_place(job)] > 0
        )
        return min(able, key=lambda job: job.key, default=None)

    def in_turn(self) -> list[Item]:
        """All whose steps are still to be taken, in the order of their turns, as far as that can be told now."""
        return sorted((job for job in self.jobs.values() if job.in_line), key=lambda job: job.key)

    def _room(self) -> Mapping[str, int]:
        room = {lane: HELD_PER_LANE for lane in LANES} | {"front": HELD_IN_FRONT}
        for job in self.jobs.values():
            if job.in_worker:
                room[_place(job)] -= 1
        return room


def _place(job: Ticket) -> str:
    return "front" if job.in_front else job.lane
