"""The OpenAI shape of the images API: what clients written for that service send and expect. Draws with the same queue.

Beyond OpenAI's fields it takes `num_inference_steps`, `guidance_scale`, `seed`, `negative_prompt` and
`snap_resolution`, and each picture of the answer says its `id`, `seed` and `adjustments`.
"""

from __future__ import annotations

import secrets
import time
from typing import Annotated, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from hidream_studio.errors import NotFoundError, RequestError, naming
from hidream_studio.job.adjustment import Adjustment
from hidream_studio.job.job import RANDOM_SEED_BITS
from hidream_studio.job.profiles import PresetId
from hidream_studio.job.record import JobView
from hidream_studio.job.request import MAX_SEED, GenerationRequest, Guidance, Prompt, Seed, Steps
from hidream_studio.job.sizes import MAX_ASKED_SIDE_PX
from hidream_studio.job.validation import parse_request
from hidream_studio.server.errors import answers
from hidream_studio.server.generate import base64_png
from hidream_studio.server.links import file_url
from hidream_studio.server.openai_stream import PictureStream
from hidream_studio.server.state import StudioOfApp
from hidream_studio.server.waiting import finished_jobs
from hidream_studio.service.studio import Studio

router = APIRouter(prefix="/v1", tags=["openai"])

MAX_PICTURES = 10  # OpenAI's limit of n
MAX_PARTIAL_IMAGES = 3  # OpenAI's limit
OWNER = "hidream-studio"
Quality = Literal["auto", "low", "medium", "high", "standard", "hd"]
PRESET_OF_QUALITY: dict[str, PresetId] = {
    "low": "quick", "medium": "standard", "standard": "standard", "high": "high", "hd": "high",
}  # fmt: skip


class ImagesRequest(BaseModel):
    """The body of POST /v1/images/generations."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: Prompt
    model: Annotated[str, Field(max_length=200)] | None = (
        None  # one is loaded; another name is drawn with that, and said so
    )
    n: Annotated[int, Field(ge=1, le=MAX_PICTURES, strict=True)] | None = None
    size: Annotated[str, Field(pattern=r"^(auto|[1-9][0-9]{0,4}x[1-9][0-9]{0,4})$")] | None = (
        None  # auto: the official bucket
    )
    quality: Quality | None = None  # steps and guidance of a preset; auto: the model's own recipe
    response_format: Literal["b64_json", "url"] | None = None
    output_format: Literal["png"] | None = None
    background: Literal["auto", "opaque"] | None = None
    moderation: Literal["auto", "low"] | None = None  # there is none here
    style: Literal["vivid", "natural"] | None = None  # said in the prompt, or not at all
    user: Annotated[str, Field(max_length=1000)] | None = None
    stream: StrictBool | None = None
    partial_images: Annotated[int, Field(ge=0, le=MAX_PARTIAL_IMAGES, strict=True)] | None = None
    num_inference_steps: Steps | None = None
    guidance_scale: Guidance | None = None
    seed: Seed | None = None  # of the first picture; the others count up
    negative_prompt: Annotated[str, Field(max_length=10_000)] | None = None
    snap_resolution: StrictBool | None = None  # absent: a size is rendered as asked


class OpenAIImage(BaseModel):
    b64_json: str | None = None
    url: str | None = None
    id: str
    seed: int
    adjustments: list[Adjustment]
    elapsed_s: float


class ImagesResponse(BaseModel):
    created: int
    data: list[OpenAIImage]
    background: Literal["opaque"] = "opaque"
    output_format: Literal["png"] = "png"
    quality: str
    size: str  # as rendered


class ModelAnswer(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class ModelsAnswer(BaseModel):
    object: Literal["list"] = "list"
    data: list[ModelAnswer]


@router.post(
    "/images/generations",
    response_model=ImagesResponse,
    response_model_exclude_none=True,
    responses={200: {"content": {"text/event-stream": {}}}, **answers(404, 409, 429, 502, 503)},
    summary="Draw n pictures and wait for them, or hear of them as they grow (stream)",
)
async def generate(body: ImagesRequest, request: Request, studio: StudioOfApp) -> ImagesResponse | Response:
    """Seeds count up from the first. A client that hangs up cancels what it asked for."""
    if body.partial_images and not body.stream:
        raise RequestError("partial_images needs stream: true", field="partial_images")
    views = await _submit(studio, body)
    warnings = _warnings(body, studio)
    if body.stream:
        return PictureStream(studio, views, partial_images=body.partial_images or 0, quality=body.quality or "auto")
    views = await finished_jobs(studio, [view.id for view in views], request)
    as_url = body.response_format == "url"
    return ImagesResponse(
        created=int(time.time()),
        data=[await _image(studio, request, view, warnings, as_url=as_url) for view in views],
        quality=body.quality or "auto",
        size=f"{views[0].job.width}x{views[0].job.height}",
    )


@router.get("/models", summary="The loaded model")
async def models(studio: StudioOfApp, request: Request) -> ModelsAnswer:
    return ModelsAnswer(data=[_model(studio, request)])


@router.get("/models/{model_id:path}", responses=answers(404), summary="The loaded model, by its name")
async def model(model_id: str, studio: StudioOfApp, request: Request) -> ModelAnswer:
    loaded = _model(studio, request)
    if model_id != loaded.id:
        shown = model_id[:60].encode("ascii", "backslashreplace").decode("ascii")
        raise NotFoundError(f"model {shown} is not loaded; {loaded.id} is", field="model")
    return loaded


async def _submit(studio: Studio, body: ImagesRequest) -> list[JobView]:
    count = body.n or 1
    first = secrets.randbits(RANDOM_SEED_BITS) if body.seed is None else body.seed
    if first + count - 1 > MAX_SEED:
        raise RequestError(
            f"seed is {first}, and the last of {count} would be {first + count - 1}; it must be at most {MAX_SEED}",
            field="seed", limit=MAX_SEED,
        )  # fmt: skip
    requests = [generation_request(studio, body, seed=first + index) for index in range(count)]
    with naming(lambda field: "size" if field in ("width", "height") else field):
        if count == 1:
            return [await studio.submit(requests[0])]
        return list((await studio.submit_list(requests, field="n")).jobs)


def generation_request(studio: Studio, body: ImagesRequest, *, seed: int) -> GenerationRequest:
    """What OpenAI's fields ask for in ours. Raises RequestError, naming the field."""
    steps, guidance, snap = body.num_inference_steps, body.guidance_scale, body.snap_resolution
    if body.quality in PRESET_OF_QUALITY:
        preset = studio.profile.preset(PRESET_OF_QUALITY[body.quality])
        steps = preset.steps if steps is None else steps
        guidance = preset.guidance_scale if guidance is None else guidance
    width = height = None
    if body.size not in (None, "auto"):
        width, height = (int(side) for side in str(body.size).split("x"))
        snap = False if snap is None else snap
        if max(width, height) > MAX_ASKED_SIDE_PX:
            raise RequestError(
                f"size is {body.size}; its sides must be at most {MAX_ASKED_SIDE_PX} px",
                field="size",
                limit=MAX_ASKED_SIDE_PX,
            )
    values = {
        "prompt": body.prompt, "negative_prompt": body.negative_prompt, "seed": seed, "steps": steps,
        "guidance_scale": guidance, "width": width, "height": height, "snap_resolution": snap,
    }  # fmt: skip
    return parse_request(GenerationRequest, values)


def _warnings(body: ImagesRequest, studio: Studio) -> list[Adjustment]:
    if body.model is None or body.model in (studio.profile.id, studio.health().model):
        return []
    return [
        Adjustment(field="model", asked=body.model, used=studio.profile.id, why="the one model that is loaded here")
    ]


async def _image(
    studio: Studio, request: Request, view: JobView, warnings: list[Adjustment], *, as_url: bool
) -> OpenAIImage:
    image_id = view.image_id or view.id
    return OpenAIImage(
        b64_json=None if as_url else await base64_png(studio, image_id),
        url=file_url(request, image_id) if as_url else None,
        id=image_id,
        seed=view.job.seed,
        adjustments=[*warnings, *view.adjustments],
        elapsed_s=round(view.elapsed_s or 0.0, 4),
    )


def _model(studio: Studio, request: Request) -> ModelAnswer:
    return ModelAnswer(id=studio.profile.id, created=request.app.state.started_unix_s, owned_by=OWNER)
