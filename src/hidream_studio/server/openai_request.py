"""What OpenAI's clients send to draw a picture, as a request of ours, and what is said of the rest. Draws nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from hidream_studio.errors import RequestError
from hidream_studio.job.adjustment import Adjustment
from hidream_studio.job.loras import MAX_LORAS, LoraAsked
from hidream_studio.job.profiles import PresetId
from hidream_studio.job.request import GenerationRequest, Guidance, Prompt, References, Seed, Steps
from hidream_studio.job.sizes import MAX_ASKED_SIDE_PX, parse_size
from hidream_studio.job.validation import parse_request
from hidream_studio.server.picture_form import picture_form
from hidream_studio.service.studio import Studio

MAX_PICTURES = 10  # OpenAI's limit of n
MAX_PARTIAL_IMAGES = 3  # OpenAI's limit
NO_COMPRESSION = 100  # OpenAI's default
MAX_SIZE_CHARS = 40
Quality = Literal["auto", "low", "medium", "high", "xhigh", "max", "standard", "hd"]
PRESET_OF_QUALITY: dict[str, PresetId] = {
    "low": "quick", "medium": "standard", "standard": "standard", "high": "high", "hd": "high", "xhigh": "high",
    "max": "high",
}  # fmt: skip
NO_MASK = "mask is not taken: the whole picture is drawn anew; leave it out, and say in the prompt what is to change"
Name = Annotated[str, Field(max_length=1000)]


class ImagesRequest(BaseModel):
    """The body of POST /v1/images/generations; an empty text is an absent one, as many clients send it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: Prompt
    model: Annotated[str, Field(max_length=200)] | None = (
        None  # one is loaded; another name is drawn with that, and said so
    )
    n: Annotated[int, Field(ge=1, le=MAX_PICTURES, strict=True)] | None = None
    size: Annotated[str, Field(max_length=MAX_SIZE_CHARS, examples=["1024x768", "auto"])] | None = (
        None  # auto: the official bucket
    )
    quality: Quality | None = None  # steps and guidance of a preset; auto: the model's own recipe
    response_format: Literal["b64_json", "url"] | None = None  # a url needs no token, and ends after a day
    output_format: Literal["png"] | None = None
    output_compression: Annotated[int, Field(ge=0, le=100, strict=True)] | None = None  # a PNG loses nothing
    background: Literal["auto", "opaque"] | None = None
    moderation: Literal["auto", "low"] | None = None  # there is none here
    style: Literal["vivid", "natural"] | None = None  # said in the prompt, or not at all
    user: Name | None = None
    safety_identifier: Name | None = None
    stream: StrictBool | None = None
    partial_images: Annotated[int, Field(ge=0, le=MAX_PARTIAL_IMAGES, strict=True)] | None = None
    num_inference_steps: Steps | None = None
    guidance_scale: Guidance | None = None
    seed: Seed | None = None  # of the first picture; the others count up
    negative_prompt: Annotated[str, Field(max_length=10_000)] | None = None
    snap_resolution: StrictBool | None = None  # absent: a size is rendered as asked
    loras: Annotated[tuple[LoraAsked, ...], Field(max_length=MAX_LORAS)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, body: Any) -> Any:
        if not isinstance(body, dict):
            return body
        return {name: value for name, value in body.items() if value != "" or name == "prompt"}


class EditsRequest(ImagesRequest):
    """The texts of the form of POST /v1/images/edits, beside its pictures."""

    input_fidelity: Literal["high", "low"] | None = None  # the model sees each picture whole


async def edits_request(request: Request, studio: Studio) -> tuple[EditsRequest, References]:
    """The form of an edit; its pictures are in the library then. Raises as `picture_form`."""
    return await picture_form(request, studio, EditsRequest, refused={"mask": NO_MASK})


def generation_request(
    studio: Studio, body: ImagesRequest, *, seed: int, references: References | None = None
) -> GenerationRequest:
    """What OpenAI's fields ask for in ours. Raises RequestError, naming the field."""
    steps, guidance, snap = body.num_inference_steps, body.guidance_scale, body.snap_resolution
    if body.quality in PRESET_OF_QUALITY:
        preset = studio.profile.preset(PRESET_OF_QUALITY[body.quality])
        steps = preset.steps if steps is None else steps
        guidance = preset.guidance_scale if guidance is None else guidance
    width = height = None
    if body.size is not None and body.size != "auto":
        width, height = _sides(body.size)
        snap = False if snap is None else snap
    values = {
        "prompt": body.prompt, "negative_prompt": body.negative_prompt, "seed": seed, "steps": steps,
        "guidance_scale": guidance, "width": width, "height": height, "snap_resolution": snap,
        "loras": body.loras,
        "references": references,
    }  # fmt: skip
    return parse_request(GenerationRequest, values)


def adjustments_of(body: ImagesRequest, studio: Studio) -> list[Adjustment]:
    """What is taken and not done, besides what the job itself tells."""
    return list(_ignored(body, studio))


def _ignored(body: ImagesRequest, studio: Studio) -> Iterator[Adjustment]:
    if body.model is not None and body.model not in (studio.profile.id, studio.health().model):
        yield Adjustment(
            field="model", asked=body.model, used=studio.profile.id, why="the one model that is loaded here"
        )
    if body.quality in ("xhigh", "max"):
        yield Adjustment(field="quality", asked=body.quality, used="high", why="the highest preset here")
    if body.style is not None:
        yield _unused("style", body.style, "this model knows no styles: say it in the prompt")
    if body.moderation == "low":
        yield _unused("moderation", body.moderation, "nothing is moderated here")
    if isinstance(body, EditsRequest) and body.input_fidelity is not None:
        yield _unused("input_fidelity", body.input_fidelity, "the model sees each picture whole, in one way")
    if body.output_compression not in (None, NO_COMPRESSION):
        yield Adjustment(
            field="output_compression", asked=body.output_compression, used=NO_COMPRESSION, why="a PNG loses nothing"
        )
    for name in ("user", "safety_identifier"):
        if (asked := getattr(body, name)) is not None:
            yield _unused(name, asked, "users are not told apart here")


def _unused(field: str, asked: str, why: str) -> Adjustment:
    return Adjustment(field=field, asked=asked, used="none", why=why)


def _sides(size: str) -> tuple[int, int]:
    try:
        width, height = parse_size(size)
    except RequestError:
        message = f"size is {size!r}; write it as 1024x768 (width x height, px), or auto"
        raise RequestError(message, field="size", limit="WIDTHxHEIGHT") from None
    if max(width, height) > MAX_ASKED_SIDE_PX:
        raise RequestError(
            f"size is {size}; its sides must be at most {MAX_ASKED_SIDE_PX} px", field="size", limit=MAX_ASKED_SIDE_PX
        )
    return width, height
