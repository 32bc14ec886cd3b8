"""A request made certain: every value that decides a pixel is pinned. Frozen, and the same wherever it is run."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass
from typing import Any

from hidream_studio.errors import RequestError
from hidream_studio.job.adjustment import Adjustment
from hidream_studio.job.profiles import ModelProfile, Preset, Recipe, RecipeDefaults, Sampler
from hidream_studio.job.request import FinishMode, GenerationRequest, Lane, Noise
from hidream_studio.job.sizes import PATCH_PX, resolve_size

RANDOM_SEED_BITS = 32  # short enough to read out and type


@dataclass(frozen=True)
class Job:
    """What to draw, completely.

    With equal model, device type, precision and numeric path, equal jobs give equal pixels.
    """

    prompt: str
    negative_prompt: str | None  # None: upstream's single space
    seed: int  # 0 to 2**53 - 1
    width: int  # px, a multiple of 32
    height: int  # px, a multiple of 32
    steps: int
    guidance_scale: float  # at or below 1: one forward a step
    recipe: Recipe
    sampler: Sampler
    shift: float
    noise_scale: float
    noise: Noise
    profile: str
    requested_width: int  # px, as asked
    requested_height: int
    snap_resolution: bool
    preset: str | None = None
    parent_id: str | None = None  # the draft's image id, where this finishes one
    finish_mode: FinishMode | None = None
    strength: float | None = None  # of keep-composition: 0 (the draft) to 1 (all new)

    @property
    def cfg(self) -> bool:
        """Whether a step takes two forwards."""
        return self.guidance_scale > 1.0

    @property
    def image_tokens(self) -> int:
        return (self.width // PATCH_PX) * (self.height // PATCH_PX)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Job:
        """The job of `to_dict`. Unknown or missing keys are a TypeError."""
        return cls(**values)


@dataclass(frozen=True)
class PinnedJob:
    job: Job
    lane: Lane
    adjustments: tuple[Adjustment, ...]


def pin(request: GenerationRequest, profile: ModelProfile, *, lane: Lane | None = None) -> PinnedJob:
    """Everything that `request` leaves open, filled in from its preset and the profile; what was changed is told.

    Raises
    ------
    RequestError
        naming the field and the limit.
    """
    preset = profile.preset(request.preset) if request.preset is not None else None
    recipe = request.recipe or profile.default_recipe
    if recipe not in profile.recipes:
        raise RequestError(
            f"recipe {recipe!r} is not one of {profile.name}'s: {', '.join(profile.recipes)}", field="recipe"
        )
    defaults = profile.recipes[recipe]
    width, height = _asked_size(request, preset, profile)
    snap = _first(request.snap_resolution, preset.snap_resolution if preset else None, True)
    size = resolve_size(width, height, snap=snap, profile=profile)
    values, adjustments = _recipe_values(request, preset, recipe, defaults)
    job = Job(
        prompt=request.prompt,
        negative_prompt=request.negative_prompt or None,
        seed=secrets.randbits(RANDOM_SEED_BITS) if request.seed is None else request.seed,
        width=size.width,
        height=size.height,
        recipe=recipe,
        shift=float(_first(request.shift, None, defaults.shift)),
        noise_scale=float(_first(request.noise_scale, None, defaults.noise_scale)),
        noise=request.noise,
        profile=profile.id,
        requested_width=width,
        requested_height=height,
        snap_resolution=snap,
        preset=preset.id if preset else None,
        **values,
    )
    return PinnedJob(job, lane or default_lane(job, profile), size.adjustments + adjustments)


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
    request: GenerationRequest, preset: Preset | None, recipe: Recipe, defaults: RecipeDefaults
) -> tuple[dict[str, Any], tuple[Adjustment, ...]]:
    if recipe == "dev":
        return _dev_values(request, preset, defaults)
    steps = _first(request.steps, preset.steps if preset else None, defaults.steps)
    guidance = _first(request.guidance_scale, preset.guidance_scale if preset else None, defaults.guidance_scale)
    sampler = _first(request.sampler, None, defaults.sampler)
    return {"steps": steps, "guidance_scale": float(guidance), "sampler": sampler}, ()


def _dev_values(
    request: GenerationRequest, preset: Preset | None, defaults: RecipeDefaults
) -> tuple[dict[str, Any], tuple[Adjustment, ...]]:
    """The dev recipe is distilled to fixed steps without guidance; what was asked otherwise is adjusted, and said."""
    fixed: dict[str, Any] = {
        "steps": defaults.steps, "guidance_scale": defaults.guidance_scale, "sampler": defaults.sampler,
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
