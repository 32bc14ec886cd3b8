"""One object that takes requests, keeps the queue, and tells what happens. Knows nothing of HTTP, pages or tensors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from hidream_studio.job.events import Event, JobView, State
from hidream_studio.job.job import PinnedJob
from hidream_studio.job.profiles import ModelProfile
from hidream_studio.job.request import FinishRequest, GenerationRequest, JobRequest, Lane, SheetRequest
from hidream_studio.service.views import Estimate, Health, Preview, QueueSummary, SheetView
from hidream_studio.settings import Settings

if TYPE_CHECKING:
    from hidream_studio.library.library import Library


class Studio:
    """Requests in, pictures in the library, events out. Lives on one asyncio loop; its library is used from threads.

    A finished job's picture has the job's id.
    """

    settings: Settings
    library: Library
    profile: ModelProfile

    def __init__(self, settings: Settings, library: Library) -> None: ...

    async def start(self) -> None:
        """Put back what the last run left, and start the worker. Returns at once; `health` tells when it is ready."""
        raise NotImplementedError

    async def stop(self) -> None:
        """Let the step end, put running jobs back into the queue, end all subscriptions, leave within 5 s."""
        raise NotImplementedError

    async def submit(
        self, request: GenerationRequest, *, lane: Lane | None = None, sheet_id: str | None = None
    ) -> JobView:
        """Pin `request` and queue it. A `JobRequest`'s own lane counts where `lane` is None. On disk when this returns.

        A caller that is cancelled meanwhile cancels the job.

        Raises
        ------
        RequestError, PromptError
            before anything is written; names field and limit.
        QueueFullError
            with `retry_after_s`.
        WorkerError
            when the model could not be loaded, with the reason.
        LibraryError
            when the job cannot be written.
        """
        raise NotImplementedError

    async def submit_sheet(self, request: SheetRequest) -> SheetView:
        """The cross product of the sheet's lists, all queued or none. Raises as `submit`."""
        raise NotImplementedError

    async def replace(
        self, request: GenerationRequest, *, lane: Lane | None = "draft", replaces: str | None = None
    ) -> JobView:
        """Cancel `replaces` (when it has not ended) and queue `request`, in one call."""
        raise NotImplementedError

    async def finish(self, image_id: str, request: FinishRequest) -> JobView:
        """Queue the draft's finished version, in the final lane. Raises as `submit`, and NotFoundError."""
        raise NotImplementedError

    async def retry(self, job_id: str, *, smaller: bool = False) -> JobView:
        """Queue a failed or cancelled job again under a new id; `smaller` with half as many pixels.

        Raises
        ------
        NotFoundError, ConflictError (it has not ended so), QueueFullError, WorkerError
        RequestError
            when it cannot be smaller.
        """
        raise NotImplementedError

    async def cancel(self, job_id: str) -> JobView:
        """Cancel at the next step. The answer may still say "running" while that step lasts longer than a second.

        Raises
        ------
        NotFoundError, ConflictError (it has ended)
        """
        raise NotImplementedError

    async def clear(self, lane: Lane | None = None) -> int:
        """Cancel every job of the lane (of both, without one), waiting or running. Returns how many."""
        raise NotImplementedError

    def pause(self, lane: Lane | None = None) -> None:
        """Start no more jobs of the lane (of both, without one); what runs goes on. Kept over a restart."""
        raise NotImplementedError

    def resume(self, lane: Lane | None = None) -> None:
        """Start jobs of the lane again."""
        raise NotImplementedError

    def front(self, job_id: str) -> JobView:
        """Let this job's steps go before all others'. Raises NotFoundError, ConflictError (it has ended)."""
        raise NotImplementedError

    def job(self, job_id: str) -> JobView:
        """A job in its state now. Raises NotFoundError."""
        raise NotImplementedError

    def jobs(
        self,
        *,
        states: tuple[State, ...] | None = None,
        sheet_id: str | None = None,
        limit: int = 200,
        before: str | None = None,
    ) -> list[JobView]:
        """Jobs, newest first; `before` a job's id, for the next page."""
        raise NotImplementedError

    async def wait(self, job_id: str) -> JobView:
        """The job when it has ended. May be cancelled, which leaves the job alone.

        Raises
        ------
        NotFoundError
        WorkerError
            when the server stops or the model cannot be loaded, so that it will not end now; it stays in the queue.
        """
        raise NotImplementedError

    def preview(self, job_id: str) -> Preview | None:
        """The newest preview of a running job. Raises NotFoundError for an unknown one."""
        raise NotImplementedError

    def subscribe(self, after: int | None = None) -> AsyncIterator[Event]:
        """Events from now on, or all since the event of that number.

        Where `after` is too old to be continued, a `queue` event with `"reset": true` and all unended jobs comes first.
        """
        raise NotImplementedError

    def listen(self, callback: Callable[[JobView], None]) -> Callable[[], None]:
        """Call `callback` with each job that ends, on the loop. Returns what ends that."""
        raise NotImplementedError

    def estimate(self, request: GenerationRequest) -> Estimate:
        """What `request` would cost and become. Raises RequestError, PromptError."""
        raise NotImplementedError

    def estimate_finish(self, image_id: str, request: FinishRequest) -> Estimate:
        """What a finish would cost and become. Raises RequestError, NotFoundError."""
        raise NotImplementedError

    def resolve(self, request: GenerationRequest) -> PinnedJob:
        """What `request` would become. Raises RequestError, PromptError."""
        raise NotImplementedError

    def restart_worker(self) -> None:
        """Try again to load the model after it failed; nothing happens otherwise."""
        raise NotImplementedError

    def queue_summary(self) -> QueueSummary:
        raise NotImplementedError

    def health(self) -> Health:
        raise NotImplementedError
