"""The OpenAI shape of the images API: what clients written for that service send and expect. Draws with the same queue.

Beyond OpenAI's fields each picture of an answer says its `id`, `seed` and `adjustments`, streamed or not.
"""

from __future__ import annotations

import secrets
import time
from functools import partial
from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel

from hidream_studio.errors import NotFoundError, RequestError, naming
from hidream_studio.job.adjustment import Adjustment
from hidream_studio.job.job import RANDOM_SEED_BITS
from hidream_studio.job.record import JobView
from hidream_studio.job.request import MAX_SEED, References
from hidream_studio.server.errors import answers
from hidream_studio.server.generate import base64_png
from hidream_studio.server.links import file_url
from hidream_studio.server.openai_request import (
    EditsRequest,
    ImagesRequest,
    adjustments_of,
    edits_request,
    generation_request,
)
from hidream_studio.server.openai_stream import PictureStream
from hidream_studio.server.picture_form import form_body, form_field
from hidream_studio.server.state import StudioOfApp
from hidream_studio.server.waiting import finished_jobs
from hidream_studio.service.studio import Studio

router = APIRouter(prefix="/v1", tags=["openai"])

OWNER = "hidream-studio"


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
    return await _draw(body, request, studio, kind="image_generation")


@router.post(
    "/images/edits",
    response_model=ImagesResponse,
    response_model_exclude_none=True,
    responses={200: {"content": {"text/event-stream": {}}}, **answers(404, 409, 429, 502, 503)},
    openapi_extra=form_body(EditsRequest),
    summary="Draw n pictures from pictures and words: a form, with each picture as image or image[]",
)
async def edit(request: Request, studio: StudioOfApp) -> ImagesResponse | Response:
    """One picture is edited, and keeps its aspect ratio where no size is asked for; several become one scene."""
    body, references = await edits_request(request, studio)
    return await _draw(body, request, studio, kind="image_edit", references=references)


async def _draw(
    body: ImagesRequest, request: Request, studio: Studio, *, kind: str, references: References | None = None
) -> ImagesResponse | Response:
    if body.partial_images and not body.stream:
        raise RequestError("partial_images needs stream: true", field="partial_images")
    views = await _submit(studio, body, references)
    warnings, as_url = adjustments_of(body, studio), body.response_format == "url"
    if body.stream:
        url_of = partial(file_url, request) if as_url else None
        return PictureStream(
            studio, views, partial_images=body.partial_images or 0, quality=body.quality or "auto", warnings=warnings,
            url_of=url_of, kind=kind,
        )  # fmt: skip
    views = await finished_jobs(studio, [view.id for view in views], request)
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


async def _submit(studio: Studio, body: ImagesRequest, references: References | None) -> list[JobView]:
    count = body.n or 1
    first = secrets.randbits(RANDOM_SEED_BITS) if body.seed is None else body.seed
    if first + count - 1 > MAX_SEED:
        raise RequestError(
            f"seed is {first}, and the last of {count} would be {first + count - 1}; it must be at most {MAX_SEED}",
            field="seed", limit=MAX_SEED,
        )  # fmt: skip
    with naming(lambda field: "size" if field in ("width", "height") else form_field(field)):
        requests = [
            generation_request(studio, body, seed=first + index, references=references) for index in range(count)
        ]
        if count == 1:
            return [await studio.submit(requests[0])]
        return list((await studio.submit_list(requests, field="n")).jobs)


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
