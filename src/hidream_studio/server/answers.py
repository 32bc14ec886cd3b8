"""What the HTTP interface answers with, field by field. Values come from views and records; computes nothing."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field

from hidream_studio.job.adjustment import Adjustment
from hidream_studio.job.profiles import ModelProfile, Preset, Recipe, RecipeDefaults, Sampler
from hidream_studio.job.record import JobView, State
from hidream_studio.job.request import FinishMode, Lane, Noise
from hidream_studio.job.workload import ModelShape

Seconds = Annotated[float, Field(ge=0, description="s")]


class Size(BaseModel):
    width: int
    height: int


class TimingsAnswer(BaseModel):
    """Where the time of one picture went, in s."""

    text_s: float
    steps_s: float
    decode_s: float
    png_s: float


class JobErrorAnswer(BaseModel):
    code: str
    message: str


class JobAnswer(BaseModel):
    """A job in its state now."""

    id: str
    state: State
    lane: Lane
    position: int | None = None  # 1 is next; while queued
    step: int = 0  # steps done
    steps: int
    estimate_s: Seconds | None = None
    wait_s: Seconds | None = None
    elapsed_s: Seconds | None = None
    queued_s: Seconds | None = None
    image_id: str | None = None
    sheet_id: str | None = None
    error: JobErrorAnswer | None = None
    created_at: str
    prompt: str
    negative_prompt: str | None = None
    seed: int
    width: int
    height: int
    requested: Size
    guidance_scale: float
    cfg: bool
    recipe: Recipe
    sampler: Sampler
    preset: str | None = None
    noise: Noise
    parent_id: str | None = None
    finish_mode: FinishMode | None = None
    strength: float | None = None
    adjustments: list[Adjustment] = []
    timings: TimingsAnswer | None = None


class JobsAnswer(BaseModel):
    jobs: list[JobAnswer]
    next: str | None = None  # `before` of the next page; absent on the last


class SheetAnswer(BaseModel):
    id: str
    jobs: list[JobAnswer]


class QueueAnswer(BaseModel):
    waiting: int
    running: int
    drain_s: Seconds
    paused: list[Lane]
    limit: int
    positions: dict[str, int] = {}


class ClearedAnswer(BaseModel):
    cancelled: int
    queue: QueueAnswer


class PictureAnswer(BaseModel):
    """A finished picture: its base64 PNG in `image`, or where to get it in `url`."""

    id: str
    seed: int
    width: int
    height: int
    requested: Size
    adjustments: list[Adjustment]
    steps: int
    guidance_scale: float
    cfg: bool
    elapsed_s: Seconds  # without waiting
    queued_s: Seconds
    timings: TimingsAnswer
    image: str | None = None
    url: str | None = None


class ImageAnswer(BaseModel):
    """A picture of the library."""

    id: str
    job_id: str | None = None
    sheet_id: str | None = None
    parent_id: str | None = None
    finish_mode: FinishMode | None = None
    job: dict[str, Any]  # everything that decided its pixels
    width: int
    height: int
    requested: Size
    seed: int
    steps: int
    guidance_scale: float
    created_at: str
    elapsed_s: float | None = None
    estimate_s: float | None = None
    timings: TimingsAnswer | None = None
    favourite: bool
    rejected: bool
    rejected_at: str | None = None
    adjustments: list[Adjustment] = []
    model: str | None = None
    fingerprint: str | None = None
    numeric_path: str | None = None
    bytes: int
    file: str  # path of the PNG on this server
    thumb: str  # path of its thumbnail


class ImageDetailAnswer(ImageAnswer):
    lineage: list[ImageAnswer]  # the whole family, the first draft first


class ImagesAnswer(BaseModel):
    images: list[ImageAnswer]
    next: str | None = None


class RestoredAnswer(BaseModel):
    """Settings that a picture brought back, ready to be sent as a request."""

    request: dict[str, Any]
    source: str  # the program that wrote them
    notes: list[str]  # what the file cannot say, or what of it cannot be used, one sentence each


class ImportAnswer(BaseModel):
    image: ImageAnswer | None = None  # where the picture was one of ours and is now in the library
    settings: RestoredAnswer | None = None


class ResolvedAnswer(BaseModel):
    """What a request would become."""

    width: int
    height: int
    requested: Size
    seed: int | None = None  # absent where it would be random
    steps: int
    guidance_scale: float
    cfg: bool
    recipe: Recipe
    sampler: Sampler
    shift: float
    noise_scale: float
    noise: Noise
    snap_resolution: bool
    preset: str | None = None
    profile: str
    lane: Lane
    adjustments: list[Adjustment]


class EstimateAnswer(BaseModel):
    """What a request would cost; nine times in ten it takes between low_s and high_s."""

    seconds: Seconds
    low_s: Seconds
    high_s: Seconds
    basis: str
    drain_s: Seconds  # work that is ahead of it in the queue
    width: int
    height: int
    requested: Size
    steps: int
    guidance_scale: float
    lane: Lane
    adjustments: list[Adjustment]


class ProfileAnswer(BaseModel):
    id: str
    name: str
    native_side: int
    buckets: list[tuple[int, int]]
    trained_sides: tuple[int, int]
    trained_area: tuple[int, int]
    default_recipe: Recipe
    recipes: dict[Recipe, RecipeDefaults]
    examples: list[str]

    @classmethod
    def of(cls, profile: ModelProfile) -> ProfileAnswer:
        return cls.model_validate(profile.model_dump(exclude={"presets"}))


class PresetsAnswer(BaseModel):
    profile: ProfileAnswer
    presets: list[Preset]


class MemoryAnswer(BaseModel):
    used_mib: float | None = None
    total_mib: float | None = None


class HealthAnswer(BaseModel):
    """Whether a picture can be drawn now; if not, how far it is, or why it never will."""

    ready: bool
    phase: str
    fraction: float | None = None
    reason: str | None = None
    version: str
    model: str
    profile: str
    device: str | None = None
    precision: str | None = None
    fingerprint: str | None = None
    numeric_path: str | None = None
    shape: ModelShape | None = None  # of the model, as its config.json tells
    parameters: int | None = None
    torch: str | None = None
    driver: str | None = None  # of an NVIDIA GPU
    gpu_memory: MemoryAnswer | None = None
    worker_restarts: int
    worker_pid: int | None = None
    queue: QueueAnswer


def page_of(name: str, items: list[dict[str, Any]], limit: int) -> dict[str, Any]:
    """A page of a list; `next`, its last id, is there where more may follow."""
    return {name: items} | ({"next": items[-1]["id"]} if len(items) == limit else {})


def picture_answer(view: JobView, **where: str) -> PictureAnswer:
    """The answer for a finished job; `where` is its `image` or its `url`."""
    job, timings = view.job, view.timings
    split = {name: round(getattr(timings, name), 4) if timings else 0.0 for name in TimingsAnswer.model_fields}
    return PictureAnswer(
        id=view.image_id or view.id,
        seed=job.seed,
        width=job.width,
        height=job.height,
        requested=Size(width=job.requested_width, height=job.requested_height),
        adjustments=list(view.adjustments),
        steps=view.steps,
        guidance_scale=job.guidance_scale,
        cfg=job.cfg,
        elapsed_s=round(view.elapsed_s or 0.0, 4),
        queued_s=round(view.queued_s or 0.0, 4),
        timings=TimingsAnswer(**split),
        **where,
    )
