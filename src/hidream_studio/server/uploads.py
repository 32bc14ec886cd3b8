"""A file that somebody sends: as the body itself, or as the one file of a form. Looks at nothing inside it."""

from __future__ import annotations

from fastapi import Request
from starlette.datastructures import UploadFile

from hidream_studio.errors import RequestError

MAX_FORM_FIELDS = 20  # besides the file; what a form says of it is not looked at


async def uploaded_file(request: Request) -> bytes:
    """The bytes.

    Raises
    ------
    RequestError
        when a form holds no file, or more than one.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        return await request.body()
    async with request.form(max_files=2, max_fields=MAX_FORM_FIELDS) as form:
        files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        if len(files) != 1:
            message = f"the form holds {len(files)} files; send one, as curl -F file=@picture.png does"
            raise RequestError(message, field="body", limit=1)
        return await files[0].read()
