"""What memory knows of jobs, brought to the library: in turn, and what it cannot write now as soon as it can.

Knows fields and files, and no rule of the queue. Answers come from memory until the library has caught up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Any

from hidream_studio.errors import LibraryError, NotFoundError, StudioError
from hidream_studio.job.request import Lane
from hidream_studio.library.library import Library
from hidream_studio.library.records import ImageDraft
from hidream_studio.service.archive import Archive

RETRY_S = 2.0  # between two tries of what could not be written
PAUSED_SETTING = "queue.paused"
_OF_THE_END = frozenset({"state", "finished_at", "elapsed_s", "queued_s", "timings", "error", "image_id"})

Changes = dict[str, Any]


class Ledger:
    """Called on the event loop. `on_written` is called there with each job of which nothing is owed any more."""

    def __init__(self, library: Library, archive: Archive, *, on_written: Callable[[str], None]) -> None:
        self._library = library
        self._archive = archive
        self._on_written = on_written
        self._owed: dict[str, Changes] = {}  # by job: what the library lacks; of each field the newest value
        self._paused: list[Lane] | None = None  # the same of the lanes that are paused
        self._lock = threading.Lock()  # of what is owed
        self._again: asyncio.TimerHandle | None = None
        self._told = False  # that something could not be written

    def note(self, job_id: str, changes: Changes) -> None:
        """Write these fields of a job soon."""
        self._owe(job_id, changes)
        self._archive.write_later(self._pay, job_id, asyncio.get_running_loop())

    async def write(self, job_id: str, changes: Changes) -> bool:
        """Whether they are written now; if not, they will be as soon as they can."""
        self._owe(job_id, changes)
        try:
            return await self._archive.write(self._pay, job_id, asyncio.get_running_loop())
        except LibraryError:  # it is being closed
            return False

    async def store(self, draft: ImageDraft, png: bytes) -> None:
        """The picture and its job's end. Raises LibraryError, and whatever else kept it from the library."""
        await self._archive.write(self._store, draft, png)

    def note_paused(self, lanes: list[Lane]) -> None:
        with self._lock:
            self._paused = lanes
        self._archive.write_later(self._pay_paused, asyncio.get_running_loop())

    def owes(self, job_id: str) -> bool:
        with self._lock:
            return job_id in self._owed

    def close(self) -> None:
        """Try for the last time, before the archive is closed."""
        if self._again is not None:
            self._again.cancel()
        self._pay_all()

    def _owe(self, job_id: str, changes: Changes) -> None:
        with self._lock:
            self._owed[job_id] = self._owed.get(job_id, {}) | changes

    def _pay_all(self) -> None:
        self._again = None
        loop = asyncio.get_running_loop()
        with self._lock:
            owed, paused = list(self._owed), self._paused
        for job_id in owed:
            self._archive.write_later(self._pay, job_id, loop)
        if paused is not None:
            self._archive.write_later(self._pay_paused, loop)

    # On the archive's thread

    def _pay(self, job_id: str, loop: asyncio.AbstractEventLoop) -> bool:
        with self._lock:
            changes = self._owed.pop(job_id, None)
        if changes is None:
            return True
        try:
            self._library.update_job(job_id, **changes)
        except NotFoundError as error:
            logging.getLogger(__name__).error("a change of a job was not written: %s", error.message)
        except Exception as error:  # noqa: BLE001  memory is right, and the library must get there, whatever it was
            with self._lock:
                self._owed[job_id] = changes | self._owed.get(job_id, {})
            self._failed(f"job {job_id}", error, loop)
            return False
        self._wrote()
        _on_loop(loop, self._on_written, job_id)
        return True

    def _store(self, draft: ImageDraft, png: bytes) -> None:
        self._library.store_image(draft, png)
        with self._lock:
            owed = self._owed.get(draft.job_id, {})
            for name in _OF_THE_END & owed.keys():  # older than what was written with the picture
                del owed[name]

    def _pay_paused(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            paused = self._paused
        if paused is None:
            return
        try:
            self._library.notes.set_setting(PAUSED_SETTING, paused)
        except Exception as error:  # noqa: BLE001  as above
            self._failed("which lanes are paused", error, loop)
            return
        with self._lock:
            if self._paused is paused:
                self._paused = None
        self._wrote()

    def _failed(self, what: str, error: Exception, loop: asyncio.AbstractEventLoop) -> None:
        if not self._told:  # once for a full disk, however many jobs end meanwhile
            self._told = True
            reason = error.message if isinstance(error, StudioError) else f"{type(error).__name__}: {error}"
            logging.getLogger(__name__).error(
                "%s is not on disk yet, and is tried again every %.0f s: %s", what, RETRY_S, reason
            )
        _on_loop(loop, self._try_again)

    def _wrote(self) -> None:
        if self._told:
            self._told = False
            logging.getLogger(__name__).info("the library can be written again")

    def _try_again(self) -> None:
        if self._again is None:
            self._again = asyncio.get_running_loop().call_later(RETRY_S, self._pay_all)


def _on_loop(loop: asyncio.AbstractEventLoop, work: Callable[..., None], *args: object) -> None:
    with contextlib.suppress(RuntimeError):  # it is closed: the server has stopped
        loop.call_soon_threadsafe(work, *args)
