"""One object that takes requests, keeps the queue, and tells what happens. Knows nothing of HTTP, pages or tensors."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

from hidream_studio.engine.messages import WorkerSpec
from hidream_studio.errors import ConflictError, StudioError, naming
from hidream_studio.job.clock import utc_now
from hidream_studio.job.ids import new_id, new_ids
from hidream_studio.job.job import Job, PinnedJob
from hidream_studio.job.profiles import ModelProfile
from hidream_studio.job.record import JobError, JobRecord, JobView, State
from hidream_studio.job.request import FinishRequest, GenerationRequest, Lane, SheetRequest
from hidream_studio.library.library import Library
from hidream_studio.library.records import ImageRecord, Upload
from hidream_studio.scheduler.link import OpenLink
from hidream_studio.scheduler.process import WorkerProcess
from hidream_studio.scheduler.queue import LANES
from hidream_studio.scheduler.supervisor import WorkerState
from hidream_studio.scheduler.watchdog import Patience
from hidream_studio.service.active import ActiveJob, view_of
from hidream_studio.service.archive import Archive
from hidream_studio.service.event_log import Event, EventLog, EventType
from hidream_studio.service.foreman import Foreman
from hidream_studio.service.health import health_of
from hidream_studio.service.ledger import PAUSED_SETTING
from hidream_studio.service.listing import listed
from hidream_studio.service.references import Request, needs_files, with_uploads
from hidream_studio.service.resolver import Resolver
from hidream_studio.service.variations import check_count, check_sheet, sheet_requests
from hidream_studio.service.views import (
    Estimate,
    Health,
    Preview,
    QueueSummary,
    SheetEstimate,
    SheetView,
    job_to_dict,
    queue_to_dict,
)
from hidream_studio.settings import Settings

WATCH_LORAS_S = 2.0
SWEEP_UPLOADS_S = 3600.0
CANCEL_SEEN_S = 1.0  # how long `cancel` waits for the job's end before it answers
LIVE_STATES: frozenset[State] = frozenset({"queued", "running"})


class Studio:
    """Requests in, pictures in the library, events out. Lives on one asyncio loop, which never waits for the library.

    A finished job's picture has the job's id. The library is opened and closed by the caller.
    """

    def __init__(
        self,
        settings: Settings,
        library: Library,
        *,
        patience: Patience | None = None,
        open_link: OpenLink = WorkerProcess,
    ) -> None:
        """Raises CheckpointError when the checkpoint's own profile cannot be read."""
        self.settings = settings
        self.library = library
        self._resolver = Resolver(settings, library.notes.cost_samples(), library.upload)
        self.loras = self._resolver.loras
        self._chores: list[asyncio.Task[None]] = []
        self._events = EventLog(time.time_ns() // 1_000_000)
        self._archive = Archive()
        self._listeners: list[Callable[[JobView], None]] = []
        self._told_worker: tuple[Any, ...] = ()
        self._of_other_versions: list[JobView] = []  # they wait, and nothing here changes them
        self._stopped = False
        self._foreman = Foreman(
            WorkerSpec.of(settings),
            open_link,
            patience=patience or Patience(step_s=settings.step_timeout_s),
            queue_limit=settings.queue_limit,
            library=library,
            archive=self._archive,
            lora_paths=self.loras.paths,
            events=self._events,
            on_end=self._job_ended,
            on_worker=self._worker_changed,
        )

    @property
    def profile(self) -> ModelProfile:
        """What requests are resolved against."""
        return self._resolver.profile

    @property
    def blind(self) -> str | None:
        """Why the model takes no pictures as input; None: it takes them."""
        return self._resolver.checkpoint.blind

    async def start(self) -> None:
        """Put back what the last run left, and start the worker. Returns at once; `health` tells when it is ready."""
        await asyncio.to_thread(self.loras.scan, hashes=False)
        self._chores = [asyncio.create_task(work) for work in (self._watch_loras(), self._sweep_uploads())]
        pending = await self._archive.write(self.library.pending_jobs)
        left = await self._archive.write(self.library.jobs_of_other_versions)
        self._of_other_versions = [view_of(record) for record in left]
        kept = await self._archive.write(self.library.notes.setting, PAUSED_SETTING, [])
        paused = kept if isinstance(kept, list) else []
        jobs = [ActiveJob(record, self._resolver.predict(record.job).step_s) for record in pending]
        unfit = [self._resolver.unfit(active.record) or await self._without_files(active) for active in jobs]
        self._foreman.start(list(zip(jobs, unfit, strict=True)), [lane for lane in LANES if lane in paused])

    async def stop(self) -> None:
        """Let the step end, put running jobs back into the queue, end all subscriptions, leave within 5 s.

        To be called before connections are waited for: those that follow events end only here. A second call does
        nothing.
        """
        if self._stopped:
            return
        self._stopped = True
        for chore in self._chores:
            chore.cancel()
        await self._foreman.stop()
        self._resolver.close()
        self._events.close()
        await asyncio.to_thread(self._archive.close)

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
        request = await self.keep_references(request)
        await self._look_for_loras([request])
        return (await self._admit([(self._resolver.pin(request, lane), _as_asked(request))], sheet_id))[0]

    async def submit_sheet(self, request: SheetRequest) -> SheetView:
        """The cross product of the sheet's lists, all queued or none. Raises as `submit`."""
        check_sheet(request, queue_limit=self.settings.queue_limit)
        request = request.model_copy(update={"request": await self.keep_references(request.request)})
        requests = sheet_requests(request, queue_limit=self.settings.queue_limit)
        with naming(lambda field: "sizes" if request.sizes and field in ("width", "height") else field):
            return await self.submit_list(requests, field="sizes")

    async def submit_list(self, requests: Sequence[GenerationRequest], *, field: str | None = None) -> SheetView:
        """One sheet of these requests, all queued or none. Raises as `submit`.

        `field` asked for so many; None where they are the body, so that errors say which one.
        """
        check_count(len(requests), queue_limit=self.settings.queue_limit, field=field or "body")
        sheet_id = new_id()
        kept = []
        for index, request in enumerate(requests):
            with naming(f"{index}.{{}}".format if field is None else str):
                kept.append(await self.keep_references(request))
        requests = kept
        await self._look_for_loras(requests)
        pinned = self._resolver.pin_all(requests, numbered=field is None)
        views = await self._admit(list(zip(pinned, map(_as_asked, requests), strict=True)), sheet_id)
        return SheetView(sheet_id, tuple(views))

    async def replace(
        self, request: GenerationRequest, *, lane: Lane | None = "draft", replaces: str | None = None
    ) -> JobView:
        """Queue `request` and cancel `replaces` (when it has not ended), in one call. Raises as `submit`.

        Nothing is cancelled when `request` is not queued; the room of the other counts as free.
        """
        request = await self.keep_references(request)
        await self._look_for_loras([request])
        pinned = self._resolver.pin(request, lane)
        old = None if replaces is None else self._foreman.active.get(replaces)
        return (await self._admit([(pinned, _as_asked(request))], None, replaces=old))[0]

    async def add_upload(self, data: bytes, name: str | None = None, *, field: str = "file") -> Upload:
        """Keep a picture as input. Raises RequestError, StorageFullError, LibraryError: see `Library.add_upload`."""
        return await asyncio.to_thread(self.library.add_upload, data, name, field=field)

    async def keep_references(self, request: Request) -> Request:
        """The same request, whose references are on disk and called by their upload's id, as `estimate` wants them.

        Raises RequestError naming the reference, StorageFullError, LibraryError.
        """
        self._resolver.check_takes_pictures(request)
        if not needs_files(request):
            return request
        return await asyncio.to_thread(with_uploads, request, self.library)

    async def finish(self, image_id: str, request: FinishRequest) -> JobView:
        """Queue the draft's finished version, in the final lane. Raises as `submit`, and NotFoundError."""
        return (await self.finish_all([image_id], request))[0]

    async def finish_all(self, image_ids: Sequence[str], request: FinishRequest) -> list[JobView]:
        """Finished versions of all these drafts, queued all or none. Raises as `finish`; RequestError for too many."""
        self._check_drafts(len(image_ids))
        drafts = await asyncio.to_thread(lambda: [self._read_draft(image_id, request) for image_id in image_ids])
        asked = {"finish": request.model_dump(mode="json", exclude_unset=True)}
        return await self._admit(
            [
                (self._resolver.finish_of(draft, request), {**asked, "image_id": image_id})
                for image_id, draft in zip(image_ids, drafts, strict=True)
            ],
            None,
        )

    def _check_drafts(self, count: int) -> None:
        check_count(count, queue_limit=self.settings.queue_limit, field="image_ids")

    async def retry(self, job_id: str, *, smaller: bool = False) -> JobView:
        """Queue a failed or cancelled job again under a new id; `smaller` with half as many pixels.

        Raises
        ------
        NotFoundError
        ConflictError
            when it has not ended so, or finishes a picture of another model.
        RequestError
            when it cannot be smaller.
        QueueFullError, WorkerError, LibraryError
            as `submit`.
        """
        active = self._foreman.active.get(job_id)
        record = active.record if active is not None else await asyncio.to_thread(self.library.job, job_id)
        if record.state not in ("failed", "cancelled"):
            raise ConflictError(f"job {job_id} is {record.state}; only a failed or cancelled one can be tried again")
        again = self._resolver.again(record)
        if smaller:
            again = await self._smaller(again)
        return (await self._admit([(again, record.request)], record.sheet_id))[0]

    async def cancel(self, job_id: str) -> JobView:
        """Cancel at the next step. The answer may still say "running" while that step lasts longer than a second.

        Raises
        ------
        NotFoundError
        ConflictError
            when it has ended.
        """
        active = await self._active_or_conflict(job_id)
        waiter: asyncio.Future[JobView] = asyncio.get_running_loop().create_future()
        active.waiters.add(waiter)
        try:
            self._foreman.ask_cancel(active)
            return await asyncio.wait_for(waiter, CANCEL_SEEN_S)
        except TimeoutError:
            return await self.job(job_id)
        finally:
            active.waiters.discard(waiter)

    async def clear(self, lane: Lane | None = None) -> int:
        """Cancel every job of the lane (of both, without one), waiting or running. Returns how many."""
        chosen = [job for job in self._foreman.active.values() if not job.ended and lane in (None, job.lane)]
        for active in chosen:
            self._foreman.ask_cancel(active)
        return len(chosen)

    def pause(self, lane: Lane | None = None) -> None:
        """Start no more jobs of the lane (of both, without one); what runs goes on. Kept over a restart."""
        self._foreman.pause(LANES if lane is None else (lane,))

    def resume(self, lane: Lane | None = None) -> None:
        """Start jobs of the lane (of both, without one) again."""
        self._foreman.resume(LANES if lane is None else (lane,))

    async def front(self, job_id: str) -> JobView:
        """Let this job's steps go before all others'. Raises NotFoundError, ConflictError (it has ended)."""
        self._foreman.front(await self._active_or_conflict(job_id))
        return await self.job(job_id)

    async def job(self, job_id: str) -> JobView:
        """A job in its state now. Raises NotFoundError."""
        active = self._foreman.active.get(job_id)
        if active is None:
            return await self._kept_job(job_id)
        return self._foreman.lineup().view(active)

    def live_jobs(self) -> list[JobView]:
        """All that wait or run, newest first; those too that wait for the newer version that they were asked of."""
        views = [view for view in self._foreman.lineup().views() if view.state in LIVE_STATES]
        return sorted([*views, *self._of_other_versions], key=lambda view: view.id, reverse=True)

    async def jobs(
        self,
        *,
        states: tuple[State, ...] | None = None,
        sheet_id: str | None = None,
        limit: int = 200,
        before: str | None = None,
    ) -> list[JobView]:
        """Jobs, newest first; `before` a job's id, for the next page."""
        if states is not None and LIVE_STATES.issuperset(states):
            views = [view for view in self.live_jobs() if view.state in states and (before is None or view.id < before)]
            return [view for view in views if sheet_id is None or view.sheet_id == sheet_id][:limit]
        return await listed(
            self.library, self._foreman.lineup, states=states, sheet_id=sheet_id, limit=limit, before=before
        )

    async def wait(self, job_id: str) -> JobView:
        """The job when it has ended. May be cancelled, which leaves the job alone.

        Raises
        ------
        NotFoundError
        WorkerError
            when the server stops or the model cannot be loaded, so that it will not end now; it stays in the queue.
        """
        active = self._foreman.active.get(job_id)
        if active is None:
            return await self._kept_job(job_id)
        return await self._foreman.wait(active)

    def preview(self, job_id: str) -> Preview | None:
        """The newest preview of a running job; None where there is none, or no such job."""
        active = self._foreman.active.get(job_id)
        return None if active is None else active.preview

    @property
    def last_event(self) -> int:
        """The number of the newest event: `subscribe` after it, and nothing is missed while something is read."""
        return self._events.last

    def subscribe(self, after: int | None = None) -> AsyncIterator[Event]:
        """Events from now on, or all since the event of that number.

        Where `after` is too old to be continued, a `queue` event with `"reset": true` and all unended jobs comes first.
        Of a job's steps, previews, and of the queue and the worker only the newest event is kept for slow readers.
        """
        return self._events.follow(after, self._snapshot)

    def publish(self, type_: EventType, data: dict[str, Any]) -> None:
        """Tell all subscribers something that happened outside, such as a picture made a favourite."""
        self._events.publish(type_, data)

    def listen(self, callback: Callable[[JobView], None]) -> Callable[[], None]:
        """Call `callback` with each job that ends, on the loop. Returns what ends that."""
        self._listeners.append(callback)
        return lambda: self._listeners.remove(callback)

    def estimate(self, request: GenerationRequest) -> Estimate:
        """What `request` would cost and become; its references are uploads (`keep_references`).

        Raises RequestError, PromptError.
        """
        return self._estimate(self._resolver.pin(request))

    def estimate_sheet(self, request: SheetRequest) -> SheetEstimate:
        """What the whole sheet would cost, in about the time of one estimate. Raises as `submit_sheet`."""
        pictures = check_sheet(request, queue_limit=self.settings.queue_limit)
        with naming(lambda field: "sizes" if request.sizes and field in ("width", "height") else field):
            drain_s = self._foreman.lineup().summary().drain_s
            return self._resolver.estimate_sheet(request, pictures=pictures, drain_s=drain_s)

    async def estimate_finish(self, image_id: str, request: FinishRequest) -> Estimate:
        """What a finish would cost and become. Raises RequestError, NotFoundError."""
        draft = await asyncio.to_thread(self._read_draft, image_id, request)
        return self._estimate(self._resolver.finish_of(draft, request))

    def finish_all_s(self, drafts: Sequence[Job], request: FinishRequest) -> float:
        """Seconds of work to finish all of these. Raises RequestError, also where they are too many."""
        self._check_drafts(len(drafts))
        alike = Counter(replace(draft, seed=0, parent_id=None) for draft in drafts)
        return sum(
            count * self._resolver.predict(self._resolver.finish("", draft, request).job).seconds
            for draft, count in alike.items()
        )

    def estimate_smaller(self, job: Job) -> Estimate:
        """What a smaller try of this job would cost and become. Raises RequestError when there is none."""
        return self._estimate(self._resolver.smaller(job))

    def resolve(self, request: GenerationRequest) -> PinnedJob:
        """What `request` would become. Raises RequestError, PromptError."""
        return self._resolver.pin(request)

    def restart_worker(self) -> None:
        """Try again to load the model after it failed; nothing happens otherwise."""
        self._foreman.restart_worker()

    def queue_summary(self) -> QueueSummary:
        """What waits and runs, and for how long."""
        return self._foreman.lineup().summary()

    def health(self) -> Health:
        """Whether a picture can be drawn now."""
        return health_of(self._foreman.worker, self._resolver.checkpoint, self.settings)

    async def _watch_loras(self) -> None:
        """Files come and go while we run."""
        while True:
            try:
                await asyncio.to_thread(self.loras.scan)
            except Exception:
                logging.getLogger(__name__).exception("the folder of LoRAs could not be looked through")
            await asyncio.sleep(WATCH_LORAS_S)

    async def _sweep_uploads(self) -> None:
        """The library does so itself when it is opened, and when a picture is deleted."""
        while True:
            await asyncio.sleep(SWEEP_UPLOADS_S)
            try:
                await asyncio.to_thread(self.library.sweep_uploads)
            except Exception:  # a full disk, say: it is tried again
                logging.getLogger(__name__).exception("uploads that nothing needs were not deleted")

    async def _look_for_loras(self, requests: Sequence[GenerationRequest]) -> None:
        """Those that are asked for, as they are on disk now."""
        asked = {lora for request in requests for lora in request.loras or ()}
        if asked:
            await asyncio.to_thread(self.loras.ready, asked)

    def _read_draft(self, image_id: str, request: FinishRequest) -> ImageRecord:
        if request.mode == "keep-composition":
            self.library.file_path(image_id)  # its pixels are needed
        return self.library.image(image_id)

    async def _smaller(self, pinned: PinnedJob) -> PinnedJob:
        """With half as many pixels; what was said of its draft's shape is said anew."""
        job, draft = pinned.job, None
        if job.finish_mode == "keep-composition":
            draft = (await asyncio.to_thread(self.library.image, str(job.parent_id))).job
        less = self._resolver.smaller(job, draft)
        told = tuple(one for one in pinned.adjustments if one.field != "draft")
        return replace(pinned, job=less.job, adjustments=told + less.adjustments)

    async def _without_files(self, active: ActiveJob) -> JobError | None:
        """Why a job cannot go on: its draft or one of its references is gone; None where it can."""
        try:
            await self._foreman.check_files(active)
        except StudioError as error:
            return JobError(error.code, error.message)
        return None

    async def _admit(
        self,
        plans: list[tuple[PinnedJob, dict[str, Any]]],
        sheet_id: str | None,
        *,
        replaces: ActiveJob | None = None,
    ) -> list[JobView]:
        jobs = []
        prompts: set[str] = set()  # of this sheet, which are read once
        for job_id, (pinned, asked) in zip(new_ids(len(plans)), plans, strict=True):
            predicted = self._resolver.predict(pinned.job, text_kept=pinned.job.prompt in prompts)
            prompts.add(pinned.job.prompt)
            record = JobRecord(
                id=job_id, state="queued", lane=pinned.lane, job=pinned.job, created_at=utc_now(),
                queue_order=self._foreman.queue.next_order(), request=asked, adjustments=pinned.adjustments,
                estimate_s=predicted.seconds, sheet_id=sheet_id,
            )  # fmt: skip
            jobs.append(ActiveJob(record, predicted.step_s))
        writing = asyncio.create_task(self._foreman.admit(jobs, replaces=replaces))
        try:
            return await asyncio.shield(writing)
        except asyncio.CancelledError:
            writing.add_done_callback(lambda task: self._cancel_unheard(jobs, task))
            raise

    def _cancel_unheard(self, jobs: list[ActiveJob], task: asyncio.Task[list[JobView]]) -> None:
        """Nobody is there any more who would know these jobs' ids."""
        if not task.cancelled() and task.exception() is None:
            for active in jobs:
                if not active.ended:
                    self._foreman.ask_cancel(active)

    def _estimate(self, pinned: PinnedJob) -> Estimate:
        return self._resolver.estimate(pinned, drain_s=self._foreman.lineup().summary().drain_s)

    async def _kept_job(self, job_id: str) -> JobView:
        """One that has ended, as it is on disk."""
        return view_of(await asyncio.to_thread(self.library.job, job_id))

    async def _active_or_conflict(self, job_id: str) -> ActiveJob:
        active = self._foreman.active.get(job_id)
        if active is None:
            kept = await self._kept_job(job_id)
            if kept.state in LIVE_STATES:
                raise ConflictError(f"job {job_id} was asked of a newer version, and waits for that")
            raise ConflictError(f"job {job_id} is already {kept.state}")
        return active

    def _job_ended(self, view: JobView) -> None:
        if view.state == "finished" and view.timings is not None and not view.job.loras:  # of the base alone
            sample = self._resolver.learn(view.job, view.timings)
            self._archive.write_later(self.library.notes.add_cost_sample, sample)
        for listener in list(self._listeners):
            listener(view)

    def _worker_changed(self, state: WorkerState) -> None:
        if state.ready and state.facts is not None:
            self._resolver.worker_ready(state.facts)
        told = (state.phase, state.pid, None if state.fraction is None else round(state.fraction, 2))
        if told != self._told_worker:
            self._told_worker = told
            self._events.publish("worker", asdict(self.health()), key="worker")

    def _snapshot(self) -> dict[str, Any]:
        lineup = self._foreman.lineup()
        jobs = [job_to_dict(view) for view in lineup.views()]
        return {**queue_to_dict(lineup.summary()), "jobs": jobs, "worker": asdict(self.health())}


def _as_asked(request: GenerationRequest) -> dict[str, Any]:
    return request.model_dump(mode="json", exclude_unset=True)
