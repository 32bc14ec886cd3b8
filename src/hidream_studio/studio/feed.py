"""What the studio tells, brought to one page: collected for a moment, so that eight previews are one message."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

from hidream_studio.errors import NotFoundError
from hidream_studio.job.events import Event
from hidream_studio.studio.session import Session
from hidream_studio.studio.versions import Version, version_of_image

FLUSH_S = 0.03
TICK_S = 0.5  # how often waiting times are told anew


class Feed:
    """Follows `studio.subscribe` for one session until it is stopped."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._tasks: list[asyncio.Task[None]] = []
        self._dirty_jobs: dict[str, None] = {}  # an ordered set
        self._previews: dict[str, dict[str, Any]] = {}
        self._wake = asyncio.Event()
        self._queue_changed = False

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._follow()),
            asyncio.create_task(self._flush_loop()),
            asyncio.create_task(self._tick_loop()),
        ]

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _follow(self) -> None:
        async for event in self._session.studio.subscribe():
            await self._take(event)

    async def _take(self, event: Event) -> None:
        session = self._session
        key = str(event.data.get("id", ""))
        if event.type == "preview":
            self._previews[key] = event.data
        elif event.type == "worker":
            session.on_worker()
        elif event.type == "image":
            await self._image_changed(key)
        elif event.type == "queue":
            self._queue_changed = True
            if event.data.get("reset"):
                await session.reload(keep_older=True)
                session.on_sheet()
        else:
            self._previews.pop(key, None)
            self._dirty_jobs[key] = None
            self._queue_changed = True
        self._wake.set()

    async def _image_changed(self, key: str) -> None:
        try:
            record = await asyncio.to_thread(self._session.studio.library.image, key)
        except NotFoundError:
            self._session.forget(key)
            return
        if key in self._session.model:
            self._session.take(version_of_image(record))

    async def _flush_loop(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(FLUSH_S)
            self._wake.clear()
            jobs, self._dirty_jobs = self._dirty_jobs, {}
            previews, self._previews = self._previews, {}
            for key in jobs:
                self._session.refresh_job(key)
            for key, data in previews.items():
                self._preview(key, data)
            if self._queue_changed:
                self._queue_changed = False
                self._session.on_queue()

    def _preview(self, key: str, data: dict[str, Any]) -> None:
        version = self._session.model.version(key)
        if version is None or version.state not in ("queued", "running"):
            return
        step = int(data.get("step", version.step))
        version = replace(
            version, state="running", step=step, preview_step=step, wait_s=data.get("wait_s", version.wait_s)
        )
        self._session.model.put(version)
        self._session.on_progress(version)

    async def _tick_loop(self) -> None:
        """Steps and times to go, told anew while there is work."""
        busy = False
        while True:
            await asyncio.sleep(TICK_S)
            living = self._session.model.live()
            if living:
                self._tell_times(living)
            if living or busy:
                self._session.on_queue()
            busy = bool(living)

    def _tell_times(self, living: list[Version]) -> None:
        session = self._session
        positions = session.studio.queue_summary().positions
        started = time.monotonic()
        for version in living:
            if version.state == "running":
                self._refresh_running(version)
            elif positions.get(version.key) != version.position or version.position is not None:
                self._refresh_waiting(version, positions.get(version.key))
            if time.monotonic() - started > TICK_S / 4:
                break  # hundreds are waiting: the page comes first

    def _refresh_running(self, version: Version) -> None:
        try:
            view = self._session.studio.job(version.key)
        except NotFoundError:
            return
        if view.state == "running":
            fresh = replace(version, step=max(view.step, version.step), wait_s=view.wait_s)
            self._session.model.put(fresh)
            self._session.on_progress(fresh)

    def _refresh_waiting(self, version: Version, position: int | None) -> None:
        try:
            view = self._session.studio.job(version.key)
        except NotFoundError:
            return
        if view.state == "queued":
            fresh = replace(version, position=position or view.position, wait_s=view.wait_s)
            if (fresh.position, fresh.wait_s) != (version.position, version.wait_s):
                self._session.model.put(fresh)
                self._session.on_progress(fresh)
