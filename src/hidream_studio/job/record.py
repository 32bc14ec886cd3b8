"""A job and how far it came, as the library keeps it and as clients see it. Knows neither SQL nor HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hidream_studio.job.adjustment import Adjustment
from hidream_studio.job.job import Job
from hidream_studio.job.request import Lane

State = Literal["queued", "running", "finished", "failed", "cancelled"]
ENDED: frozenset[State] = frozenset({"finished", "failed", "cancelled"})


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
class JobView:
    """A job as a client sees it (`GET /api/jobs/{id}`)."""

    id: str
    state: State
    lane: Lane
    job: Job
    steps: int
    created_at: str  # ISO 8601, UTC
    position: int | None = None  # 1 is next; only while queued
    step: int = 0  # steps done
    estimate_s: float | None = None  # of the work alone, as told when it was queued
    wait_s: float | None = None  # estimated time until it ends, from now; while queued or running
    elapsed_s: float | None = None  # without waiting
    queued_s: float | None = None  # time waited before the first step
    image_id: str | None = None
    sheet_id: str | None = None
    error: JobError | None = None
    adjustments: tuple[Adjustment, ...] = ()
    timings: Timings | None = None
