"""A job that has not ended, as it is kept in memory: its record, its progress, and who waits for it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from hidream_studio.job.clock import utc_now
from hidream_studio.job.job import Job
from hidream_studio.job.record import ENDED, JobView
from hidream_studio.library.records import JobRecord
from hidream_studio.service.variations import planned_steps
from hidream_studio.service.views import Preview


@dataclass
class ActiveJob:
    """Changed only on the event loop. `record` is what the library has, or is about to have."""

    record: JobRecord
    steps: int  # that it takes; keep-composition takes fewer than its job names
    step_s: float  # expected, of one step
    init_image: str | None = None  # the path of the draft that it goes on from
    done: int = 0  # steps
    drawn: bool = False  # its place in the worker is free; the worker writes the file
    storing: bool = False  # the file is here, the library writes it
    begun_s: float | None = None  # on the monotonic clock
    told_s: float = 0.0  # when its progress was last published
    cancel_asked: bool = False
    preview: Preview | None = None
    waiters: set[asyncio.Future[JobView]] = field(default_factory=set)

    @classmethod
    def of(cls, record: JobRecord, step_s: float) -> ActiveJob:
        return cls(record, planned_steps(record.job), step_s)

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def job(self) -> Job:
        return self.record.job

    @property
    def ended(self) -> bool:
        return self.record.state in ENDED

    @property
    def remaining_s(self) -> float:
        """Estimated work that is left."""
        whole_s = self.record.estimate_s or 0.0
        return whole_s * (1 - self.done / self.steps) if self.steps else 0.0

    @property
    def waited_s(self) -> float:
        """Since it was asked for, by the wall clock: it may have been asked of an earlier server."""
        return max(time.time() - datetime.fromisoformat(self.record.created_at).timestamp(), 0.0)

    def change(self, **changes: Any) -> None:
        self.record = replace(self.record, **changes)

    @property
    def elapsed_s(self) -> float | None:
        """Since its first step; None before."""
        return None if self.begun_s is None else time.monotonic() - self.begun_s

    def begun(self, *, attempts: int) -> None:
        """Its first step begins."""
        self.begun_s = time.monotonic()
        self.change(state="running", started_at=utc_now(), queued_s=self.waited_s, attempts=attempts)

    def progress_due(self, interval_s: float) -> bool:
        """Whether its progress was last told so long ago; it is told now, then."""
        now_s = time.monotonic()
        if now_s - self.told_s < interval_s:
            return False
        self.told_s = now_s
        return True

    def put_back(self, *, attempts: int) -> None:
        """To the state before its first step."""
        self.change(state="queued", started_at=None, queued_s=None, attempts=attempts)
        self.done = 0
        self.drawn = False
        self.begun_s = None
        self.preview = None

    def view(self, *, position: int | None = None, wait_s: float | None = None) -> JobView:
        """As a client sees it."""
        view = view_of(self.record)
        running = self.record.state == "running"
        return replace(
            view,
            steps=self.steps,
            step=self.done,
            position=position,
            wait_s=None if self.ended else wait_s,
            elapsed_s=self.elapsed_s if running else view.elapsed_s,
        )


def view_of(record: JobRecord) -> JobView:
    """A record as a client sees it."""
    steps = planned_steps(record.job)
    return JobView(
        id=record.id,
        state=record.state,
        lane=record.lane,
        job=record.job,
        steps=steps,
        created_at=record.created_at,
        step=steps if record.state == "finished" else 0,
        estimate_s=record.estimate_s,
        elapsed_s=record.elapsed_s,
        queued_s=record.queued_s,
        image_id=record.image_id,
        sheet_id=record.sheet_id,
        error=record.error,
        adjustments=record.adjustments,
        timings=record.timings,
    )
