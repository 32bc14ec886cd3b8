"""From what is asked to the jobs that are drawn: sheets, finishes, smaller tries. Pure; knows no queue and no disk."""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

from hidream_studio.errors import RequestError
from hidream_studio.job.adjustment import Adjustment
from hidream_studio.job.job import RANDOM_SEED_BITS, Job, PinnedJob, pin, request_of
from hidream_studio.job.layout import boxes_in_px
from hidream_studio.job.profiles import ModelProfile, PresetId
from hidream_studio.job.references import kept_size
from hidream_studio.job.request import MAX_SEED, FinishRequest, GenerationRequest, SheetRequest
from hidream_studio.job.sizes import MAX_AREA_PX, MIN_SIDE_PX, covering_box, drawable
from hidream_studio.sampler.schedules import make_schedule

MAX_SHEET_JOBS = 1000
SMALLER = 0.5  # of the pixels
DEFAULT_FINISH: PresetId = "standard"
MIN_KEPT = 0.25  # of a draft's pixels; of less there is no composition to keep


def sheet_requests(sheet: SheetRequest, *, queue_limit: int) -> list[GenerationRequest]:
    """The sheet's cross product: sizes, then steps, guidance, seeds, and LoRAs innermost. All have a seed.

    Raises
    ------
    RequestError
        when the lists contradict each other, or make more jobs than can be asked for at once.
    """
    seeds = _seeds(sheet)
    check_sheet(sheet, queue_limit=queue_limit)
    lists = (sheet.sizes, sheet.steps, sheet.guidance_scale, sheet.loras)
    sizes, steps, guidances, loras = (values or [None] for values in lists)
    return [
        sheet.request.model_copy(update=dict(_changes(*values)))
        for values in product(sizes, steps, guidances, seeds, loras)
    ]


def check_sheet(sheet: SheetRequest, *, queue_limit: int) -> int:
    """How many jobs the sheet makes, without making them. Raises RequestError where they are too many."""
    count = sheet.n or len(sheet.seeds or [None])
    for values in (sheet.sizes, sheet.steps, sheet.guidance_scale, sheet.loras):
        count *= len(values or [None])
    check_count(count, queue_limit=queue_limit, field=_longest_list(sheet))
    return count


def check_count(count: int, *, queue_limit: int, field: str) -> None:
    """Refuse what no waiting would help: more jobs at once than one call may ask for, or than an empty queue holds.

    Raises
    ------
    RequestError
        naming `field`.
    """
    limit, why = min(
        (MAX_SHEET_JOBS, "may be asked for in one call"),
        (queue_limit, "fit into this server's queue, even when it is empty"),
    )
    if count > limit:
        raise RequestError(f"this makes {count:,} jobs; at most {limit:,} {why}", field=field, limit=limit)


def axis_requests(sheet: SheetRequest) -> dict[str, list[GenerationRequest]]:
    """The sheet's first setting with each value of one list in turn: "sizes", "steps", "guidance_scale"."""
    lists = {"sizes": sheet.sizes, "steps": sheet.steps, "guidance_scale": sheet.guidance_scale}
    firsts = {name: (values or [None])[0] for name, values in lists.items()}
    seed = sheet.seeds[0] if sheet.seeds else sheet.request.seed or 0  # all seeds cost the same

    def request(**changed: Any) -> GenerationRequest:
        values = {**firsts, **changed}
        return sheet.request.model_copy(
            update=dict(_changes(values["sizes"], values["steps"], values["guidance_scale"], seed))
        )

    return {name: [request(**{name: value}) for value in values or [None]] for name, values in lists.items()}


def _changes(size: Any, steps: Any, guidance: Any, seed: int, loras: Any = None) -> Iterator[tuple[str, Any]]:
    yield "seed", seed
    if size is not None:
        yield "width", size[0]
        yield "height", size[1]
    if steps is not None:
        yield "steps", steps
    if guidance is not None:
        yield "guidance_scale", guidance
    if loras is not None:
        yield "loras", loras


def _seeds(sheet: SheetRequest) -> list[int]:
    seeds = sheet.seeds
    if sheet.n is not None and seeds is not None and len(seeds) > 1:
        raise RequestError("give either n or several seeds: n counts seeds up from the first", field="n")
    if seeds is not None and sheet.n is None:
        return list(seeds)
    asked = seeds[0] if seeds is not None else sheet.request.seed
    first = secrets.randbits(RANDOM_SEED_BITS) if asked is None else asked
    count = sheet.n or 1
    if first + count - 1 > MAX_SEED:
        raise RequestError(
            f"seeds from {first} on: {count} of them pass the largest seed, {MAX_SEED}", field="n", limit=MAX_SEED
        )
    return list(range(first, first + count))


def _longest_list(sheet: SheetRequest) -> str:
    lengths = {
        "seeds": len(sheet.seeds or ()), "n": sheet.n or 0, "steps": len(sheet.steps or ()),
        "guidance_scale": len(sheet.guidance_scale or ()), "sizes": len(sheet.sizes or ()),
        "loras": len(sheet.loras or ()),
    }  # fmt: skip
    return max(lengths, key=lambda name: lengths[name])


def plan_finish(draft_id: str, draft: Job, request: FinishRequest, profile: ModelProfile) -> PinnedJob:
    """The job that finishes a draft.

    All is the draft's but this: re-render and keep-composition take size, steps and guidance from the request, else
    from its preset (`standard` where it names none), at the draft's aspect ratio; exact keeps the draft's size and
    guidance, and takes the profile's default steps where none are named.

    Raises
    ------
    RequestError
        naming the field and its limit.
    """
    if request.strength is not None and request.mode != "keep-composition":
        raise RequestError(f"strength belongs to keep-composition, not to {request.mode}", field="strength")
    asked = _exact_request(draft, request, profile) if request.mode == "exact" else _resized(draft, request, profile)
    pinned = pin(asked, profile, lane="final", references=draft.references)
    strength = None
    if request.mode == "keep-composition":
        strength = profile.keep_composition_strength if request.strength is None else request.strength
    preset = request.preset
    if preset is None and request.mode != "exact" and request.width is None:
        preset = DEFAULT_FINISH
    job = replace(
        pinned.job, parent_id=draft_id, finish_mode=request.mode, strength=strength, sampler=draft.sampler,
        preset=preset,
    )  # fmt: skip
    return replace(pinned, job=job, adjustments=pinned.adjustments + _noise_warning(draft, job) + _crop(draft, job))


def _exact_request(draft: Job, request: FinishRequest, profile: ModelProfile) -> GenerationRequest:
    for field, value in (("width", request.width), ("height", request.height)):
        if value is not None and value != getattr(draft, field):
            raise RequestError(
                f"{field} is {value}: exact keeps the draft's size, {draft.width}x{draft.height}; "
                "re-render and keep-composition change it",
                field=field, limit=getattr(draft, field),
            )  # fmt: skip
    preset_steps = profile.preset(request.preset).steps if request.preset is not None else None
    recipe = profile.recipes.get(draft.recipe)  # None: of another model, which `pin` refuses by name
    steps = request.steps or preset_steps or (recipe.steps if recipe is not None else draft.steps)
    guidance = draft.guidance_scale if request.guidance_scale is None else request.guidance_scale
    # a kept aspect ratio makes the draft's size of what was asked first
    size: dict[str, Any] = (
        {} if draft.keep_aspect else {"width": draft.width, "height": draft.height, "snap_resolution": False}
    )
    return request_of(draft, **size, steps=steps, guidance_scale=guidance, preset=None)


def _resized(draft: Job, request: FinishRequest, profile: ModelProfile) -> GenerationRequest:
    preset = profile.preset(request.preset or DEFAULT_FINISH)
    if (request.width is None) != (request.height is None):
        missing = "width" if request.width is None else "height"
        raise RequestError(f"{missing} is missing: width and height are given together or not at all", field=missing)
    if request.width is not None and request.height is not None:
        width, height = request.width, request.height
    elif draft.keep_aspect:  # of its reference, at the preset's area
        width, height = preset.width, preset.height
    else:
        width, height = same_ratio(draft.width, draft.height, preset.width * preset.height)
    steps = request.steps or preset.steps
    guidance = preset.guidance_scale if request.guidance_scale is None else request.guidance_scale
    snap = preset.snap_resolution and request.width is None
    return request_of(
        draft,
        width=width,
        height=height,
        snap_resolution=snap,
        steps=steps,
        guidance_scale=guidance,
        noise="linked",
        preset=None,
    )


def _noise_warning(draft: Job, job: Job) -> tuple[Adjustment, ...]:
    """A draft of plain noise has nothing in common with a larger picture's, whatever the seed."""
    same_size = (draft.width, draft.height) == (job.width, job.height)
    if job.finish_mode != "re-render" or draft.noise == job.noise or same_size:
        return ()
    why = "the draft was drawn with plain noise, which does not carry over to another size: the picture will differ"
    return (Adjustment(field="noise", asked=draft.noise, used=job.noise, why=why),)


def _crop(draft: Job, job: Job) -> tuple[Adjustment, ...]:
    """What of the draft the new shape has no room for; the worker takes its middle (`covering_box`).

    Raises
    ------
    RequestError
        when hardly anything of it would be left.
    """
    if job.finish_mode != "keep-composition":
        return ()
    left, top, right, bottom = covering_box(draft.width, draft.height, job.width, job.height)
    kept = (right - left) * (bottom - top) / (draft.width * draft.height)
    if kept < MIN_KEPT:
        raise RequestError(
            f"{job.width}x{job.height} has the shape of {kept:.0%} of the draft, {draft.width}x{draft.height}; "
            f"keep-composition needs at least {MIN_KEPT:.0%} of it; re-render draws it in any shape",
            field="width" if job.width * draft.height > job.height * draft.width else "height", limit=MIN_KEPT,
        )  # fmt: skip
    asked, used = f"{draft.width}x{draft.height}", f"{round(right - left)}x{round(bottom - top)}"
    if asked == used:
        return ()
    why = f"{job.width}x{job.height} has another shape than the draft, so the middle of the draft is kept"
    return (Adjustment(field="draft", asked=asked, used=used, why=why),)


def smaller_job(job: Job, draft: Job | None = None) -> tuple[Job, tuple[Adjustment, ...]]:
    """The same job with about half as many pixels, and what that changed; also of its draft, where it goes on from one.

    Raises
    ------
    RequestError
        when it is as small as can be, or one of its boxes is.
    """
    asked = job
    if job.keep_aspect:  # its size follows from what is asked, and from its reference
        side = round(math.sqrt(job.width * job.height * SMALLER))
        asked = replace(job, requested_width=side, requested_height=side)
        width, height = kept_size(job.references[0].size, side)
    else:
        width, height = same_ratio(job.width, job.height, int(job.width * job.height * SMALLER))
    if width * height >= job.width * job.height or min(width, height) < MIN_SIDE_PX:
        raise RequestError(
            f"{job.width}x{job.height} is the smallest size of this shape; sides are at least {MIN_SIDE_PX} px",
            field="width", limit=MIN_SIDE_PX,
        )  # fmt: skip
    why = "tried again with half as many pixels"
    adjustments = tuple(
        Adjustment(field=field, asked=old, used=new, why=why)
        for field, old, new in (("width", job.width, width), ("height", job.height, height))
        if old != new
    )
    smaller = replace(asked, width=width, height=height, snap_resolution=False, preset=None)
    if smaller.layout is not None:  # a box may have no pixel left
        boxes_in_px(smaller.layout, width, height, len(smaller.references))
    return smaller, adjustments + (() if draft is None else _crop(draft, smaller))


def same_ratio(width: int, height: int, area_px: int) -> tuple[int, int]:
    """A size of the ratio width/height and about that area: sides multiples of 32, inside the limits."""
    scale = math.sqrt(min(area_px, MAX_AREA_PX) / (width * height))
    return drawable(width * scale, height * scale)


def planned_steps(job: Job) -> int:
    """The steps that will be taken: all, or for keep-composition the schedule's tail below its strength."""
    if job.finish_mode != "keep-composition" or job.strength is None:
        return job.steps
    return max(make_schedule(job.recipe, job.steps, job.shift, start_sigma=job.strength).steps, 1)
