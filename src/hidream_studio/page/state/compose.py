"""What the compose column holds, and the sheet of jobs that it asks for. Pure; drawn by regions/compose.py."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hidream_studio.errors import RequestError
from hidream_studio.job.job import Job
from hidream_studio.job.profiles import ModelProfile, Preset, PresetId
from hidream_studio.job.request import MAX_PROMPT_CHARS, MAX_SEED, JobRequest, Noise, SheetRequest
from hidream_studio.job.sizes import MAX_AREA_PX, MIN_SIDE_PX, PATCH_PX, nearest_patch_multiple
from hidream_studio.page import words
from hidream_studio.page.state.fields import guidance_of, seeds_of, sizes_of, steps_of

MAX_COUNT = 64  # pictures at one click; a sweep may be larger
PLACEHOLDER_PROMPT = "a picture"  # prices the buttons while no prompt is there yet


class ComposeState(BaseModel):
    """As typed: texts stay texts, so that a half-written list survives a reload."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    prompt: Annotated[str, Field(max_length=MAX_PROMPT_CHARS)] = ""
    negative: Annotated[str, Field(max_length=MAX_PROMPT_CHARS)] = ""
    preset: PresetId = "quick"
    size: str = ""
    steps: str = ""
    guidance: str = ""
    seed: str = ""  # empty: random
    count: Annotated[int, Field(ge=1, le=MAX_COUNT)] = 4
    snap: bool = False
    live: bool = False
    sampler: Literal["unipc", "euler"] | None = None  # None: the recipe's own
    noise: Noise = "linked"

    def changed(self, **changes: Any) -> ComposeState:
        return self.model_copy(update=changes)


@dataclass(frozen=True)
class Axis:
    name: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Plan:
    """What one click on Generate would queue."""

    request: JobRequest  # of the first picture
    seeds: tuple[int, ...]
    steps: tuple[int, ...]
    guidance: tuple[float, ...]
    sizes: tuple[tuple[int, int], ...]

    @property
    def pictures(self) -> int:
        return len(self.seeds) * len(self.steps) * len(self.guidance) * len(self.sizes)

    def single(self) -> JobRequest:
        """The first picture alone."""
        return self.request.model_copy(update={"seed": self.seeds[0]})

    @property
    def axes(self) -> tuple[Axis, ...]:
        """What is swept, apart from the seed."""
        every = (Axis("sizes", self.sizes), Axis("steps", self.steps), Axis("guidance", self.guidance))
        return tuple(axis for axis in every if len(axis.values) > 1)

    def settings(self) -> list[JobRequest]:
        """One request for each setting that costs a time of its own: seeds cost the same."""
        return [
            self.request.model_copy(
                update={"width": size[0], "height": size[1], "steps": steps, "guidance_scale": guidance}
            )
            for size in self.sizes
            for steps in self.steps
            for guidance in self.guidance
        ]

    def sheet(self) -> SheetRequest:
        return SheetRequest(
            request=self.request,
            seeds=list(self.seeds),
            steps=list(self.steps),
            guidance_scale=list(self.guidance),
            sizes=list(self.sizes),
        )


def with_preset(state: ComposeState, preset: Preset) -> ComposeState:
    """The preset's size, steps and guidance filled in; each stays free to change."""
    return state.changed(
        preset=preset.id,
        size=words.size(preset.width, preset.height),
        steps=str(preset.steps),
        guidance=words.number(preset.guidance_scale),
        snap=preset.snap_resolution,
    )


def first_state(profile: ModelProfile) -> ComposeState:
    """The compose column of a first visit."""
    return with_preset(ComposeState(), profile.preset("quick"))


def restored_state(stored: Any, profile: ModelProfile) -> ComposeState:
    """The column as it was left; the first visit's where nothing usable is stored."""
    if not isinstance(stored, dict):
        return first_state(profile)
    try:
        state = ComposeState.model_validate(stored.get("state", {}))
    except ValidationError:
        return first_state(profile)
    if stored.get("profile") == profile.id:
        return state
    # another model was loaded since: its sizes mean something else, its words do not
    return with_preset(state, profile.preset(state.preset))


def stored_state(state: ComposeState, profile: ModelProfile) -> dict[str, Any]:
    return {"profile": profile.id, "state": state.model_dump(mode="json")}


def plan(state: ComposeState, profile: ModelProfile, *, random_seed: int, prompt: str | None = None) -> Plan:
    """The pictures that the column asks for; `prompt` stands in for an empty one when only the cost is wanted.

    Raises
    ------
    RequestError
        naming the field that cannot be read or is out of its limits.
    """
    preset = profile.preset(state.preset)
    sizes = sizes_of(state.size) or ((preset.width, preset.height),)
    steps = steps_of(state.steps) or (preset.steps,)
    guidance = guidance_of(state.guidance) or (preset.guidance_scale,)
    try:
        request = JobRequest(
            prompt=state.prompt if state.prompt.strip() or prompt is None else prompt,
            negative_prompt=state.negative.strip() or None,
            seed=None,
            steps=steps[0],
            guidance_scale=float(guidance[0]),
            width=sizes[0][0],
            height=sizes[0][1],
            snap_resolution=state.snap,
            preset=state.preset,
            sampler=state.sampler,
            noise=state.noise,
        )
    except ValidationError as error:
        raise _as_request_error(error) from error
    return Plan(request, _seeds(state, random_seed), steps, tuple(float(value) for value in guidance), sizes)


def recalled(job: Job, state: ComposeState) -> ComposeState:
    """A picture's settings, all of them, in the column; how many to draw stays."""
    return state.changed(
        prompt=job.prompt,
        negative=job.negative_prompt or "",
        preset=job.preset or state.preset,
        size=words.size(job.requested_width, job.requested_height),
        steps=str(job.steps),
        guidance=words.number(job.guidance_scale),
        seed=str(job.seed),
        snap=job.snap_resolution,
        sampler=job.sampler if job.sampler in ("unipc", "euler") else None,
        noise=job.noise,
        count=1,
    )


def in_shape(width: int, height: int, ratio: float) -> tuple[int, int]:
    """About the same area in another shape (width / height), sides in multiples of 32 px and inside the limits.

    Where a side would become too short the picture grows instead: a shape that is asked for is kept.
    """
    across, down = math.sqrt(width * height * ratio), math.sqrt(width * height / ratio)
    grown = max(1.0, MIN_SIDE_PX / min(across, down))
    return _fitting(across * grown, down * grown)


def _fitting(width: float, height: float) -> tuple[int, int]:
    sides = [max(MIN_SIDE_PX, nearest_patch_multiple(round(side))) for side in (width, height)]
    while sides[0] * sides[1] > MAX_AREA_PX:
        sides[sides.index(max(sides))] -= PATCH_PX
    return sides[0], sides[1]


def _seeds(state: ComposeState, random_seed: int) -> tuple[int, ...]:
    listed = seeds_of(state.seed)
    if len(listed) > 1:
        return listed
    first = listed[0] if listed else random_seed
    return tuple(range(first, min(first + state.count, MAX_SEED + 1)))


def _as_request_error(error: ValidationError) -> RequestError:
    first = error.errors()[0]
    field = str(first["loc"][0]) if first["loc"] else None
    if field == "prompt":
        return RequestError("Write what you want to see.", field="prompt")
    return RequestError(f"{field}: {first['msg']}", field=field)
