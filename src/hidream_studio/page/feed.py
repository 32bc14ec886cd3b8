"""What the studio tells, brought to one page: collected for a moment, so that eight previews are one message."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from nicegui import background_tasks

from hidream_studio.errors import LibraryError, NotFoundError
from hidream_studio.page.state.session import Session
from hidream_studio.page.state.versions import LIVE, version_of_image, version_of_job
from hidream_studio.service.event_log import Event
from hidream_studio.service.views import Preview

logger = logging.getLogger(__name__)

FLUSH_S = 0.03
RETRY_S = 1.0  # after the library could not be read
TICK_S = 0.5  # how often waiting times are told anew


class Feed:
    """Follows `studio.subscribe` for one session until it is stopped, from the event `since` on."""

    def __init__(self, session: Session, *, since: int, behind: bool = False) -> None:
        self._session = session
        self._since = since
        self._tasks: list[asyncio.Task[Any]] = []
        self._dirty_jobs: dict[str, None] = {}  # an ordered set
        self._previews: dict[str, dict[str, Any]] = {}
        self._wake = asyncio.Event()
        self._queue_changed = False
        self._behind = behind  # something was missed, or could not be read: all is read anew
        self._unfinished = 0  # jobs, when the queue was last looked at

    def start(self) -> None:
        if self._behind:
            self._wake.set()
        loops = (self._follow, self._flush_loop, self._tick_loop)
        self._tasks = [background_tasks.create(self._session.guard.handler(loop)()) for loop in loops]

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _follow(self) -> None:
        async for event in self._session.studio.subscribe(self._since):
            with self._watching():
                await self._take(event)
        self.stop()  # the server is stopping

    @contextmanager
    def _watching(self) -> Iterator[None]:
        """What goes wrong in here ends no loop; what the library kept back is read anew."""
        with self._session.guard:
            try:
                yield
            except LibraryError as error:
                self._fall_behind(error)

    def _fall_behind(self, error: LibraryError) -> None:
        logger.warning("a page shows what it last knew, and asks again: %s", error.message)
        self._behind = True
        self._wake.set()

    async def _take(self, event: Event) -> None:
        session = self._session
        key = str(event.data.get("id", ""))
        if event.type == "preview":
            self._previews[key] = event.data
        elif event.type == "worker":
            session.on.worker()
        elif event.type == "image":
            await self._image_changed(key)
        elif event.type == "queue":
            self._queue_changed = True
            self._behind = self._behind or bool(event.data.get("reset"))
        else:
            self._previews.pop(key, None)
            self._dirty_jobs[key] = None
            self._queue_changed = True
        self._wake.set()

    async def _image_changed(self, key: str) -> None:
        try:
            record = await asyncio.to_thread(self._session.studio.library.image, key)
        except NotFoundError:
            self._session.shown.forget(key)
            self._session.uploads.check()  # pictures that only it needed have gone with it
            return
        if key in self._session.model:
            self._session.shown.take(version_of_image(record))

    async def _flush_loop(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(FLUSH_S)
            self._wake.clear()
            with self._watching():
                await self._flush()
            if self._behind:
                await asyncio.sleep(RETRY_S)

    async def _flush(self) -> None:
        jobs, self._dirty_jobs = self._dirty_jobs, {}
        previews, self._previews = self._previews, {}
        if self._behind:
            self._behind = False  # first: what fails meanwhile sets it again
            with self._watching():
                await self._session.shown.reload(keep_older=True)
                self._session.on.sheet()
        for key in jobs:
            with self._watching():
                await self._session.shown.refresh_job(key)
        for key, data in previews.items():
            self._preview(key, data)
        if self._queue_changed:
            self._queue_changed = False
            self._tell_queue()

    def _preview(self, key: str, data: dict[str, Any]) -> None:
        version = self._session.model.version(key)
        if version is None or version.state != "running":
            return  # it ended while this was under way
        preview = self._session.studio.preview(key)
        if preview is None:
            return
        step = int(data.get("step", version.step))
        version = replace(version, step=max(step, version.step), preview=preview_url(preview))
        self._session.model.put(version)
        self._session.on.progress(version)

    async def _tick_loop(self) -> None:
        """Steps and times to go, told anew while there is work."""
        busy = False
        while True:
            await asyncio.sleep(TICK_S)
            living = self._session.model.has_live()
            with self._watching():
                if living:
                    self._tell_times()
                if living or busy:
                    self._tell_queue()
            busy = living

    def _tell_queue(self) -> None:
        queue = self._session.studio.queue_summary()
        before, self._unfinished = self._unfinished, queue.waiting + queue.running
        self._session.on.queue()
        if self._unfinished < before:
            self._session.on.prices()

    def _tell_times(self) -> None:
        session = self._session
        for view in session.studio.live_jobs():
            known = session.model.version(view.id)
            if known is None or known.state not in LIVE:
                continue
            fresh = replace(version_of_job(view), preview=known.preview)
            if fresh != known:
                session.model.put(fresh)
                if fresh.state == known.state:
                    session.on.progress(fresh)
                else:
                    session.on.cell(session.model.root_of(fresh.key))


def preview_url(preview: Preview) -> str:
    return f"data:{preview.media_type};base64,{base64.b64encode(preview.data).decode('ascii')}"
