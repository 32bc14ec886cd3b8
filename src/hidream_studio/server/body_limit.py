"""No request body is larger than its path and kind allow, with or without a Content-Length. Looks at none of it."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hidream_studio.job.request import MAX_PICTURE_BYTES
from hidream_studio.model.lora_file import MAX_FILE_BYTES
from hidream_studio.server.errors import BodyTooLarge, body_too_large_response
from hidream_studio.server.root_path import route_path

JSON_LIMIT_BYTES = 1 << 20  # the longest two prompts in \u escapes are 240 KB
FILE_LIMIT_BYTES = 100 << 20  # PNGs to import
PICTURES_JSON_LIMIT_BYTES = 16 << 20  # a picture of 12 MiB in base64; nothing else is answered while JSON is read
PICTURES_LIMIT_BYTES = 256 << 20  # several pictures as files; what is over 1 MiB waits on the disk
DRAIN_FACTOR = 16  # how much more than the limit is read and thrown away, so that the client hears the answer
MAX_DRAIN_BYTES = 1 << 30
FORM_TYPE = "multipart/form-data"
FILE_PATHS = ("/api/images/import", "/_nicegui/")
LORA_PATH = "/api/loras"
UPLOADS_PATH = "/api/uploads"
PICTURES_JSON_PATHS = frozenset({"/generate/t2i", "/api/jobs", "/api/sheets", "/api/estimate", "/api/resolve"})
PICTURES_PATHS = frozenset({UPLOADS_PATH, "/generate/edit", "/v1/images/edits"})
UPLOAD_FIRST = f"send large pictures to {UPLOADS_PATH} and name them by upload_id"


def limit_for(path: str, content_type: str = "") -> int:
    """In bytes."""
    if path == LORA_PATH:
        return MAX_FILE_BYTES + (1 << 20)  # with a form around it
    if path in PICTURES_PATHS and content_type.lower().startswith(FORM_TYPE):
        return PICTURES_LIMIT_BYTES
    if path == UPLOADS_PATH:  # the one picture itself
        return MAX_PICTURE_BYTES
    if path in PICTURES_JSON_PATHS or path in PICTURES_PATHS:
        return PICTURES_JSON_LIMIT_BYTES
    return FILE_LIMIT_BYTES if path.startswith(FILE_PATHS) else JSON_LIMIT_BYTES


class BodyLimitMiddleware:
    """Answers 413 before anything reads a body that says it is too large, and stops one that turns out to be."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = limit_for(route_path(scope), Headers(scope=scope).get("content-type", "").lstrip())
        instead = UPLOAD_FIRST if limit == PICTURES_JSON_LIMIT_BYTES else None
        if _announced_bytes(scope) > limit:
            await _drain(receive, min(limit * DRAIN_FACTOR, MAX_DRAIN_BYTES))
            await body_too_large_response(limit, instead)(scope, receive, send)
            return
        read_bytes = 0

        async def receive_limited() -> Message:
            nonlocal read_bytes
            message = await receive()
            if message["type"] == "http.request":
                read_bytes += len(message.get("body", b""))
                if read_bytes > limit:
                    raise BodyTooLarge(limit, instead)
            return message

        await self.app(scope, receive_limited, send)


def _announced_bytes(scope: Scope) -> int:
    announced = Headers(scope=scope).get("content-length", "0")
    return int(announced) if announced.isascii() and announced.isdigit() else 0


async def _drain(receive: Receive, at_most_bytes: int) -> None:
    """A client that is still sending when the connection closes sees a reset instead of the answer."""
    read_bytes = 0
    while read_bytes < at_most_bytes:
        message = await receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            return
        read_bytes += len(message.get("body", b""))
