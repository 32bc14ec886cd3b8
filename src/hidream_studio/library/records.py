"""What the library gives and takes, as frozen values. Knows nothing of SQL or files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hidream_studio.image.metadata import RestoredSettings
from hidream_studio.job.adjustment import Adjustment
from hidream_studio.job.job import Job
from hidream_studio.job.record import JobError, State, Timings
from hidream_studio.job.request import Lane


@dataclass(frozen=True)
class JobRecord:
    """A job and how far it came. Times of day are ISO 8601 in UTC (`job.clock.utc_now`)."""

    id: str
    state: State
    lane: Lane
    job: Job
    created_at: str
    queue_order: float  # smaller is sooner
    request: dict[str, Any] = field(default_factory=dict)  # as it was asked
    adjustments: tuple[Adjustment, ...] = ()
    attempts: int = 0  # times that a worker took it up
    estimate_s: float | None = None
    started_at: str | None = None
    finished_at: str | None = None
    elapsed_s: float | None = None  # work, without waiting
    queued_s: float | None = None  # waiting before the first step
    timings: Timings | None = None
    error: JobError | None = None
    image_id: str | None = None
    sheet_id: str | None = None


@dataclass(frozen=True)
class ImageDraft:
    """What is known of a picture when its job has ended; `Library.store_image` makes it an ImageRecord."""

    id: str
    job_id: str
    job: Job
    lane: Lane
    created_at: str
    elapsed_s: float
    model: str
    fingerprint: str
    numeric_path: str
    timings: Timings = field(default_factory=Timings)
    adjustments: tuple[Adjustment, ...] = ()
    estimate_s: float | None = None
    queued_s: float | None = None
    sheet_id: str | None = None


@dataclass(frozen=True)
class ImageRecord:
    """A picture of the library."""

    id: str
    job_id: str
    job: Job  # its `parent_id`, the picture that this one finishes, may have been deleted since
    lane: Lane
    created_at: str
    elapsed_s: float
    model: str
    fingerprint: str
    numeric_path: str
    timings: Timings
    adjustments: tuple[Adjustment, ...]
    estimate_s: float | None
    sheet_id: str | None
    family_id: str  # equal for all pictures that were made from one another; stays when some of them are deleted
    favourite: bool
    rejected_at: str | None
    file: str  # relative to the data folder, with slashes
    bytes: int  # of the PNG


@dataclass(frozen=True)
class ImportResult:
    """What a dropped picture brings back: its settings, and the picture itself where this library has it."""

    settings: RestoredSettings
    record: ImageRecord | None
