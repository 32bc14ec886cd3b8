"""Files that somebody sends: as the body itself, or as the files of a form. Looks at nothing inside them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from fastapi import Request
from starlette.datastructures import FormData, UploadFile

from hidream_studio.errors import RequestError
from hidream_studio.library.records import Upload
from hidream_studio.service.studio import Studio

MAX_FORM_FIELDS = 50  # besides the files
MAX_FIELD_CHARS = 60  # of a field's name, as an error tells it
FORM_TYPE = "multipart/form-data"
Result = TypeVar("Result")


@dataclass(frozen=True)
class SentFile:
    data: bytes
    field: str  # what an error calls it
    name: str | None = None  # as its sender calls it, on a form


def content_type(request: Request) -> str:
    """Without its parameters, in lower case; "" where the call has none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def check_type(request: Request, *allowed: str) -> None:
    """Raises RequestError when the body says that it is of another type."""
    kind = content_type(request)
    if kind not in allowed:
        shown = kind[:60].encode("ascii", "backslashreplace").decode("ascii") or "missing"
        message = f"the Content-Type is {shown}; it must be {' or '.join(allowed)}"
        raise RequestError(message, field="Content-Type", limit=list(allowed))


@asynccontextmanager
async def sent_form(request: Request, max_files: int) -> AsyncIterator[FormData]:
    """The form of a call, its files open until the block ends; one file more than `max_files` is let in, to be counted.

    Raises HTTPException 400 for what is no form, or holds far too much.
    """
    async with request.form(max_files=max_files + 1, max_fields=MAX_FORM_FIELDS) as form:
        yield form


async def of_each_file(request: Request, max_files: int, use: Callable[[SentFile], Awaitable[Result]]) -> list[Result]:
    """What `use` makes of the body itself, or of each file of a form whatever its field is called, one after another.

    Raises
    ------
    RequestError
        when a form holds no file, or more than `max_files`.
    """
    if content_type(request) != FORM_TYPE:
        return [await use(SentFile(await request.body(), "body"))]
    async with sent_form(request, max_files) as form:
        files = [(name, value) for name, value in form.multi_items() if isinstance(value, UploadFile)]
        if not 1 <= len(files) <= max_files:
            allowed = "one" if max_files == 1 else f"1 to {max_files}"
            message = f"the form holds {len(files)} files; send {allowed}, as curl -F file=@picture.png does"
            raise RequestError(message, field="body", limit=max_files)
        return [await use(await read_file(files, index)) for index in range(len(files))]


async def sent_file(request: Request) -> bytes:
    """The one file that the call brings. Raises as `of_each_file`."""

    async def unchanged(file: SentFile) -> bytes:
        return file.data

    return (await of_each_file(request, 1, unchanged))[0]


async def read_file(files: Sequence[tuple[str, UploadFile]], index: int) -> SentFile:
    """One file of a form, by the name of its field: numbered from 0 where there are several."""
    name, file = files[index]
    field = name.removesuffix("[]")[:MAX_FIELD_CHARS]
    return SentFile(await file.read(), field if len(files) == 1 else f"{field}.{index}", file.filename or None)


async def keep(studio: Studio, file: SentFile) -> Upload:
    """The file, taken into the library. Raises RequestError, naming its field, when it is no picture to be used."""
    return await studio.add_upload(file.data, file.name, field=file.field)
