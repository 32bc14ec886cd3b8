"""A whole studio for tests: library, queue and a real worker, on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from hidream_studio.job.record import JobView
from hidream_studio.job.request import JobRequest
from hidream_studio.library.library import Library
from hidream_studio.scheduler.watchdog import Patience
from hidream_studio.service.event_log import Event
from hidream_studio.service.studio import Studio
from hidream_studio.settings import Settings

Result = TypeVar("Result")

WAIT_S = 180.0  # a worker starts within this on a busy machine


def asked(**values: Any) -> JobRequest:
    """A small request: 256², four steps, one forward each."""
    small = {
        "prompt": "a red circle", "seed": 1, "width": 256, "height": 256, "snap_resolution": False, "steps": 4,
        "guidance_scale": 1.0,
    }  # fmt: skip
    return JobRequest(**{**small, **values})


class LiveStudio:
    """A studio that tests call from outside its loop; `events` is everything that a subscriber heard."""

    def __init__(self, data: Path, checkpoint: Path, patience: Patience | None = None, **settings: Any) -> None:
        self.library = Library.open(data)
        given = {"model": str(checkpoint), "profile": "o1-tiny", "data": data, "threads": 1, "preview_interval_s": 0.0}
        self.settings = Settings(**{**given, **settings})
        self.events: list[Event] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.studio: Studio = self.run(self._make(patience))

    async def _make(self, patience: Patience | None) -> Studio:
        studio = Studio(self.settings, self.library, patience=patience)
        self._follower = asyncio.create_task(self._follow(studio))
        await asyncio.sleep(0)
        await studio.start()
        return studio

    async def _follow(self, studio: Studio) -> None:
        async for event in studio.subscribe():
            self.events.append(event)

    def run(self, work: Coroutine[Any, Any, Result], timeout_s: float = WAIT_S) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    def call(self, work: Callable[[], Result]) -> Result:
        """`work` on the loop."""

        async def do() -> Result:
            return work()

        return self.run(do())

    def submit(self, **values: Any) -> JobView:
        return self.run(self.studio.submit(asked(**values)))

    def wait(self, job_id: str) -> JobView:
        return self.run(self.studio.wait(job_id))

    def draw(self, **values: Any) -> JobView:
        return self.wait(self.submit(**values).id)

    def job(self, job_id: str) -> JobView:
        return self.run(self.studio.job(job_id))

    def until(self, condition: Callable[[], object], timeout_s: float = WAIT_S) -> None:
        """Returns when `condition`, asked on the loop, holds."""
        end_s = time.monotonic() + timeout_s
        while not self.call(condition):
            assert time.monotonic() < end_s, "what was waited for did not come"
            time.sleep(0.005)

    def until_job(self, job_id: str, condition: Callable[[JobView], object], timeout_s: float = WAIT_S) -> None:
        """Returns when `condition` holds of the job."""
        end_s = time.monotonic() + timeout_s
        while not condition(self.job(job_id)):
            assert time.monotonic() < end_s, "what was waited for did not come"
            time.sleep(0.005)

    def until_ready(self) -> None:
        self.until(lambda: self.studio.health().ready)

    def until_step(self, job_id: str, step: int) -> None:
        self.until_job(job_id, lambda view: (view.step or 0) >= step)

    @property
    def worker_pid(self) -> int:
        pid = self.call(self.studio.health).worker_pid
        assert pid is not None
        return pid

    def events_of(self, job_id: str) -> list[str]:
        """Types of the job's events, each run of equal ones once."""
        types = [event.type for event in self.events if event.data.get("id") == job_id]
        return [type_ for index, type_ in enumerate(types) if index == 0 or types[index - 1] != type_]

    @property
    def closed(self) -> bool:
        return self._loop.is_closed()

    def close(self) -> None:
        self.run(self.studio.stop())
        self.run(asyncio.wait_for(self._follower, 5.0))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self.library.close()
