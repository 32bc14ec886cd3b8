"""What `Studio` answers with: frozen values, and the one way to write them as JSON. Decides nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hidream_studio.job.adjustment import Adjustment
from hidream_studio.job.events import JobView
from hidream_studio.job.request import Lane
from hidream_studio.job.workload import ModelShape


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

    seconds: float
    low_s: float
    high_s: float
    basis: str  # what it rests on, for the user
    adjustments: tuple[Adjustment, ...]
    width: int  # px, as it would be rendered
    height: int
    requested_width: int
    requested_height: int
    steps: int  # that would be taken; keep-composition takes the schedule's tail alone
    guidance_scale: float
    lane: Lane
    drain_s: float  # work that is ahead of it in the queue now


@dataclass(frozen=True)
class QueueSummary:
    waiting: int
    running: int
    drain_s: float  # estimated, until nothing is left
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


def job_to_dict(view: JobView) -> dict[str, Any]:
    """A job as JSON has it, in `GET /api/jobs/{id}` and in events alike. Absent values are left out."""
    job = view.job
    values: dict[str, Any] = {
        "id": view.id,
        "state": view.state,
        "lane": view.lane,
        "position": view.position,
        "step": view.step,
        "steps": view.steps,
        "estimate_s": _rounded(view.estimate_s),
        "wait_s": _rounded(view.wait_s),
        "elapsed_s": _rounded(view.elapsed_s),
        "queued_s": _rounded(view.queued_s),
        "image_id": view.image_id,
        "sheet_id": view.sheet_id,
        "error": None if view.error is None else {"code": view.error.code, "message": view.error.message},
        "created_at": view.created_at,
        "prompt": job.prompt,
        "negative_prompt": job.negative_prompt,
        "seed": job.seed,
        "width": job.width,
        "height": job.height,
        "requested": {"width": job.requested_width, "height": job.requested_height},
        "guidance_scale": job.guidance_scale,
        "cfg": job.cfg,
        "recipe": job.recipe,
        "sampler": job.sampler,
        "preset": job.preset,
        "noise": job.noise,
        "parent_id": job.parent_id,
        "finish_mode": job.finish_mode,
        "strength": job.strength,
        "adjustments": [adjustment.model_dump() for adjustment in view.adjustments],
    }
    if view.timings is not None:
        timings = view.timings
        values["timings"] = {
            "text_s": _rounded(timings.text_s),
            "steps_s": _rounded(timings.steps_s),
            "decode_s": _rounded(timings.decode_s),
            "png_s": _rounded(timings.png_s),
        }
    return {name: value for name, value in values.items() if value is not None}


def queue_to_dict(summary: QueueSummary) -> dict[str, Any]:
    """A queue's summary as JSON has it."""
    return {
        "waiting": summary.waiting,
        "running": summary.running,
        "drain_s": round(summary.drain_s, 2),
        "paused": list(summary.paused),
        "limit": summary.limit,
        "positions": dict(summary.positions),
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
