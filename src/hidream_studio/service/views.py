"""What `Studio` answers with: frozen values, and the one way to write them as JSON. Decides nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hidream_studio.image.intake import FORMATS, MAX_PIXELS, MIN_SIDE_PX
from hidream_studio.job.adjustment import Adjustment
from hidream_studio.job.record import JobView, Seconds
from hidream_studio.job.references import MAX_REFERENCES
from hidream_studio.job.request import MAX_PICTURE_BYTES, Lane
from hidream_studio.job.values import to_json
from hidream_studio.job.workload import ModelShape

# of a JobView and its job: what is the queue's own, and what is told under another name
NOT_TOLD = frozenset(
    {"job", "request", "queue_order", "attempts", "started_at", "finished_at", "requested_width", "requested_height"}
)


@dataclass(frozen=True)
class SheetView:
    """The jobs of one sheet, in the order in which they will be drawn: sizes, steps, guidance, and seeds innermost."""

    id: str
    jobs: tuple[JobView, ...]


@dataclass(frozen=True)
class Preview:
    """How a running job's picture looks after `step` steps."""

    step: int  # 1 is the first
    data: bytes
    media_type: str


@dataclass(frozen=True)
class Estimate:
    """What a request would cost and become. Seconds are of the work alone; nine in ten fall between low and high."""

    seconds: Seconds
    low_s: Seconds
    high_s: Seconds
    basis: str  # what it rests on, for the user
    adjustments: tuple[Adjustment, ...]
    width: int  # px, as it would be rendered
    height: int
    requested_width: int
    requested_height: int
    steps: int  # that would be taken; keep-composition takes the schedule's tail alone
    guidance_scale: float
    lane: Lane
    drain_s: Seconds  # work that is ahead of it in the queue now


@dataclass(frozen=True)
class QueueSummary:
    waiting: int
    running: int
    drain_s: Seconds  # estimated, until nothing is left
    paused: tuple[Lane, ...]
    limit: int  # of waiting jobs
    positions: dict[str, int] = field(default_factory=dict)  # of waiting jobs; 1 is next


@dataclass(frozen=True)
class SheetEstimate:
    """What all pictures of a sheet would cost together."""

    pictures: int
    seconds: float  # of work, for all of them
    sizes: tuple[Estimate, ...]  # of each size, with the first of the steps and guidance scales


@dataclass(frozen=True)
class ReferenceLimits:
    """What is taken of pictures as input."""

    max: int = MAX_REFERENCES  # of one request
    max_bytes: int = MAX_PICTURE_BYTES  # of a file
    max_pixels: int = MAX_PIXELS
    min_side_px: int = MIN_SIDE_PX
    formats: tuple[str, ...] = FORMATS


@dataclass(frozen=True)
class Health:
    """Whether a picture can be drawn now; if not, how far it is, or why it never will."""

    ready: bool
    phase: str  # "starting", a phase of loading, "warming up", "ready", "restarting", "failed", "stopped"
    fraction: float | None  # of the phase, 0 to 1, where it is known
    reason: str | None  # why it failed, or why it restarts
    device: str | None  # None until the worker has said so
    precision: str | None
    model: str
    profile: str
    fingerprint: str | None
    numeric_path: str | None
    memory_used_mib: float | None  # of the device; None on a CPU
    memory_total_mib: float | None
    worker_restarts: int
    worker_pid: int | None
    shape: ModelShape | None = None  # of the model; None until its checkpoint is here and can be read
    parameters: int | None = None
    torch: str | None = None  # the worker's version
    driver: str | None = None  # of an NVIDIA GPU
    references: ReferenceLimits | None = None  # None: the model takes no pictures as input


def job_to_dict(view: JobView) -> dict[str, Any]:
    """A job as JSON has it, in `GET /api/jobs/{id}` and in events alike. Absent values are left out.

    Every field of the record and of its job is told, but those of `NOT_TOLD`.
    """
    job = view.job
    told = to_json(view)
    values: dict[str, Any] = told | {name: value for name, value in told["job"].items() if name not in told}
    values |= {"requested": {"width": job.requested_width, "height": job.requested_height}, "cfg": job.cfg}
    return {name: _rounded(name, value) for name, value in values.items() if value is not None and name not in NOT_TOLD}


def queue_to_dict(summary: QueueSummary) -> dict[str, Any]:
    """A queue's summary as JSON has it."""
    values: dict[str, Any] = to_json(summary)
    return values | {"drain_s": round(summary.drain_s, 2)}


def _rounded(name: str, value: Any) -> Any:
    """Seconds, also those inside, to a tenth of a millisecond."""
    if isinstance(value, dict):
        return {inner: _rounded(inner, one) for inner, one in value.items()}
    return round(value, 4) if name.endswith("_s") and isinstance(value, float) else value
