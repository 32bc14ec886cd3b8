"""A request made certain: every value that decides a pixel is pinned. Frozen, and the same wherever it is run."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from pydantic import PositiveInt

from hidream_studio.errors import RequestError
from hidream_studio.job import from_pictures
from hidream_studio.job.adjustment import Adjustment
from hidream_studio.job.loras import LoraAsked, LoraUse
from hidream_studio.job.profiles import ModelProfile, Preset, Recipe, RecipeDefaults, Sampler
from hidream_studio.job.references import Preparation, Reference, dev_sampler, kept_side, prepare_sizes
from hidream_studio.job.request import Box4, FinishMode, GenerationRequest, Lane, Noise
from hidream_studio.job.sizes import PATCH_PX, nearest_patch_multiple
from hidream_studio.job.values import from_json, to_json

RANDOM_SEED_BITS = 32  # short enough to read out and type


@dataclass(frozen=True)
class Job:
    """What to draw, completely. A field that is added has a default, which older jobs get.

    With equal model, device type, precision and numeric path, equal jobs give equal pixels.
    """

    prompt: str
    negative_prompt: str | None  # None: upstream's single space
    seed: int  # 0 to 2**53 - 1
    width: PositiveInt  # px, a multiple of 32
    height: PositiveInt  # px, a multiple of 32
    steps: PositiveInt
    guidance_scale: float  # at or below 1: one forward a step
    recipe: Recipe
    sampler: Sampler
    shift: float
    noise_scale: float
    noise: Noise
    profile: str
    requested_width: PositiveInt  # px, as asked
    requested_height: PositiveInt
    snap_resolution: bool
    preset: str | None = None
    parent_id: str | None = None  # the draft's image id, where this finishes one
    finish_mode: FinishMode | None = None
    strength: float | None = None  # of keep-composition: 0 (the draft) to 1 (all new)
    references: tuple[Reference, ...] = ()  # pictures to draw from
    layout: tuple[Box4, ...] | None = None  # where each of them stands
    keep_aspect: bool = False  # of the one reference
    loras: tuple[LoraUse, ...] = ()  # in any order

    @property
    def cfg(self) -> bool:
        """Whether a step takes two forwards."""
        return self.guidance_scale > 1.0

    @property
    def image_tokens(self) -> int:
        return (self.width // PATCH_PX) * (self.height // PATCH_PX)

    def kept_side(self, profile: ModelProfile) -> int | None:
        """The side of the square as large as a picture that keeps its reference's aspect ratio; None: it does not."""
        if not self.keep_aspect:
            return None
        asked = self.requested_width, self.requested_height
        return kept_side(*asked, snap=self.snap_resolution, profile=profile)

    def preparations(self, profile: ModelProfile) -> tuple[Preparation, ...]:
        """What becomes of each reference, and of the layout's picture. Raises RequestError."""
        return prepare_sizes(
            [reference.size for reference in self.references], self.width, self.height,
            layout=self.layout is not None, kept_side=self.kept_side(profile),
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it, field by field; of pictures and LoRAs nothing where there are none."""
        values: dict[str, Any] = to_json(self)
        absent = (frozenset() if self.references else _OF_PICTURES) | (frozenset() if self.loras else _OF_LORAS)
        return {name: value for name, value in values.items() if name not in absent}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Job:
        """The job of `to_dict`, of this version or another: see `values.from_json`. Raises ValueError."""
        return from_json(cls, values)


_OF_PICTURES = frozenset({"references", "layout", "keep_aspect"})
_OF_LORAS = frozenset({"loras"})

# What a request and a job both have. `pin` takes these over as they are asked, where it does not say otherwise.
ASKED_FIELDS = tuple(field.name for field in fields(Job) if field.name in GenerationRequest.model_fields)


@dataclass(frozen=True)
class PinnedJob:
    job: Job
    lane: Lane
    adjustments: tuple[Adjustment, ...]


def pin(
    request: GenerationRequest,
    profile: ModelProfile,
    *,
    lane: Lane | None = None,
    references: tuple[Reference, ...] = (),
) -> PinnedJob:
    """Everything that `request` leaves open, filled in from its preset and the profile; what was changed is told.

    Parameters
    ----------
    references
        The pictures that the request names, looked up; those of a command line, which its request does not name.

    Raises
    ------
    RequestError
        naming the field and the limit.
    """
    if request.references is not None and len(request.references) != len(references):
        raise RequestError("references have not been looked up", field="references")
    preset = profile.preset(request.preset) if request.preset is not None else None
    recipe = request.recipe or profile.default_recipe
    if recipe not in profile.recipes:
        raise RequestError(
            f"recipe {recipe!r} is not one of {profile.name}'s: {', '.join(profile.recipes)}", field="recipe"
        )
    defaults = profile.recipes[recipe]
    width, height = _asked_size(request, preset, profile)
    snap = _first(request.snap_resolution, preset.snap_resolution if preset else None, True)
    size = from_pictures.resolved_size(request, references, width, height, snap=snap, profile=profile)
    values, adjustments = _recipe_values(request, preset, recipe, profile, len(references))
    shift, shifted = from_pictures.shift(request, references, defaults)
    asked = {name: value for name in ASKED_FIELDS if (value := getattr(request, name)) is not None}
    pinned: dict[str, Any] = {
        "negative_prompt": request.negative_prompt or None,
        "seed": secrets.randbits(RANDOM_SEED_BITS) if request.seed is None else request.seed,
        "width": size.width,
        "height": size.height,
        "recipe": recipe,
        "shift": shift,
        "profile": profile.id,
        "requested_width": width,
        "requested_height": height,
        "snap_resolution": snap,
        "loras": tuple(map(_pinned_lora, request.loras or ())),
        "references": references,
        "keep_aspect": from_pictures.keeps_aspect(request, references),
    }
    job = Job(**{**asked, **pinned, **values})
    told = size.adjustments + adjustments + shifted + from_pictures.warnings(job, profile)
    return PinnedJob(job, lane or default_lane(job, profile), told)


def _pinned_lora(asked: LoraAsked) -> LoraUse:
    if asked.hash is None:  # who knows the files puts it in
        raise RequestError(f"there is no LoRA called {asked.name!r} here", field="loras")
    return LoraUse(asked.name, float(asked.strength), asked.hash)


def request_of(job: Job, **changes: Any) -> GenerationRequest:
    """What to ask so that this job is pinned; without its draft, where it finishes one. `changes` are asked instead."""
    return GenerationRequest(**{**asked_again(job.to_dict()), **changes})


def asked_again(job: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a GenerationRequest that is pinned to `job` (as `Job.to_dict` has it) again, its draft left out.

    What a job and a request call alike is taken over; None is a value too: it says that nothing was asked.
    """
    values = {name: job[name] for name in GenerationRequest.model_fields if name in job}
    asked = (job["requested_width"], job["requested_height"])
    drawn = (job["width"], job["height"])
    # a smaller try of a job remembers what was asked first; only its own size draws it again
    kept = job.get("keep_aspect") is True  # the drawn size follows from the asked one and the reference
    again = asked if kept or job["snap_resolution"] or tuple(map(nearest_patch_multiple, asked)) == drawn else drawn
    values |= {"width": again[0], "height": again[1]}
    references = job.get("references") or ()
    if job["recipe"] == "dev" and values.get("sampler") == dev_sampler(len(references)):
        values["sampler"] = None  # comes with the recipe
    if references:
        values["references"] = from_pictures.references_again(references)
    return values


def default_lane(job: Job, profile: ModelProfile) -> Lane:
    return "draft" if job.width * job.height <= profile.native_area // 2 else "final"


def _asked_size(request: GenerationRequest, preset: Preset | None, profile: ModelProfile) -> tuple[int, int]:
    if (request.width is None) != (request.height is None):
        missing = "width" if request.width is None else "height"
        raise RequestError(f"{missing} is missing: width and height are given together or not at all", field=missing)
    if request.width is not None and request.height is not None:
        return request.width, request.height
    if preset is not None:
        return preset.width, preset.height
    return profile.native_side, profile.native_side


def _recipe_values(
    request: GenerationRequest, preset: Preset | None, recipe: Recipe, profile: ModelProfile, references: int
) -> tuple[dict[str, Any], tuple[Adjustment, ...]]:
    defaults = profile.recipes[recipe]
    if recipe == "dev":
        own = from_pictures.dev_values(request, references, profile, defaults)
        values, adjustments = _dev_values(request, preset, defaults, own["sampler"])
        return values | {"noise_scale": float(_first(request.noise_scale, None, own["noise_scale"]))}, adjustments
    from_pictures.check_sampler(request.sampler)
    guidance = _first(request.guidance_scale, preset.guidance_scale if preset else None, defaults.guidance_scale)
    return {
        "steps": _first(request.steps, preset.steps if preset else None, defaults.steps),
        "guidance_scale": float(guidance),
        "sampler": _first(request.sampler, None, defaults.sampler),
        "noise_scale": float(_first(request.noise_scale, None, defaults.noise_scale)),
    }, ()


def _dev_values(
    request: GenerationRequest, preset: Preset | None, defaults: RecipeDefaults, sampler: Sampler
) -> tuple[dict[str, Any], tuple[Adjustment, ...]]:
    """The dev recipe is distilled to fixed steps without guidance; what was asked otherwise is adjusted, and said."""
    fixed: dict[str, Any] = {
        "steps": defaults.steps, "guidance_scale": defaults.guidance_scale, "sampler": sampler,
    }  # fmt: skip
    adjustments = []
    for field, used in fixed.items():
        asked, why = getattr(request, field), "fixed in the dev recipe"
        if asked is None and preset is not None:
            asked, why = getattr(preset, field, None), f"{why}, whatever the preset {preset.id} has"
        if asked is not None and asked != used:
            adjustments.append(Adjustment(field=field, asked=asked, used=used, why=why))
    return fixed, tuple(adjustments)


def _first(*values: Any) -> Any:
    """The first value that is not None."""
    return next(value for value in values if value is not None)
