"""Pictures that a request names, brought into the library: from then on they are called by their upload's id.

Reads files and writes them: to be called beside the event loop. Knows no queue and no model.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import TypeVar

from hidream_studio.errors import LibraryError, NotFoundError, RequestError
from hidream_studio.image.intake import conversion
from hidream_studio.job.adjustment import Adjustment
from hidream_studio.job.references import Reference
from hidream_studio.job.request import GenerationRequest, ReferenceRequest
from hidream_studio.library.files import storage_errors
from hidream_studio.library.library import Library
from hidream_studio.library.records import Upload

Request = TypeVar("Request", bound=GenerationRequest)
FindUpload = Callable[[str], Upload]  # raises NotFoundError


def with_uploads(request: Request, library: Library) -> Request:
    """The same request, whose references are all on disk and named by their upload's id.

    Raises
    ------
    RequestError
        naming the reference, when it is no picture that can be read, or is not known.
    StorageFullError, LibraryError
    """
    if request.references is None or not needs_files(request):
        return request
    kept = tuple(_kept(one, f"references.{index}", library) for index, one in enumerate(request.references))
    return request.model_copy(update={"references": kept})


def needs_files(request: GenerationRequest) -> bool:
    """Whether `with_uploads` has anything to do."""
    return any(one.upload_id is None for one in request.references or ())


def looked_up(request: GenerationRequest, find: FindUpload) -> tuple[tuple[Reference, ...], tuple[Adjustment, ...]]:
    """The references of a request whose pictures are uploads, and what reading them changes. Reads no disk.

    Raises
    ------
    RequestError
        naming the reference that is not known, or is no upload yet.
    """
    references: list[Reference] = []
    told: list[Adjustment] = []
    for index, one in enumerate(request.references or ()):
        field = f"references.{index}"
        if one.upload_id is None:
            raise RequestError(f"{field} is no upload yet; send its picture first", field=field)
        upload = _found(one.upload_id, field, find)
        references.append(upload.reference(one.role))
        told += conversion(field, (upload.width, upload.height), upload.notes)
    return tuple(references), tuple(told)


def _kept(one: ReferenceRequest, field: str, library: Library) -> ReferenceRequest:
    if one.upload_id is not None:
        return one
    name = None
    if one.image is not None:
        data = _decoded(one.image, field)
    else:
        name, data = f"{one.image_id}.png", _picture(str(one.image_id), field, library)
    return ReferenceRequest(upload_id=library.add_upload(data, name, field=field).hash, role=one.role)


def _found(upload_id: str, field: str, find: FindUpload) -> Upload:
    try:
        return find(upload_id)
    except NotFoundError as error:
        raise RequestError(f"{field}: {error.message}", field=field) from None


def _picture(image_id: str, field: str, library: Library) -> bytes:
    try:
        path = library.file_path(image_id)
        with storage_errors(path):
            return path.read_bytes()
    except (NotFoundError, LibraryError) as error:
        raise RequestError(f"{field}: {error.message}", field=field) from None


def _decoded(text: str, field: str) -> bytes:
    """Of base64, also as a data URL has it."""
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise RequestError(f"{field}.image is no base64", field=f"{field}.image") from None
