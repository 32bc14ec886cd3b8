"""Which job goes to the worker next: lanes, order, limit. Pure state; knows neither processes nor disks nor time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from hidream_studio.errors import QueueFullError
from hidream_studio.job.request import Lane

LANES: tuple[Lane, ...] = ("draft", "final")
HELD_PER_LANE = 2  # by the worker: the one that it draws, and the next, so that it never waits for us
HELD_IN_FRONT = 2  # of those moved to the front, which go beside


@dataclass(frozen=True)
class Ticket:
    """A job's place. A smaller order goes first in its lane; one below 0 was moved to the front, before all others."""

    job_id: str
    lane: Lane
    order: float

    @property
    def in_front(self) -> bool:
        return self.order < 0

    @property
    def key(self) -> tuple[bool, bool, float]:
        return not self.in_front, self.lane != "draft", self.order


class JobQueue:
    """Tickets of all jobs that have not ended: waiting here, or held by the worker (begun or not)."""

    def __init__(self, limit: int) -> None:
        self.limit = limit  # of jobs that have not begun
        self._tickets: dict[str, Ticket] = {}
        self._held: set[str] = set()
        self._begun: set[str] = set()
        self._paused: set[Lane] = set()
        self._last_order = 0.0

    @property
    def waiting(self) -> int:
        """Jobs that have not begun, wherever they are held."""
        return len(self._tickets) - len(self._begun)

    @property
    def paused(self) -> tuple[Lane, ...]:
        return tuple(lane for lane in LANES if lane in self._paused)

    def check_room(self, count: int, *, retry_after_s: float) -> None:
        """Raises QueueFullError when `count` more would pass the limit."""
        if self.waiting + count > self.limit:
            raise QueueFullError(
                f"the queue has room for {max(self.limit - self.waiting, 0)} more jobs, {count} were asked for; "
                f"at most {self.limit} may wait",
                limit=self.limit,
                retry_after_s=retry_after_s,
            )

    def next_order(self) -> float:
        """The order of a job that comes now: after all that were ever here."""
        self._last_order += 1.0
        return self._last_order

    def add(self, ticket: Ticket) -> None:
        self._tickets[ticket.job_id] = ticket
        self._last_order = max(self._last_order, abs(ticket.order))

    def remove(self, job_id: str) -> None:
        self._tickets.pop(job_id, None)
        self._held.discard(job_id)
        self._begun.discard(job_id)

    def is_held(self, job_id: str) -> bool:
        return job_id in self._held

    def has_begun(self, job_id: str) -> bool:
        return job_id in self._begun

    def hold(self, job_id: str) -> None:
        """The worker has it."""
        self._held.add(job_id)

    def begin(self, job_id: str) -> None:
        """Its first step is taken."""
        self._begun.add(job_id)

    def put_back(self, job_id: str) -> None:
        """The worker has it no more; it waits at its old place."""
        self._held.discard(job_id)
        self._begun.discard(job_id)

    def move_to_front(self, job_id: str) -> Ticket:
        """Before all others, also those moved there earlier."""
        ticket = replace(self._tickets[job_id], order=-self.next_order())
        self._tickets[job_id] = ticket
        return ticket

    def pause(self, lanes: Iterable[Lane]) -> list[str]:
        """Let no more jobs of these lanes go. Returns those that the worker holds and has not begun."""
        self._paused.update(lanes)
        return [
            ticket.job_id
            for ticket in self._tickets.values()
            if ticket.lane in self._paused and ticket.job_id in self._held - self._begun
        ]

    def resume(self, lanes: Iterable[Lane]) -> None:
        self._paused.difference_update(lanes)

    def next_to_send(self) -> Ticket | None:
        """What the worker should be given now, if anything."""
        room = self._room()
        able = (
            ticket
            for job_id, ticket in self._tickets.items()
            if job_id not in self._held and ticket.lane not in self._paused and room[_place(ticket)] > 0
        )
        return min(able, key=lambda ticket: ticket.key, default=None)

    def in_turn(self) -> list[Ticket]:
        """All tickets, in the order of their turns, as far as that can be told now."""
        return sorted(self._tickets.values(), key=lambda ticket: ticket.key)

    def _room(self) -> Mapping[str, int]:
        room = {lane: HELD_PER_LANE for lane in LANES} | {"front": HELD_IN_FRONT}
        for job_id in self._held:
            room[_place(self._tickets[job_id])] -= 1
        return room


def _place(ticket: Ticket) -> str:
    return "front" if ticket.in_front else ticket.lane
