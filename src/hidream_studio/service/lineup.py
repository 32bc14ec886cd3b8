"""Who is before whom, and until when: places in the queue and estimated times. Pure; changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from hidream_studio.job.record import JobView
from hidream_studio.scheduler.queue import JobQueue
from hidream_studio.service.active import ActiveJob
from hidream_studio.service.views import QueueSummary


@dataclass(frozen=True)
class Place:
    position: int | None  # 1 is next; None: it has begun
    wait_s: float | None  # estimated until its end; None: its lane is paused


DRAWN = Place(None, 0.0)  # its file is being written


class Lineup:
    """The places of all jobs that have not ended, as they are now."""

    def __init__(self, queue: JobQueue[ActiveJob]) -> None:
        self._queue = queue
        self._places: dict[str, Place] = {}
        ahead_s, position = 0.0, 0
        paused = queue.paused
        for active in queue.in_turn():
            begun = active.stage == "begun"
            position += not begun
            goes_on = begun or active.lane not in paused
            if goes_on:
                ahead_s += active.remaining_s
            self._places[active.id] = Place(None if begun else position, ahead_s if goes_on else None)
        self._drain_s = ahead_s

    def view(self, active: ActiveJob) -> JobView:
        place = self._places.get(active.id, DRAWN)
        return active.view(position=place.position, wait_s=place.wait_s)

    def views(self) -> list[JobView]:
        """The oldest first."""
        return [self.view(active) for active in sorted(self._queue.jobs.values(), key=lambda active: active.id)]

    def summary(self) -> QueueSummary:
        places = self._places.items()
        return QueueSummary(
            waiting=self._queue.waiting,
            running=sum(active.state == "running" for active in self._queue.jobs.values()),
            drain_s=self._drain_s,
            paused=self._queue.paused,
            limit=self._queue.limit,
            positions={job_id: place.position for job_id, place in places if place.position is not None},
        )
