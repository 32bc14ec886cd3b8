"""What the compose column holds, and the sheet of jobs that it asks for. Pure; drawn by regions/compose.py."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hidream_studio.errors import RequestError
from hidream_studio.job.job import Job, asked_again, pin
from hidream_studio.job.loras import MAX_LORAS, LoraAsked, LoraHash
from hidream_studio.job.profiles import ModelProfile, Preset, PresetId, Sampler
from hidream_studio.job.references import MAX_REFERENCES, kept_side, kept_size
from hidream_studio.job.request import MAX_SEED, GenerationRequest, JobRequest, Noise, SheetRequest
from hidream_studio.job.sizes import MIN_SIDE_PX, PATCH_PX, drawable
from hidream_studio.job.validation import parse_request, request_error
from hidream_studio.page import words
from hidream_studio.page.state.fields import MAX_VALUES, guidance_of, seeds_of, sizes_of, steps_of, strengths_of
from hidream_studio.page.state.pictures import (
    Picture,
    Pictures,
    asked_for,
    keeps_aspect,
    pictures_of,
    references_of,
)
from hidream_studio.page.state.remembered import readable
from hidream_studio.service.loras import LoraShelf

MAX_TEXT_CHARS = 100_000  # kept of a prompt as it is typed; how many can be drawn is the request's to say
MAX_LINE_CHARS = 2000
MAX_COUNT = 64  # pictures at one click; a sweep may be larger
_WITH_CONTROLS = frozenset(  # fields of a request that the column shows
    {"prompt", "negative_prompt", "preset", "width", "height", "steps", "guidance_scale", "seed", "snap_resolution",
     "sampler", "noise", "references", "layout", "keep_aspect", "loras"}
)  # fmt: skip
MAX_ROOM_PX = 512  # that a size grows by, for a picture's sake
PLACEHOLDER_PROMPT = "a picture"  # prices the buttons while no prompt is there yet

Text = Annotated[str, Field(max_length=MAX_TEXT_CHARS)]
Line = Annotated[str, Field(max_length=MAX_LINE_CHARS)]


class LoraLine(BaseModel):
    """A chosen LoRA, its strength as it is typed."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: Line
    strength: Line = "1"  # a list sweeps
    hash: LoraHash | None = None  # of a recalled picture


class ComposeState(BaseModel):
    """As typed: texts stay texts, so that a half-written list, or a prompt that is too long, survives a reload."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    prompt: Text = ""
    negative: Text = ""
    preset: PresetId | None = "quick"  # None: a recalled picture had none
    size: Line = ""
    steps: Line = ""
    guidance: Line = ""
    seed: Line = ""  # empty: random
    count: Annotated[int, Field(ge=1, le=MAX_COUNT)] = 4
    snap: bool = False
    live: bool = False
    sampler: Sampler | None = None  # None: the recipe's own
    noise: Noise = "linked"
    pictures: Annotated[tuple[Picture, ...], Field(max_length=MAX_REFERENCES)] = ()  # that go into the model
    keep_aspect: bool = True  # of the one picture; beside a box, or among several, it means nothing
    loras: Annotated[tuple[LoraLine, ...], Field(max_length=MAX_LORAS)] = ()
    also: dict[str, Any] = Field(default_factory=dict)  # what a recalled picture asks for and has no control here

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
    loras: tuple[tuple[LoraAsked, ...], ...] = ((),)  # each mix with its strengths

    @property
    def pictures(self) -> int:
        return len(self.seeds) * len(self.steps) * len(self.guidance) * len(self.sizes) * len(self.loras)

    def single(self) -> JobRequest:
        """The first picture alone."""
        return self.request.model_copy(update={"seed": self.seeds[0]})

    @property
    def axes(self) -> tuple[Axis, ...]:
        """What is swept, apart from the seed."""
        every = (
            Axis("sizes", self.sizes), Axis("steps", self.steps), Axis("guidance", self.guidance),
            Axis("strengths", self.loras),
        )  # fmt: skip
        return tuple(axis for axis in every if len(axis.values) > 1)

    def sheet(self) -> SheetRequest:
        """All of them. Raises RequestError where a list is longer than a sheet's may be."""
        try:
            return SheetRequest(
                request=self.request,
                seeds=list(self.seeds),
                steps=list(self.steps),
                guidance_scale=list(self.guidance),
                sizes=list(self.sizes),
                loras=list(self.loras) if len(self.loras) > 1 else None,
            )
        except ValidationError as error:
            raise request_error(error.errors(include_url=False)) from None


def base_preset(state: ComposeState, profile: ModelProfile) -> Preset:
    """What fills in for an empty field."""
    return profile.preset(state.preset or "quick")


def with_preset(state: ComposeState, preset: Preset) -> ComposeState:
    """The preset's size, steps and guidance filled in; each stays free to change."""
    return state.changed(
        preset=preset.id,
        size=words.size(preset.width, preset.height),
        steps=str(preset.steps),
        guidance=words.number(preset.guidance_scale),
        snap=preset.snap_resolution,
    )


def with_room(state: ComposeState, profile: ModelProfile) -> ComposeState:
    """With a size that is as much larger as the one picture's aspect ratio needs, for no side to become too short."""
    try:
        sizes = sizes_of(state.size)
        if len(sizes) != 1 or not keeps_aspect(state.pictures, wanted=state.keep_aspect):
            return state
        for more in range(0, MAX_ROOM_PX, PATCH_PX):
            width, height = (side + more for side in sizes[0])
            side = kept_side(width, height, snap=state.snap, profile=profile)
            if min(kept_size(state.pictures[0].size, side)) >= MIN_SIDE_PX:
                return state.changed(size=words.size(width, height)) if more else state
    except RequestError:  # whoever plans with it says so
        pass
    return state


def first_state(profile: ModelProfile) -> ComposeState:
    """The compose column of a first visit."""
    return with_preset(ComposeState(), profile.preset("quick"))


def restored_state(stored: Any, profile: ModelProfile) -> tuple[ComposeState, tuple[str, ...]]:
    """The column as it was left, and the names of what cannot be read: that is as on a first visit."""
    kept = stored.get("state") if isinstance(stored, dict) else stored
    state, unread = readable(kept, first_state(profile))
    if stored is None or (isinstance(stored, dict) and stored.get("profile") == profile.id):
        return state, unread
    # another model was loaded since: its sizes mean something else, its words do not
    return with_preset(state.changed(also={}), base_preset(state, profile)), unread


def stored_state(state: ComposeState, profile: ModelProfile) -> dict[str, Any]:
    return {"profile": profile.id, "state": state.model_dump(mode="json")}


def plan(state: ComposeState, profile: ModelProfile, *, random_seed: int, prompt: str | None = None) -> Plan:
    """The pictures that the column asks for; `prompt` stands in for an empty one when only the cost is wanted.

    Raises
    ------
    RequestError
        naming the field that cannot be read or is out of its limits.
    """
    preset = base_preset(state, profile)
    sizes = sizes_of(state.size) or ((preset.width, preset.height),)
    steps = steps_of(state.steps) or (preset.steps,)
    guidance = guidance_of(state.guidance) or (preset.guidance_scale,)
    loras = mixes_of(state.loras)
    try:
        request = JobRequest.model_validate({
            **state.also,
            "loras": loras[0] or None,
            **asked_for(state.pictures, keep_aspect=state.keep_aspect),
            "prompt": state.prompt if state.prompt.strip() or prompt is None else prompt,
            "negative_prompt": state.negative or None,
            "seed": None,
            "steps": steps[0],
            "guidance_scale": float(guidance[0]),
            "width": sizes[0][0],
            "height": sizes[0][1],
            "snap_resolution": state.snap,
            "preset": state.preset,
            "sampler": state.sampler,
            "noise": state.noise,
        })  # fmt: skip
    except ValidationError as error:
        raise _as_request_error(error) from error
    scales = tuple(float(value) for value in guidance)
    return Plan(request, _seeds(state, random_seed), steps, scales, sizes, loras)


def mixes_of(lines: Sequence[LoraLine]) -> tuple[tuple[LoraAsked, ...], ...]:
    """Every strength of one crossed with those of the others. Raises RequestError, also where they are too many."""
    strengths = [strengths_of(line.strength) or (1.0,) for line in lines]
    if (count := math.prod(map(len, strengths))) > MAX_VALUES:  # before any is made
        raise RequestError(
            f"the LoRAs' strengths make {count:,} mixes; there may be {MAX_VALUES}", field="loras", limit=MAX_VALUES
        )
    try:
        return tuple(
            tuple(
                LoraAsked(name=line.name, strength=strength, hash=line.hash)
                for line, strength in zip(lines, mix, strict=True)
            )
            for mix in product(*strengths)
        )
    except ValidationError as error:
        raise RequestError(f"a LoRA's {error.errors()[0]['loc'][0]} cannot be used", field="loras") from None


def with_loras_of(state: ComposeState, shelf: LoraShelf) -> tuple[ComposeState, tuple[str, ...]]:
    """The column with those LoRAs that are here, and why the others are not, a clause each."""
    lacks = [shelf.lacking(line.name, line.hash) for line in state.loras]
    kept = tuple(line for line, why in zip(state.loras, lacks, strict=True) if why is None)
    return state.changed(loras=kept), tuple(filter(None, lacks))


def recalled(job: Job, state: ComposeState, profile: ModelProfile) -> ComposeState:
    """A picture's settings in the column, all of them: what it asks for next is the same job."""
    request = parse_request(GenerationRequest, asked_again(job.to_dict()))
    return with_request(request, state, profile, pictures_of(job))


def not_recalled(job: Job, profile: ModelProfile) -> str:
    """What of a picture its settings do not bring back, as sentences; nothing where they bring back all of it."""
    sentences = []
    if job.finish_mode == "keep-composition":
        sentences.append("It was finished from a draft; these are its settings without the draft.")
    if job.profile != profile.id:
        sentences.append(f"It was drawn by {job.profile}, which is not the model here.")
    return " ".join(sentences)


def with_request(
    request: GenerationRequest, state: ComposeState, profile: ModelProfile, pictures: Pictures
) -> ComposeState:
    """The column filled in from a request; what that does not mention keeps what stands there.

    `pictures` are its references, with what is known of them beside the request.
    """
    changes: dict[str, Any] = {
        "prompt": request.prompt,
        "negative": request.negative_prompt or "",
        "count": 1,
        "sampler": request.sampler,
        "also": _also(request, profile, pictures),
        "pictures": pictures,
        "loras": tuple(
            LoraLine(name=lora.name, strength=repr(lora.strength).removesuffix(".0"), hash=lora.hash)
            for lora in request.loras or ()
        ),
    }
    if request.keep_aspect is not None and len(pictures) == 1 and request.layout is None:
        changes["keep_aspect"] = request.keep_aspect
    if "preset" in request.model_fields_set:
        known = any(preset.id == request.preset for preset in profile.presets)
        changes["preset"] = request.preset if known else None
    if "noise" in request.model_fields_set:
        changes["noise"] = request.noise
    if request.width is not None and request.height is not None:
        changes["size"] = words.size(request.width, request.height)
    if request.steps is not None:
        changes["steps"] = str(request.steps)
    if request.guidance_scale is not None:
        changes["guidance"] = repr(request.guidance_scale).removesuffix(".0")  # with every digit
    if request.seed is not None:
        changes["seed"] = str(request.seed)
    if request.snap_resolution is not None:
        changes["snap"] = request.snap_resolution
    return state.changed(**changes)


def _also(request: GenerationRequest, profile: ModelProfile, pictures: Pictures) -> dict[str, Any]:
    """What the column has no control for, as far as the profile would not fill in the same."""
    names = [name for name in type(request).model_fields if name not in _WITH_CONTROLS]
    kept = request.model_copy(update={"seed": 0, "loras": None})
    references = references_of(pictures)
    for name in names:
        without = kept.model_copy(update={name: type(request).model_fields[name].default})
        try:
            needless = pin(without, profile, references=references).job == pin(kept, profile, references=references).job
        except RequestError:  # of another model; the column will say so
            continue
        kept = without if needless else kept
    values = {name: getattr(kept, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def in_shape(width: int, height: int, ratio: float) -> tuple[int, int]:
    """About the same area in another shape (width / height), sides in multiples of 32 px and inside the limits.

    Where a side would become too short the picture grows instead: a shape that is asked for is kept.
    """
    across, down = math.sqrt(width * height * ratio), math.sqrt(width * height / ratio)
    grown = max(1.0, MIN_SIDE_PX / min(across, down))
    return drawable(across * grown, down * grown)


def _seeds(state: ComposeState, random_seed: int) -> tuple[int, ...]:
    listed = seeds_of(state.seed)
    if len(listed) > 1:
        return listed
    first = listed[0] if listed else random_seed
    return tuple(range(first, min(first + state.count, MAX_SEED + 1)))


def _as_request_error(error: ValidationError) -> RequestError:
    first = error.errors()[0]
    field = str(first["loc"][0]) if first["loc"] else None
    if field == "prompt" and not str(first["input"]).strip():
        return RequestError("Write what you want to see.", field="prompt")
    if first["type"] == "string_too_long":
        has, limit = len(first["input"]), first["ctx"]["max_length"]
        message = f"the {words.field(str(field))} has {has:,} characters; at most {limit:,} can be drawn"
        return RequestError(message, field=field, limit=limit)
    return request_error([first])
