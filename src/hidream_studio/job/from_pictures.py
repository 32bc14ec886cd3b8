"""What pictures as input decide of a job: its size, its recipe's numbers, what is warned of. Pins nothing itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hidream_studio.errors import RequestError
from hidream_studio.job.adjustment import Adjustment
from hidream_studio.job.layout import boxes_in_px
from hidream_studio.job.profiles import ModelProfile, RecipeDefaults, Sampler
from hidream_studio.job.references import (
    DEV_EDIT_NOISE_SCALE,
    Reference,
    dev_sampler,
    kept_side,
    kept_size,
    prepare_sizes,
)
from hidream_studio.job.request import GenerationRequest
from hidream_studio.job.sizes import ResolvedSize, kept_aspect, resolve_size

if TYPE_CHECKING:
    from hidream_studio.job.job import Job

FULL_SAMPLERS: tuple[Sampler, ...] = ("unipc", "euler")
DEV_SAMPLERS: tuple[Sampler, ...] = ("flash", "flow_match")


def keeps_aspect(request: GenerationRequest, references: Sequence[Reference]) -> bool:
    """As asked; else for one reference, where nothing is said of the size and of what stands where."""
    if request.keep_aspect is not None:
        return request.keep_aspect
    said = (request.width, request.height, request.snap_resolution, request.layout)
    return len(references) == 1 and all(value is None for value in said)


def resolved_size(
    request: GenerationRequest,
    references: Sequence[Reference],
    width: int,  # px, as asked, or as the preset or the profile has it
    height: int,
    *,
    snap: bool,
    profile: ModelProfile,
) -> ResolvedSize:
    """The size that is rendered; all pictures and boxes fit it, or it is refused.

    Raises
    ------
    RequestError
        naming the field and the limit.
    """
    sizes = [reference.size for reference in references]
    layout = request.layout is not None
    if not keeps_aspect(request, references):
        size = resolve_size(width, height, snap=snap, profile=profile)
        side = None
    else:
        side = kept_side(width, height, snap=snap, profile=profile)
        if layout or len(sizes) != 1:
            prepare_sizes(sizes, width, height, layout=layout, kept_side=side)  # says why not
        size = kept_aspect((width, height), sizes[0], kept_size(sizes[0], side), profile)
    if sizes or layout:
        prepare_sizes(sizes, size.width, size.height, layout=layout, kept_side=side)
    if request.layout is not None:
        boxes_in_px(request.layout, size.width, size.height, len(sizes))
    return size


def dev_values(
    request: GenerationRequest, references: int, profile: ModelProfile, defaults: RecipeDefaults
) -> dict[str, Any]:
    """Sampler and noise scale of the dev recipe: an edit is drawn with flow_match and the full recipe's noise."""
    sampler: Sampler = dev_sampler(references)
    if references and request.sampler in DEV_SAMPLERS:
        sampler = request.sampler
    noise_scale = defaults.noise_scale
    if sampler == "flow_match":
        full = profile.recipes.get("full")
        noise_scale = DEV_EDIT_NOISE_SCALE if full is None else full.noise_scale
    return {"sampler": sampler, "noise_scale": noise_scale}


def shift(
    request: GenerationRequest, references: Sequence[Reference], defaults: RecipeDefaults
) -> tuple[float, tuple[Adjustment, ...]]:
    """As asked; else the recipe's, which may be another one beside several pictures: that is told."""
    several = len(references) + (request.layout is not None) > 1
    if request.shift is not None or not several or defaults.subjects_shift in (None, defaults.shift):
        return defaults.shift if request.shift is None else request.shift, ()
    used = float(defaults.subjects_shift or 0.0)
    why = f"for several pictures {used:g} is filled in, as in upstream's examples of them, not {defaults.shift:g}"
    return used, (Adjustment(field="shift", asked=None, used=used, why=why),)


def warnings(job: Job, profile: ModelProfile) -> tuple[Adjustment, ...]:
    """What users of this model report of edits that come out weak; nothing is changed."""
    if profile.edit_area is None or not job.references:
        return ()
    found = []
    is_edit = len(job.references) == 1 and job.layout is None
    if is_edit and job.width * job.height < profile.edit_area:
        size = f"{job.width}x{job.height}"
        why = (
            f"drawn as asked, but edits below {profile.edit_area / 1e6:g} megapixels often fall apart; finish it larger"
        )
        found.append(Adjustment(field="size", asked=size, used=size, why=why))
    if job.recipe == "full" and not job.cfg:
        why = "drawn as asked, but without guidance (above 1) the pictures are hardly followed"
        guidance = job.guidance_scale
        found.append(Adjustment(field="guidance_scale", asked=guidance, used=guidance, why=why))
    if is_edit and job.recipe == "dev":
        why = "drawn as asked, but upstream recommends the full recipe for edits"
        found.append(Adjustment(field="recipe", asked="dev", used="dev", why=why))
    return tuple(found)


def references_again(references: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]] | None:
    """What a request says of the references of a `Job.to_dict`."""
    asked = [{"upload_id": one["hash"], "role": one.get("role")} for one in references]
    return [{name: value for name, value in one.items() if value is not None} for one in asked] or None


def check_sampler(sampler: Sampler | None) -> None:
    """Refuse a sampler that the full recipe does not have. Raises RequestError."""
    if sampler is not None and sampler not in FULL_SAMPLERS:
        raise RequestError(
            f"sampler {sampler} belongs to the dev recipe; the full recipe has {' and '.join(FULL_SAMPLERS)}",
            field="sampler", limit=list(FULL_SAMPLERS),
        )  # fmt: skip
