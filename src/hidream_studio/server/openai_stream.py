"""Pictures as they grow, in the events that OpenAI's clients read. Queues nothing; cancels what nobody waits for."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import anyio
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event
from starlette.types import Receive, Scope, Send

from hidream_studio.errors import StudioError
from hidream_studio.job.adjustment import Adjustment
from hidream_studio.job.record import JobView
from hidream_studio.server.errors import error_detail, job_failure
from hidream_studio.server.generate import base64_png
from hidream_studio.server.waiting import PICTURE_LOST, cancel_jobs
from hidream_studio.service.studio import Studio

POLL_S = 0.02  # how often a running job is asked for a new preview; nothing is computed for it


class PictureStream(StreamingResponse):
    """The answer for `views`: up to `partial_images` previews of each picture, then the picture.

    `warnings` are told with each picture; `url_of` gives a picture's address, where that is asked for in place of its
    bytes; `kind` begins the names of the events. Previews are bytes in either case: they are kept nowhere.
    """

    def __init__(
        self,
        studio: Studio,
        views: Sequence[JobView],
        *,
        partial_images: int,
        quality: str,
        kind: str = "image_generation",
        warnings: Sequence[Adjustment] = (),
        url_of: Callable[[str], str] | None = None,
    ) -> None:
        self._warnings = tuple(warnings)
        self._url_of = url_of
        self._studio = studio
        self._job_ids = [view.id for view in views]
        self._quality = quality
        self._kind = kind
        self._partial_images = partial_images
        self._told_everything = False
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(self._events(views), media_type="text/event-stream", headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            if not self._told_everything:
                with anyio.CancelScope(shield=True):
                    await cancel_jobs(self._studio, self._job_ids)

    async def _events(self, views: Sequence[JobView]) -> AsyncIterator[bytes]:
        try:
            for view in views:
                async for event in self._picture(view):
                    yield event
        except StudioError as error:
            if isinstance(error, PICTURE_LOST):
                await cancel_jobs(self._studio, self._job_ids)
            yield _sse("error", {"error": error_detail(error)})
        self._told_everything = True

    async def _picture(self, view: JobView) -> AsyncIterator[bytes]:
        ended = asyncio.ensure_future(self._studio.wait(view.id))
        sent = shown_step = 0
        try:
            while not ended.done():
                preview = self._studio.preview(view.id) if sent < self._partial_images else None
                if preview is not None and preview.step > shown_step and preview.step >= self._due(view, sent):
                    shown_step = preview.step
                    kind = preview.media_type.removeprefix("image/")
                    data = base64.b64encode(preview.data).decode("ascii")
                    yield self._event(view, "partial_image", kind, b64_json=data, partial_image_index=sent)
                    sent += 1
                await asyncio.wait({ended}, timeout=POLL_S if sent < self._partial_images else None)
        finally:
            ended.cancel()
        view = ended.result()
        if view.state != "finished":
            raise job_failure(view)
        image_id = view.image_id or view.id
        if self._url_of is None:
            picture = {"b64_json": await base64_png(self._studio, image_id)}
        else:
            picture = {"url": self._url_of(image_id)}
        facts = {"id": image_id, "seed": view.job.seed, "elapsed_s": round(view.elapsed_s or 0.0, 4)}
        adjustments = [adjustment.model_dump() for adjustment in (*self._warnings, *view.adjustments)]
        yield self._event(view, "completed", "png", **picture, **facts, adjustments=adjustments, usage=_usage(view))

    def _due(self, view: JobView, index: int) -> int:
        """The step from which on partial picture `index` is shown: the first at once, the others spread evenly."""
        return max(1, view.steps * index // self._partial_images)

    def _event(self, view: JobView, kind: str, output_format: str, **more: Any) -> bytes:
        event = f"{self._kind}.{kind}"
        values = {
            "type": event, "created_at": int(time.time()), "background": "opaque",
            "output_format": output_format, "quality": self._quality, "size": f"{view.job.width}x{view.job.height}",
        }  # fmt: skip
        return _sse(event, values | more)


def _usage(view: JobView) -> dict[str, Any]:
    """Image tokens are the patches that were drawn; nothing is billed, so the prompt's are not counted."""
    tokens = view.job.image_tokens
    return {
        "input_tokens": 0, "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
        "output_tokens": tokens, "total_tokens": tokens,
    }  # fmt: skip


def _sse(event: str, data: dict[str, Any]) -> bytes:
    return format_sse_event(data_str=json.dumps(data), event=event)
