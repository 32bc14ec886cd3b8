"""A job as it is kept in memory: its stage, its record, its progress, and who waits for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from hidream_studio.job.clock import utc_now
from hidream_studio.job.job import Job
from hidream_studio.job.record import JobRecord, JobView, State
from hidream_studio.job.values import shared_fields
from hidream_studio.scheduler.ticket import Stage, Ticket
from hidream_studio.service.variations import planned_steps
from hidream_studio.service.views import Preview

STATE_AT: Mapping[Stage, State] = {
    "waiting": "queued", "held": "queued", "begun": "running", "drawn": "running", "storing": "running",
}  # fmt: skip


class ActiveJob(Ticket):
    """Changed only on the event loop. Each change is returned as fields of the record, for the library to follow."""

    def __init__(self, record: JobRecord, step_s: float) -> None:
        super().__init__(record.id, record.lane, record.queue_order, step_s)
        self.kept = record  # as the library knew it first, with all changes but those of stage and order
        self.steps = planned_steps(record.job)  # that it takes; keep-composition takes fewer than its job names
        self.done = 0  # steps
        self.begun_s: float | None = None  # on the loop's clock
        self.told_s = float("-inf")  # when its progress was last published
        self.cancel_asked = False
        self.preview: Preview | None = None
        self.waiters: set[asyncio.Future[JobView]] = set()
        self._end: State | None = None  # how it ended

    @property
    def state(self) -> State:
        return self._end or STATE_AT[self.stage]

    @property
    def record(self) -> JobRecord:
        """As the library has it, or is about to have it."""
        return replace(self.kept, state=self.state, queue_order=self.order)

    @property
    def job(self) -> Job:
        return self.kept.job

    @property
    def ended(self) -> bool:
        return self.stage == "ended"

    @property
    def needs_draft(self) -> bool:
        """Whether it goes on from the pixels of another picture."""
        return self.job.finish_mode == "keep-composition" and self.job.parent_id is not None

    @property
    def needs_files(self) -> bool:
        """Whether anything from disk travels with it."""
        return self.needs_draft or bool(self.job.references)

    @property
    def remaining_s(self) -> float:
        """Estimated work that is left."""
        whole_s = self.kept.estimate_s or 0.0
        return whole_s * (1 - self.done / self.steps) if self.steps else 0.0

    @property
    def elapsed_s(self) -> float | None:
        """Since its first step; None before."""
        return None if self.begun_s is None else _now_s() - self.begun_s

    def begun(self) -> dict[str, Any]:
        """Its first step begins."""
        self.begun_s = _now_s()
        # by the wall clock: it may have been asked of an earlier server
        waited_s = max(time.time() - datetime.fromisoformat(self.kept.created_at).timestamp(), 0.0)
        return self._change(started_at=utc_now(), queued_s=waited_s, attempts=self.kept.attempts + 1)

    def put_back(self, *, attempts: int) -> dict[str, Any]:
        """To the state before its first step."""
        if self.stage != "waiting":
            self.enter("waiting")
        self.done = 0
        self.begun_s = None
        self.preview = None
        return self._change(started_at=None, queued_s=None, attempts=attempts)

    def end(self, state: State, **changes: Any) -> dict[str, Any]:
        """The last change."""
        self.enter("ended")
        self._end = state
        return self._change(**{"finished_at": utc_now(), "elapsed_s": self.elapsed_s, "error": None, **changes})

    def progress_due(self, interval_s: float) -> bool:
        """Whether its progress was last told so long ago; it is told now, then."""
        now_s = _now_s()
        if now_s - self.told_s < interval_s:
            return False
        self.told_s = now_s
        return True

    def view(self, *, position: int | None = None, wait_s: float | None = None) -> JobView:
        """As a client sees it."""
        return replace(
            view_of(self.record),
            steps=self.steps,
            step=self.done,
            position=position,
            wait_s=None if self.ended else wait_s,
            elapsed_s=self.elapsed_s if self.state == "running" else self.record.elapsed_s,
        )

    def _change(self, **changes: Any) -> dict[str, Any]:
        self.kept = replace(self.kept, **changes)
        return {"state": self.state, **changes}


def view_of(record: JobRecord) -> JobView:
    """A record as a client sees it."""
    steps = planned_steps(record.job)
    done = steps if record.state == "finished" else 0
    return JobView(**shared_fields(JobRecord, record), steps=steps, step=done)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
