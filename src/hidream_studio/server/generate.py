"""POST /generate/t2i: one picture, answered when it is there."""

from __future__ import annotations

import asyncio
import base64

from fastapi import APIRouter, Request

from hidream_studio.errors import NotFoundError
from hidream_studio.job.request import GenerationRequest, TextToImageRequest
from hidream_studio.library.files import storage_errors
from hidream_studio.server.answers import PictureAnswer, picture_answer
from hidream_studio.server.errors import answers
from hidream_studio.server.links import file_url
from hidream_studio.server.state import StudioOfApp
from hidream_studio.server.waiting import finished_jobs
from hidream_studio.service.studio import Studio

router = APIRouter(tags=["pictures"])


@router.post(
    "/generate/t2i",
    response_model_exclude_none=True,
    responses=answers(404, 409, 429, 502, 503),
    summary="Draw one picture and wait for it",
)
async def text_to_image(body: TextToImageRequest, request: Request, studio: StudioOfApp) -> PictureAnswer:
    """Only the prompt is needed: what is absent comes from the preset, then from the model's profile.

    A client that hangs up cancels its job.
    """
    return await draw(body, request, studio)


async def draw(body: TextToImageRequest, request: Request, studio: Studio) -> PictureAnswer:
    """The answer of a call that waits for one picture. Raises as `Studio.submit` and `finished_jobs`."""
    asked = GenerationRequest.model_validate(body.model_dump(exclude={"response_format"}))
    view = await studio.submit(asked)
    (view,) = await finished_jobs(studio, [view.id], request)
    image_id = view.image_id or view.id
    if body.response_format == "url":
        return picture_answer(view, url=file_url(request, image_id))
    return picture_answer(view, image=await base64_png(studio, image_id))


async def base64_png(studio: Studio, image_id: str) -> str:
    """The file of a picture of the library. Raises NotFoundError when it has vanished, else LibraryError."""

    def read() -> str:
        path = studio.library.file_path(image_id)
        with storage_errors(path):
            try:
                return base64.b64encode(path.read_bytes()).decode("ascii")
            except FileNotFoundError as error:
                raise NotFoundError(f"the file of picture {image_id} has vanished", field="id") from error

    return await asyncio.to_thread(read)
