"""The folder of LoRAs over HTTP: listed, sent, deleted. What they draw is asked for in requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel
from starlette.datastructures import UploadFile

from hidream_studio.errors import NotFoundError, RequestError
from hidream_studio.job.loras import MAX_NAME_CHARS
from hidream_studio.server.errors import answers
from hidream_studio.server.sent_files import MAX_FORM_FIELDS
from hidream_studio.server.state import StudioOfApp
from hidream_studio.service.loras import LoraEntry, thumbnail_of

router = APIRouter(prefix="/api/loras", tags=["loras"])

PIECE_BYTES = 4 << 20

NameInPath = Annotated[str, Path(max_length=MAX_NAME_CHARS, description="the file's, without .safetensors")]


class LoraAnswer(BaseModel):
    """One file of the folder."""

    name: str  # that requests use
    title: str
    base: str  # what it was trained for, as its metadata say; may be empty
    triggers: list[str]  # words that a prompt should hold
    hash: str | None = None  # SHA-256; absent until the file was read through, and where it cannot be used
    bytes: int
    rank: int  # the largest
    matrices: int  # that it changes
    preview: bool  # whether there is one
    remarks: list[str]  # what is in the file and is not applied
    problem: str | None = None  # why it cannot be used; absent where it can


class LorasAnswer(BaseModel):
    folder: str
    loras: list[LoraAnswer]


def lora_to_dict(entry: LoraEntry) -> dict[str, Any]:
    values = {
        "name": entry.name, "title": entry.title, "base": entry.base, "triggers": list(entry.triggers),
        "hash": entry.hash, "bytes": entry.nbytes, "rank": entry.rank, "matrices": entry.matrices,
        "preview": bool(entry.thumbnail), "remarks": list(entry.remarks), "problem": entry.problem,
    }  # fmt: skip
    return {name: value for name, value in values.items() if value is not None}


@router.get("", response_model=LorasAnswer, response_model_exclude_unset=True, summary="The folder's LoRAs, by name")
async def list_loras(studio: StudioOfApp) -> dict[str, Any]:
    """As they are now; those that cannot be used say why."""
    await asyncio.to_thread(studio.loras.scan, hashes=False)
    return {"folder": str(studio.loras.folder), "loras": [lora_to_dict(entry) for entry in studio.loras.entries()]}


@router.post(
    "",
    status_code=201,
    response_model=LoraAnswer,
    response_model_exclude_unset=True,
    responses=answers(409, 413, 507),
    summary="Add a LoRA: a safetensors file as the body, or as the one file of a form",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def add_lora(
    request: Request,
    studio: StudioOfApp,
    name: Annotated[str | None, Query(max_length=MAX_NAME_CHARS, description="absent: that of the form's file")] = None,
) -> dict[str, Any]:
    """It is kept where it is a LoRA of the model that is served, and refused with the reason where it is not."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        if name is None:
            raise RequestError("name is missing: POST /api/loras?name=ink, with the file as the body", field="name")
        return lora_to_dict(await studio.loras.add(name, _gathered(request.stream())))
    async with request.form(max_files=2, max_fields=MAX_FORM_FIELDS) as form:
        files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        if len(files) != 1:
            raise RequestError(f"the form holds {len(files)} files; send one", field="body", limit=1)
        return lora_to_dict(await studio.loras.add(name or files[0].filename or "", _pieces(files[0])))


@router.get(
    "/{name}/preview",
    response_class=Response,
    responses={200: {"content": {"image/webp": {}, "image/jpeg": {}, "image/png": {}}}, **answers(404)},
    summary="The preview picture that a file's metadata have",
)
async def lora_preview(name: NameInPath, studio: StudioOfApp) -> Response:
    found = thumbnail_of(studio.loras.get(name))
    if found is None:
        raise NotFoundError(f"the LoRA {name!r} has no preview", field="name")
    return Response(found[0], media_type=found[1])


@router.delete("/{name}", status_code=204, responses=answers(404, 507), summary="Delete a LoRA's file")
async def delete_lora(name: NameInPath, studio: StudioOfApp) -> None:
    """Jobs that have it and wait will fail, and say so."""
    await asyncio.to_thread(studio.loras.delete, name)


async def _gathered(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """In pieces that are worth a thread's while."""
    held = bytearray()
    async for chunk in stream:
        held += chunk
        if len(held) >= PIECE_BYTES:
            yield bytes(held)
            held.clear()
    yield bytes(held)


async def _pieces(file: UploadFile) -> AsyncIterator[bytes]:
    while piece := await file.read(PIECE_BYTES):
        yield piece
