"""What the HTTP interface answers with. Fields come from the values that are told; computes nothing."""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import MISSING, fields
from dataclasses import Field as DataclassField
from typing import Any, TypeVar

from pydantic import BaseModel, Field, create_model

from hidream_studio.image.metadata import RestoredSettings
from hidream_studio.job.adjustment import Adjustment
from hidream_studio.job.job import Job
from hidream_studio.job.profiles import ModelProfile, Preset, Recipe, RecipeDefaults
from hidream_studio.job.record import JobView, Seconds, Timings
from hidream_studio.job.request import FinishMode, Lane
from hidream_studio.library.records import ImageRecord, Upload
from hidream_studio.service.views import NOT_TOLD, Estimate, Health, QueueSummary

Answer = TypeVar("Answer", bound=type[BaseModel])
SIZE_AS_ASKED = frozenset({"requested_width", "requested_height"})  # told as `requested`


def tells(*values: type, but: frozenset[str] = frozenset()) -> Callable[[Answer], Answer]:
    """Gives an answer all fields of these frozen values but some; its own go before theirs of the same name."""

    def with_fields(answer: Answer) -> Answer:
        told: dict[str, Any] = {}
        for value in values:
            types = typing.get_type_hints(value, include_extras=True)
            for field in fields(value):
                if field.name not in told.keys() | but | answer.__annotations__.keys():
                    told[field.name] = (types[field.name], _default(field, types[field.name]))
        whole = create_model(
            answer.__name__, __base__=answer, __module__=answer.__module__, __doc__=answer.__doc__, **told
        )
        return typing.cast(Answer, whole)

    return with_fields


def _default(field: DataclassField[Any], type_: Any) -> Any:
    """What is None is left out of an answer, so it need not be there."""
    if field.default_factory is not MISSING:
        return Field(default_factory=field.default_factory)
    if field.default is not MISSING:
        return field.default
    return None if type(None) in typing.get_args(type_) else ...


class Size(BaseModel):
    width: int
    height: int


@tells(JobView, Job, but=NOT_TOLD)
class JobAnswer(BaseModel):
    """A job in its state now."""

    id: str
    steps: int
    requested: Size
    cfg: bool


class JobsAnswer(BaseModel):
    jobs: list[JobAnswer]
    next: str | None = None  # `before` of the next page; absent on the last


class SheetAnswer(BaseModel):
    id: str
    jobs: list[JobAnswer]


class ClearedAnswer(BaseModel):
    cancelled: int
    queue: QueueSummary


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
    timings: Timings
    image: str | None = None
    url: str | None = None


@tells(ImageRecord, but=frozenset({"lane", "family_id"}))
class ImageAnswer(BaseModel):
    """A picture of the library."""

    id: str
    parent_id: str | None = None
    finish_mode: FinishMode | None = None
    job: dict[str, Any]  # everything that decided its pixels
    width: int
    height: int
    requested: Size
    seed: int
    steps: int
    guidance_scale: float
    rejected: bool
    rejected_at: str | None = None
    file: str  # path of the PNG on this server
    thumb: str  # path of its thumbnail


class ImageDetailAnswer(ImageAnswer):
    lineage: list[ImageAnswer]  # the whole family, the first draft first


class ImagesAnswer(BaseModel):
    images: list[ImageAnswer]
    next: str | None = None


class ImportAnswer(BaseModel):
    image: ImageAnswer | None = None  # where the picture was one of ours and is now in the library
    settings: RestoredSettings | None = None


@tells(Upload, but=frozenset({"hash"}))
class UploadAnswer(BaseModel):
    """A picture as input; `width` and `height` are as its EXIF turns it."""

    id: str  # `upload_id` of a reference
    file: str  # path of the picture as it was sent
    thumb: str  # path of its thumbnail


class UploadsAnswer(BaseModel):
    uploads: list[UploadAnswer]  # in the order of the files


@tells(Job, but=SIZE_AS_ASKED | {"prompt", "negative_prompt", "parent_id", "finish_mode", "strength"})
class ResolvedAnswer(BaseModel):
    """What a request would become."""

    requested: Size
    seed: int | None = None  # absent where it would be random
    cfg: bool
    lane: Lane
    adjustments: list[Adjustment]


@tells(Estimate, but=SIZE_AS_ASKED)
class EstimateAnswer(BaseModel):
    """What a request would cost; nine times in ten it takes between low_s and high_s."""

    requested: Size


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


@tells(Health, but=frozenset({"memory_used_mib", "memory_total_mib"}))
class HealthAnswer(BaseModel):
    """Whether a picture can be drawn now; if not, how far it is, or why it never will."""

    ready: bool
    version: str
    gpu_memory: MemoryAnswer | None = None
    queue: QueueSummary


def page_of(name: str, items: list[dict[str, Any]], limit: int) -> dict[str, Any]:
    """A page of a list; `next`, its last id, is there where more may follow."""
    return {name: items} | ({"next": items[-1]["id"]} if len(items) == limit else {})


def picture_answer(view: JobView, **where: str) -> PictureAnswer:
    """The answer for a finished job; `where` is its `image` or its `url`."""
    job, timings = view.job, view.timings
    split = {name: round(getattr(timings, name), 4) if timings else 0.0 for name in vars(Timings())}
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
        timings=Timings(**split),
        **where,
    )
