"""What is told of jobs and of the queue, in which words and how often. Decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from hidream_studio.errors import WorkerError
from hidream_studio.job.record import JobView
from hidream_studio.service.active import ActiveJob
from hidream_studio.service.event_log import EventLog
from hidream_studio.service.lineup import Lineup
from hidream_studio.service.views import Preview, job_to_dict, queue_to_dict

PROGRESS_INTERVAL_S = 0.1  # between two events of one job's steps
QUEUE_INTERVAL_S = 0.2  # between two events of the queue


class News:
    """`lineup` gives every job's place as it is when it is asked."""

    def __init__(self, events: EventLog, lineup: Callable[[], Lineup]) -> None:
        self._events = events
        self._lineup = lineup
        self._queue_event: asyncio.TimerHandle | None = None
        self._closed = False

    def queued(self, jobs: Iterable[ActiveJob]) -> list[JobView]:
        """Their views, which were told."""
        lineup = self._lineup()
        views = [lineup.view(active) for active in jobs]
        for view in views:
            self._events.publish("queued", job_to_dict(view))
        self.queue_changed()
        return views

    def begun(self, active: ActiveJob) -> None:
        self._events.publish("running", job_to_dict(active.view()))
        self.queue_changed()

    def progress(self, active: ActiveJob) -> None:
        if active.progress_due(PROGRESS_INTERVAL_S) or active.done == active.steps:
            shown = {
                "id": active.id, "state": "running", "lane": active.lane, "step": active.done, "steps": active.steps,
                "estimate_s": active.kept.estimate_s, "remaining_s": round(active.remaining_s, 3),
            }  # fmt: skip
            self._events.publish("running", shown, key=f"running {active.id}")

    def preview(self, active: ActiveJob, preview: Preview) -> None:
        shown = {"id": active.id, "step": preview.step, "steps": active.steps, "media_type": preview.media_type}
        self._events.publish("preview", shown, key=f"preview {active.id}")

    def put_back(self, jobs: list[ActiveJob]) -> None:
        for active in jobs:
            self._forget_progress(active)
        self.queued(jobs)

    def ended(self, active: ActiveJob) -> JobView:
        """The view that was told, to those who wait for this job too."""
        self._forget_progress(active)
        view = active.view()
        self._events.publish(view.state, job_to_dict(view))
        for waiter in active.waiters:
            if not waiter.done():
                waiter.set_result(view)
        self.queue_changed()
        return view

    def disappoint(self, jobs: Iterable[ActiveJob], reason: str) -> None:
        """Nobody need wait any longer."""
        for active in jobs:
            for waiter in active.waiters:
                if not waiter.done():
                    waiter.set_exception(WorkerError(reason))

    def queue_changed(self) -> None:
        """Tell it soon, and once for many changes."""
        if self._queue_event is None and not self._closed:
            self._queue_event = asyncio.get_running_loop().call_later(QUEUE_INTERVAL_S, self._tell_queue)

    def close(self) -> None:
        """Tell no more of the queue."""
        self._closed = True
        if self._queue_event is not None:
            self._queue_event.cancel()

    def _tell_queue(self) -> None:
        self._queue_event = None
        self._events.publish("queue", queue_to_dict(self._lineup().summary()), key="queue")

    def _forget_progress(self, active: ActiveJob) -> None:
        self._events.forget(f"running {active.id}")
        self._events.forget(f"preview {active.id}")
