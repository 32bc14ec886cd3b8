"""One thread that writes to the library, in the order of the asking. Knows nothing of what it writes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from hidream_studio.errors import LibraryError, StudioError

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Archive:
    """Keeps the event loop free of fsync, and changes of one job in their order."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "archive")
        self._closed = False

    async def write(
        self, work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        """What `work` returns, or raises, once it is on disk. Goes on when the caller is cancelled."""
        if self._closed:
            raise LibraryError("the library is being closed: the server is stopping")
        return await asyncio.shield(asyncio.wrap_future(self._thread.submit(work, *args, **kwargs)))

    def write_later(self, work: Callable[Arguments, Any], *args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        """Write in turn; a failure is logged, since nobody waits for it."""
        if not self._closed:  # else the server stops: nothing of this was promised to anybody
            self._thread.submit(work, *args, **kwargs).add_done_callback(_log_failure)

    def close(self) -> None:
        """Return when everything is written. A second call does nothing."""
        self._closed = True
        self._thread.shutdown()


def _log_failure(future: Future[Any]) -> None:
    error = future.exception()
    if isinstance(error, StudioError):
        logging.getLogger(__name__).error("the library was not brought up to date: %s", error.message)
    elif error is not None:
        logging.getLogger(__name__).error("the library was not brought up to date", exc_info=error)
