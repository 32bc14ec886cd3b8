"""From a queued job to its end: gives jobs to the worker, hears what becomes of them, writes it down, tells it.

Knows nothing of requests: what it gets is pinned. Lives on one event loop; nothing here waits for a disk but tasks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Literal, assert_never

from hidream_studio.engine.messages import (
    Broken,
    Cancel,
    Cancelled,
    Draw,
    Drawn,
    Failed,
    Finished,
    FromWorker,
    LoadFailed,
    Phase,
    PreviewReady,
    Ready,
    Recall,
    Reorder,
    Returned,
    StepBegins,
    StepDone,
    WorkerSpec,
)
from hidream_studio.errors import ConflictError, LibraryError, StudioError, WorkerError
from hidream_studio.job.clock import utc_now
from hidream_studio.job.record import JobError, JobView
from hidream_studio.job.request import Lane
from hidream_studio.library.library import Library
from hidream_studio.library.records import ImageDraft, JobRecord
from hidream_studio.scheduler.queue import JobQueue, Ticket
from hidream_studio.scheduler.supervisor import Death, Supervisor, WorkerState
from hidream_studio.scheduler.watchdog import Patience
from hidream_studio.service.active import ActiveJob
from hidream_studio.service.archive import Archive
from hidream_studio.service.event_log import EventLog
from hidream_studio.service.lineup import Lineup
from hidream_studio.service.views import Preview, job_to_dict, queue_to_dict

MAX_ATTEMPTS = 2  # a job whose worker died so often while drawing it is not drawn again
MAX_BEGUN = 3  # nor one that was begun so often when a server ends: all that had begun lose a try with it
PROGRESS_INTERVAL_S = 0.1  # between two events of one job's steps
QUEUE_INTERVAL_S = 0.2  # between two events of the queue
STOP_WORKER_S = 3.5
STOP_WRITING_S = 1.0
PAUSED_SETTING = "queue.paused"


class Foreman:
    """All jobs that have not ended, and the worker that draws them.

    `on_end` is called with each that ends, `on_worker` with each new state of the worker.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        *,
        patience: Patience,
        queue_limit: int,
        library: Library,
        archive: Archive,
        events: EventLog,
        on_end: Callable[[JobView], None],
        on_worker: Callable[[WorkerState], None],
    ) -> None:
        self.queue = JobQueue(queue_limit)
        self.active: dict[str, ActiveJob] = {}
        self._library = library
        self._archive = archive
        self._events = events
        self._on_end = on_end
        self._on_worker = on_worker
        self._supervisor = Supervisor(
            spec,
            patience=patience,
            on_message=self._hear,
            on_change=self._worker_changed,
            on_death=self._worker_died,
        )
        self._arriving = 0  # jobs being written, which take room already
        self._tasks: set[asyncio.Task[None]] = set()
        self._queue_event: asyncio.TimerHandle | None = None
        self._stopping = False

    @property
    def worker(self) -> WorkerState:
        return self._supervisor.state

    def start(self, pending: Iterable[tuple[ActiveJob, JobError | None]], paused: Iterable[Lane]) -> None:
        """Take up what an earlier server left, except where there is a reason not to, and start the worker."""
        self.queue.pause(paused)
        back: dict[str, dict[str, Any]] = {}
        for active, unfit in pending:
            record = active.record
            self.active[active.id] = active
            if record.state == "running" and record.attempts >= MAX_BEGUN:
                unfit = unfit or _died_too_often(record.attempts, "the last time with the whole server")
            if unfit is not None:
                self._end(active, "failed", error=unfit)
                continue
            if record.state == "running":
                active.put_back(attempts=record.attempts)
                back[active.id] = {"state": "queued", "started_at": None}
            self.queue.add(_ticket(record))
        if back:
            self._archive.write_later(self._library.update_jobs, back)
        self._supervisor.start()

    async def stop(self) -> None:
        """Let the worker end its step and put back what it has not finished."""
        self._stopping = True
        self._disappoint("the server is stopping; the job stays in the queue")  # at once: clients are waited for
        await self._supervisor.stop(STOP_WORKER_S)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_WRITING_S)
        if self._queue_event is not None:
            self._queue_event.cancel()

    def check_working(self) -> None:
        """Raises WorkerError when nothing will be drawn before somebody acts."""
        if self._stopping:
            raise WorkerError("the server is stopping")
        if self.worker.failed:
            raise WorkerError(f"the model cannot be used: {self.worker.reason}")

    async def admit(self, jobs: list[ActiveJob]) -> list[JobView]:
        """Write the jobs down, then queue them: all or none.

        Raises WorkerError, QueueFullError, LibraryError, and NotFoundError where a draft has vanished.
        """
        self.check_working()
        self.queue.check_room(len(jobs) + self._arriving, retry_after_s=self._retry_after_s(len(jobs)))
        self._arriving += len(jobs)
        try:
            for active in jobs:
                await self.find_draft(active)
            await self._archive.write(self._library.add_jobs, [active.record for active in jobs])
        finally:
            self._arriving -= len(jobs)
        for active in jobs:
            self.active[active.id] = active
            self.queue.add(_ticket(active.record))
        lineup = self.lineup()
        views = [lineup.view(active) for active in jobs]
        for view in views:
            self._events.publish("queued", job_to_dict(view))
        self._queue_changed()
        self._dispatch()
        return views

    async def find_draft(self, active: ActiveJob) -> None:
        """Where the picture lies that a job goes on from. Raises NotFoundError where it has vanished."""
        job = active.job
        if job.finish_mode == "keep-composition" and job.parent_id is not None:
            active.init_image = str(await asyncio.to_thread(self._library.file_path, job.parent_id))

    def ask_cancel(self, active: ActiveJob) -> None:
        """End a waiting job now, and one that the worker has at its next step. Raises ConflictError when it ended."""
        if active.ended:
            raise ConflictError(f"job {active.id} is already {active.record.state}")
        active.cancel_asked = True
        if active.storing:
            return  # it is drawn, and as good as finished
        if active.drawn:
            self._end(active, "cancelled")
        elif self.queue.is_held(active.id):
            self._supervisor.tell(Cancel(active.id))
        else:
            self._end(active, "cancelled")

    def pause(self, lanes: Iterable[Lane]) -> None:
        for job_id in self.queue.pause(lanes):
            self._supervisor.tell(Recall(job_id))
        self._pauses_changed()

    def resume(self, lanes: Iterable[Lane]) -> None:
        self.queue.resume(lanes)
        self._pauses_changed()
        self._dispatch()

    def front(self, active: ActiveJob) -> None:
        """Raises ConflictError when the job has ended, or is drawn."""
        if active.ended or active.drawn:
            raise ConflictError(f"job {active.id} is already {'drawn' if active.drawn else active.record.state}")
        ticket = self.queue.move_to_front(active.id)
        active.change(queue_order=ticket.order)
        self._archive.write_later(self._library.update_job, active.id, queue_order=ticket.order)
        if self.queue.is_held(active.id):
            self._supervisor.tell(Reorder(active.id, ticket.order))
        self._queue_changed()
        self._dispatch()

    async def wait(self, active: ActiveJob) -> JobView:
        """The job's end. Raises WorkerError where it cannot come before somebody acts."""
        self.check_working()
        waiter: asyncio.Future[JobView] = asyncio.get_running_loop().create_future()
        active.waiters.add(waiter)
        try:
            return await waiter
        finally:
            active.waiters.discard(waiter)

    def restart_worker(self) -> None:
        self._supervisor.restart()

    def lineup(self) -> Lineup:
        """Every unended job's place now."""
        return Lineup(self.queue, self.active)

    def _hear(self, message: FromWorker) -> None:
        if isinstance(message, (Phase, Ready, LoadFailed, Broken)):
            return  # of the worker itself: the supervisor's
        active = self.active.get(message.job_id)
        if active is None or active.ended:
            return
        if isinstance(message, StepBegins):
            if message.first:
                self._begun(active)
        elif isinstance(message, StepDone):
            active.done, active.steps = message.done, message.total
            self._tell_progress(active)
        elif isinstance(message, PreviewReady):
            if not active.drawn:
                active.preview = Preview(message.step, message.data, message.media_type)
                shown = {"id": active.id, "step": message.step, "steps": active.steps, "media_type": message.media_type}
                self._events.publish("preview", shown, key=f"preview {active.id}")
        elif isinstance(message, Drawn):
            active.drawn = True
            self.queue.remove(active.id)
            self._dispatch()
        elif isinstance(message, Finished):
            active.storing = True
            self._keep(self._store(active, message))
        elif isinstance(message, Failed):
            self._end(active, "failed", error=JobError(message.code, message.message))
        elif isinstance(message, Cancelled):
            self._end(active, "cancelled")
        elif isinstance(message, Returned):
            self.queue.put_back(active.id)
            if active.cancel_asked:
                self._end(active, "cancelled")
            self._dispatch()
        else:
            assert_never(message)

    def _begun(self, active: ActiveJob) -> None:
        self.queue.begin(active.id)
        active.begun(attempts=active.record.attempts + 1)
        self._archive.write_later(self._library.begin_attempt, active.id)
        self._events.publish("running", job_to_dict(active.view()))
        self._queue_changed()

    def _tell_progress(self, active: ActiveJob) -> None:
        if active.progress_due(PROGRESS_INTERVAL_S) or active.done == active.steps:
            shown = {
                "id": active.id, "state": "running", "lane": active.record.lane, "step": active.done,
                "steps": active.steps, "estimate_s": active.record.estimate_s,
                "remaining_s": round(active.remaining_s, 3),
            }  # fmt: skip
            self._events.publish("running", shown, key=f"running {active.id}")

    async def _store(self, active: ActiveJob, message: Finished) -> None:
        """The picture is on disk before anybody hears of it."""
        record, facts = active.record, self.worker.facts
        assert facts is not None  # it has drawn
        draft = ImageDraft(
            id=active.id, job_id=active.id, job=record.job, lane=record.lane, created_at=message.created_at,
            elapsed_s=message.timings.elapsed_s, model=facts.model_name, fingerprint=facts.fingerprint,
            numeric_path=facts.numeric_path, timings=message.timings, adjustments=record.adjustments,
            estimate_s=record.estimate_s, queued_s=record.queued_s, sheet_id=record.sheet_id,
        )  # fmt: skip
        try:
            await self._archive.write(self._library.store_image, draft, message.png)
        except Exception as error:  # noqa: BLE001  the job must end, whatever happened to its file
            self._end(active, "failed", error=_storing_failed(error))
            return
        active.change(
            state="finished", image_id=active.id, elapsed_s=draft.elapsed_s, timings=message.timings,
            finished_at=utc_now(), error=None,
        )  # fmt: skip
        self._told_end(active)

    def _worker_changed(self) -> None:
        state = self.worker
        self._on_worker(state)
        if state.ready:
            self._dispatch()
        elif state.failed:
            self._disappoint(f"the model cannot be used: {state.reason}")

    def _worker_died(self, death: Death) -> None:
        """The job that it died of is tried once more; those that it only held were not at fault."""
        back = []
        for active in list(self.active.values()):
            begun = active.drawn or self.queue.has_begun(active.id)
            if active.ended or active.storing or not (begun or self.queue.is_held(active.id)):
                continue
            attempts = active.record.attempts
            guilty = active.id in death.guilty and not self._stopping
            if active.cancel_asked:
                self._end(active, "cancelled")
            elif guilty and attempts >= MAX_ATTEMPTS:
                self._end(active, "failed", error=_died_too_often(attempts, death.reason))
            else:
                active.put_back(attempts=attempts - (begun and not guilty))
                self.queue.remove(active.id)
                self.queue.add(_ticket(active.record))
                changes = {"state": "queued", "started_at": None, "attempts": active.record.attempts}
                self._archive.write_later(self._library.update_job, active.id, **changes)
                self._forget_progress(active)
                back.append(active)
        lineup = self.lineup()
        for active in back:
            self._events.publish("queued", job_to_dict(lineup.view(active)))
        self._queue_changed()

    def _dispatch(self) -> None:
        """Give the worker what it should hold now."""
        while self.worker.ready and not self._stopping and (ticket := self.queue.next_to_send()) is not None:
            active = self.active[ticket.job_id]
            self.queue.hold(ticket.job_id)
            draw = Draw(
                active.id, active.job, ticket.lane, ticket.order, adjustments=active.record.adjustments,
                init_image=active.init_image,
            )  # fmt: skip
            self._supervisor.draw(draw, expected_step_s=active.step_s)

    def _end(self, active: ActiveJob, state: Literal["failed", "cancelled"], *, error: JobError | None = None) -> None:
        """A job's end without a picture: at once here, then on disk, then told."""
        self.queue.remove(active.id)
        changes = {
            "state": state, "error": error, "finished_at": utc_now(), "queued_s": active.record.queued_s,
            "elapsed_s": active.elapsed_s,
        }  # fmt: skip
        active.change(**changes)
        self._keep(self._write_end(active, changes))
        self._queue_changed()
        self._dispatch()

    async def _write_end(self, active: ActiveJob, changes: dict[str, Any]) -> None:
        try:
            await self._archive.write(self._library.update_job, active.id, **changes)
        except Exception as error:  # noqa: BLE001  who waits for the job must hear of its end all the same
            logging.getLogger(__name__).error("the end of job %s is not on disk: %s", active.id, error)
        self._told_end(active)

    def _told_end(self, active: ActiveJob) -> None:
        self.active.pop(active.id, None)
        self._forget_progress(active)
        view = active.view()
        self._events.publish(active.record.state, job_to_dict(view))
        for waiter in active.waiters:
            if not waiter.done():
                waiter.set_result(view)
        self._on_end(view)
        self._queue_changed()

    def _forget_progress(self, active: ActiveJob) -> None:
        self._events.forget(f"running {active.id}")
        self._events.forget(f"preview {active.id}")

    def _disappoint(self, reason: str) -> None:
        """Nobody need wait any longer."""
        for active in self.active.values():
            for waiter in active.waiters:
                if not waiter.done():
                    waiter.set_exception(WorkerError(reason))

    def _pauses_changed(self) -> None:
        self._archive.write_later(self._library.set_setting, PAUSED_SETTING, list(self.queue.paused))
        self._queue_changed()

    def _queue_changed(self) -> None:
        """Tell it soon, and once for many changes."""
        if self._queue_event is None and not self._stopping:
            self._queue_event = asyncio.get_running_loop().call_later(QUEUE_INTERVAL_S, self._tell_queue)

    def _tell_queue(self) -> None:
        self._queue_event = None
        self._events.publish("queue", queue_to_dict(self.lineup().summary()), key="queue")

    def _retry_after_s(self, count: int) -> float:
        """About when `count` places will be free."""
        waiting = max(self.queue.waiting, 1)
        return min(max(self.lineup().summary().drain_s * count / waiting, 1.0), 3600.0)

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _ticket(record: JobRecord) -> Ticket:
    return Ticket(record.id, record.lane, record.queue_order)


def _storing_failed(error: Exception) -> JobError:
    if isinstance(error, StudioError):
        return JobError(error.code, error.message)
    logging.getLogger(__name__).error("a picture could not be stored", exc_info=error)
    return JobError(LibraryError.code, f"the picture could not be stored: {type(error).__name__}: {error}")


def _died_too_often(times: int, reason: str) -> JobError:
    what = f"its worker or the whole server died {times} times while it was drawn, so it is not tried again"
    return JobError(WorkerError.code, f"{what}: {reason}")
