"""A job and how far it came, as the library keeps it and as clients see it. Knows neither SQL nor HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from hidream_studio.job.adjustment import Adjustment
from hidream_studio.job.job import Job
from hidream_studio.job.request import Lane

State = Literal["queued", "running", "finished", "failed", "cancelled"]
ENDED: frozenset[State] = frozenset({"finished", "failed", "cancelled"})

Seconds = Annotated[float, Field(ge=0, description="s")]


@dataclass(frozen=True)
class JobError:
    code: str  # an errors.StudioError code
    message: str  # one sentence for the user


@dataclass(frozen=True)
class Timings:
    """Where the time of one picture went, in s. Waiting is not in it."""

    text_s: float = 0.0  # tokenising and the text's K/V; 0 when they were kept
    steps_s: float = 0.0
    decode_s: float = 0.0  # tensor to pixels
    png_s: float = 0.0

    @property
    def elapsed_s(self) -> float:
        return self.text_s + self.steps_s + self.decode_s + self.png_s


@dataclass(frozen=True)
class JobRecord:
    """A job and how far it came. Times of day are ISO 8601 in UTC (`job.clock.utc_now`)."""

    id: str
    state: State
    lane: Lane
    job: Job
    created_at: str
    queue_order: float = 0.0  # smaller is sooner
    request: dict[str, Any] = field(default_factory=dict)  # as it was asked
    adjustments: tuple[Adjustment, ...] = ()
    attempts: int = 0  # times that a worker took it up
    estimate_s: Seconds | None = None  # of the work alone, as told when it was queued
    started_at: str | None = None
    finished_at: str | None = None
    elapsed_s: Seconds | None = None  # work, without waiting
    queued_s: Seconds | None = None  # waiting before the first step
    timings: Timings | None = None
    error: JobError | None = None
    image_id: str | None = None
    sheet_id: str | None = None
    unreadable: str | None = None  # why `job` is not wholly what its row says: a newer version wrote it


@dataclass(frozen=True)
class JobView(JobRecord):
    """A job as a client sees it (`GET /api/jobs/{id}`): what is kept of it, and where it stands now."""

    steps: int = 0  # that are taken; keep-composition takes fewer than its job names
    step: int = 0  # steps done
    position: int | None = None  # 1 is next; only while queued
    wait_s: Seconds | None = None  # estimated time until it ends, from now; while queued or running
