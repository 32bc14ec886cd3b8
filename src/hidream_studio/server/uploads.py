"""Pictures as input over HTTP: taken in, told of, shown. What is read of them is the library's to say."""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from hidream_studio.errors import NotFoundError
from hidream_studio.job.references import MAX_REFERENCES
from hidream_studio.job.request import UPLOAD_ID
from hidream_studio.job.values import to_json
from hidream_studio.library.records import Upload
from hidream_studio.server.answers import UploadAnswer, UploadsAnswer
from hidream_studio.server.errors import answers
from hidream_studio.server.images import FOR_EVER
from hidream_studio.server.picture_form import BINARY
from hidream_studio.server.sent_files import FORM_TYPE, keep, of_each_file
from hidream_studio.server.state import LibraryOfApp, RootPath, StudioOfApp

router = APIRouter(prefix="/api/uploads", tags=["library"])

MEDIA_TYPES = ("image/png", "image/jpeg", "image/webp", "image/gif", "image/tiff", "image/bmp")
_FILES = {"type": "array", "items": BINARY, "minItems": 1, "maxItems": MAX_REFERENCES}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            **{media_type: {"schema": BINARY} for media_type in MEDIA_TYPES},
            FORM_TYPE: {"schema": {"type": "object", "properties": {"file": _FILES}, "required": ["file"]}},
        },
    }
}


def _upload_id(upload_id: str) -> str:
    if not re.fullmatch(UPLOAD_ID, upload_id):
        shown = upload_id[:70].encode("ascii", "backslashreplace").decode("ascii")
        raise NotFoundError(f"there is no upload {shown}", field="id")
    return upload_id


UploadId = Annotated[str, Depends(_upload_id)]


@router.post(
    "",
    response_model=UploadsAnswer,
    response_model_exclude_none=True,
    openapi_extra=_BODY,
    summary="Take in pictures, to be named as upload_id in references",
)
async def upload(request: Request, studio: StudioOfApp, root_path: RootPath) -> dict[str, Any]:
    """The body is the picture itself, or a form with one file or several.

    The same bytes have the same id. What nothing uses is kept for a day; `notes` say what is converted when it is used.
    """
    kept = await of_each_file(request, MAX_REFERENCES, partial(keep, studio))
    return {"uploads": [upload_to_dict(upload, root_path) for upload in kept]}


@router.get(
    "/{upload_id}",
    response_model=UploadAnswer,
    response_model_exclude_none=True,
    responses=answers(404),
    summary="What is known of a picture that was taken in",
)
def get_upload(upload_id: UploadId, library: LibraryOfApp, root_path: RootPath) -> dict[str, Any]:
    return upload_to_dict(library.upload(upload_id), root_path)


@router.head("/{upload_id}/file", include_in_schema=False)
@router.get(
    "/{upload_id}/file",
    response_class=Response,
    responses={200: {"content": {media_type: {} for media_type in MEDIA_TYPES}}, **answers(404)},
    summary="The picture as it was sent",
)
def get_file(upload_id: UploadId, library: LibraryOfApp) -> Response:
    media_type = library.upload(upload_id).media_type
    return Response(library.upload_bytes(upload_id), media_type=media_type, headers=FOR_EVER)


@router.head("/{upload_id}/thumb", include_in_schema=False)
@router.get(
    "/{upload_id}/thumb",
    response_class=Response,
    responses={200: {"content": {"image/webp": {}}}, **answers(404)},
    summary="A small picture of it, as WebP",
)
def get_thumbnail(upload_id: UploadId, library: LibraryOfApp) -> Response:
    return Response(library.upload_thumbnail(upload_id), media_type="image/webp", headers=FOR_EVER)


def upload_to_dict(upload: Upload, root_path: str) -> dict[str, Any]:
    """An upload as `UploadAnswer` has it, `root_path` before its addresses."""
    address = f"{root_path}/api/uploads/{upload.hash}"
    return {**to_json(upload), "id": upload.hash, "file": f"{address}/file", "thumb": f"{address}/thumb"}
