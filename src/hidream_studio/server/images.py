"""The library over HTTP: pictures, their files, favourites, lineage, import and finishing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, StrictBool

from hidream_studio.errors import NotFoundError
from hidream_studio.job.request import FinishRequest
from hidream_studio.job.values import to_json
from hidream_studio.library.records import ImageRecord
from hidream_studio.server.answers import (
    EstimateAnswer,
    ImageAnswer,
    ImageDetailAnswer,
    ImagesAnswer,
    ImportAnswer,
    JobAnswer,
    page_of,
)
from hidream_studio.server.errors import answers
from hidream_studio.server.links import FILE_ROUTE
from hidream_studio.server.presets import estimate_values
from hidream_studio.server.sent_files import sent_file
from hidream_studio.server.state import ImageId, LibraryOfApp, RootPath, StudioOfApp
from hidream_studio.service.views import job_to_dict

router = APIRouter(prefix="/api/images", tags=["library"])

MAX_IMAGES_A_PAGE = 1000
MAX_QUERY_CHARS = 1000
FROM_JOB = ("parent_id", "finish_mode", "width", "height", "seed", "steps", "guidance_scale")  # beside `job`
FOR_EVER = {"Cache-Control": "private, max-age=31536000, immutable"}  # an id never names another picture
_BINARY = {"type": "string", "format": "binary"}
_PICTURE_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            **{f"image/{kind}": {"schema": _BINARY} for kind in ("png", "jpeg", "webp")},
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"file": _BINARY}, "required": ["file"]}
            },
        },
    }
}
_PARTS: dict[int | str, dict[str, Any]] = {
    206: {"description": "the part that Range asks for"},
    416: {"description": "there is no such part"},
}


class ImageChanges(BaseModel):
    """The body of PATCH /api/images/{id}: what is absent stays."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    favourite: StrictBool | None = None
    rejected: StrictBool | None = None  # hidden from the sheet, until it is taken back


@router.get("", response_model=ImagesAnswer, response_model_exclude_unset=True, summary="Pictures, newest first")
def list_images(
    library: LibraryOfApp,
    root_path: RootPath,
    q: Annotated[
        str | None,
        Query(
            max_length=MAX_QUERY_CHARS,
            description="words of the prompt; also seed:42 steps:20 size:512x512 guidance:3 …",
        ),
    ] = None,
    favourite: Annotated[bool | None, Query(description="all when absent")] = None,
    rejected: Annotated[bool, Query(description="the rejected ones instead of the others")] = False,
    parent_id: Annotated[str | None, Query(max_length=100)] = None,
    sheet_id: Annotated[str | None, Query(max_length=100)] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_IMAGES_A_PAGE)] = 200,
    before: Annotated[str | None, Query(max_length=100, description="`next` of the page before")] = None,
) -> dict[str, Any]:
    records = library.images(
        q=q, favourite=favourite, rejected=rejected, parent_id=parent_id, sheet_id=sheet_id, limit=limit, before=before
    )
    return page_of("images", [image_to_dict(record, root_path) for record in records], limit)


@router.post(
    "/import",
    response_model=ImportAnswer,
    response_model_exclude_unset=True,
    openapi_extra=_PICTURE_BODY,
    summary="Bring back the settings of a PNG, JPEG or WebP: ours, or those of another program",
)
async def import_picture(request: Request, studio: StudioOfApp, root_path: RootPath) -> dict[str, Any]:
    """The body is the file itself, or a form with one. Its pixels are not decoded.

    Texts of A1111, Forge, SD.Next and Civitai are read, those of SwarmUI, Fooocus and InvokeAI, and simple graphs of
    ComfyUI; `notes` say what a text cannot carry.
    """
    data = await sent_file(request)
    result = await asyncio.to_thread(studio.library.import_picture, data)
    answer: dict[str, Any] = {"settings": studio.loras.with_known(result.settings)}
    return answer | ({"image": image_to_dict(result.record, root_path)} if result.record is not None else {})


@router.get(
    "/{image_id}",
    response_model=ImageDetailAnswer,
    response_model_exclude_unset=True,
    responses=answers(404),
    summary="One picture, with its family from the first draft on",
)
def get_image(image_id: ImageId, library: LibraryOfApp, root_path: RootPath) -> dict[str, Any]:
    record = library.image(image_id)
    return image_to_dict(record, root_path) | {
        "lineage": [image_to_dict(relative, root_path) for relative in library.lineage(image_id)]
    }


@router.head("/{image_id}/file", include_in_schema=False)
@router.get(
    "/{image_id}/file",
    name=FILE_ROUTE,
    response_class=FileResponse,
    responses={200: {"content": {"image/png": {}}}, **_PARTS, **answers(404)},
    summary="The picture itself, as PNG",
)
def get_file(image_id: ImageId, library: LibraryOfApp) -> Response:
    """The `url` of an answer leads here, and needs no token until it ends, a day later."""
    return _file(library.file_path(image_id), "image/png", name=f"hidream-{image_id}.png")


@router.head("/{image_id}/thumb", include_in_schema=False)
@router.get(
    "/{image_id}/thumb",
    response_class=FileResponse,
    responses={200: {"content": {"image/webp": {}}}, **_PARTS, **answers(404)},
    summary="A small picture of it, as WebP",
)
def get_thumbnail(image_id: ImageId, library: LibraryOfApp) -> Response:
    return _file(library.thumbnail(image_id), "image/webp")


@router.patch(
    "/{image_id}",
    response_model=ImageAnswer,
    response_model_exclude_unset=True,
    responses=answers(404),
    summary="Mark as favourite, reject, or take either back",
)
async def change_image(
    image_id: ImageId, body: ImageChanges, studio: StudioOfApp, root_path: RootPath
) -> dict[str, Any]:
    changes = body.model_dump(exclude_none=True)
    if not changes:
        return image_to_dict(await asyncio.to_thread(studio.library.image, image_id), root_path)
    record = await asyncio.to_thread(studio.library.update_image, image_id, **changes)
    changed = image_to_dict(record, root_path)
    studio.publish("image", changed)
    return changed


@router.delete("/{image_id}", status_code=204, responses=answers(404), summary="Delete a picture: file, thumbnail, row")
async def delete_image(image_id: ImageId, studio: StudioOfApp) -> None:
    await asyncio.to_thread(studio.library.delete_image, image_id)
    studio.publish("image", {"id": image_id, "deleted": True})


@router.post(
    "/{image_id}/finish",
    status_code=202,
    response_model=JobAnswer,
    response_model_exclude_unset=True,
    responses=answers(404, 409, 429, 503),
    summary="Draw a draft again at a higher quality",
)
async def finish(image_id: ImageId, body: FinishRequest, studio: StudioOfApp) -> dict[str, Any]:
    return job_to_dict(await studio.finish(image_id, body))


@router.post(
    "/{image_id}/finish/estimate",
    response_model=EstimateAnswer,
    responses=answers(404, 409),
    summary="What a finish would cost",
)
async def estimate_finish(image_id: ImageId, body: FinishRequest, studio: StudioOfApp) -> dict[str, Any]:
    return estimate_values(await studio.estimate_finish(image_id, body))


def image_to_dict(record: ImageRecord, root_path: str) -> dict[str, Any]:
    """A picture as `ImageAnswer` has it, `root_path` before its addresses. Absent values are left out."""
    told = to_json(record)
    job = told["job"]
    values = (
        told
        | {name: job[name] for name in FROM_JOB}
        | {
            "requested": {"width": job["requested_width"], "height": job["requested_height"]},
            "rejected": record.rejected_at is not None,
            "file": f"{root_path}/api/images/{record.id}/file",
            "thumb": f"{root_path}/api/images/{record.id}/thumb",
        }
    )
    return {name: value for name, value in values.items() if value is not None and name in ImageAnswer.model_fields}


def _file(path: Path, media_type: str, *, name: str | None = None) -> Response:
    """The file, looked at before the answer begins: one that has vanished is a 404."""
    try:
        stat = path.stat()
    except OSError as error:
        raise NotFoundError(f"the file {path.name} has vanished from the data folder", field="id") from error
    return FileResponse(
        path,
        media_type=media_type,
        stat_result=stat,
        headers=FOR_EVER,
        filename=name,
        content_disposition_type="inline",
    )
