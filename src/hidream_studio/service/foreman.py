"""From a queued job to its end: gives jobs to the worker, hears what becomes of them, has it written down and told.

Knows nothing of requests: what it gets is pinned. Lives on one event loop; nothing here waits for a disk but tasks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, assert_never

from hidream_studio.engine.messages import (
    Cancel,
    Cancelled,
    Draw,
    Drawn,
    Failed,
    Finished,
    JobMessage,
    PreviewReady,
    Recall,
    Reorder,
    Returned,
    StepBegins,
    StepDone,
    WorkerSpec,
)
from hidream_studio.errors import ConflictError, LibraryError, NotFoundError, StudioError, WorkerError
from hidream_studio.job.loras import LoraUse
from hidream_studio.job.record import JobError, JobView
from hidream_studio.job.request import Lane
from hidream_studio.library.files import storage_errors
from hidream_studio.library.library import Library
from hidream_studio.library.records import ImageDraft
from hidream_studio.scheduler.link import OpenLink
from hidream_studio.scheduler.queue import JobQueue
from hidream_studio.scheduler.supervisor import Death, Supervisor, WorkerState
from hidream_studio.scheduler.watchdog import Patience
from hidream_studio.service.active import ActiveJob
from hidream_studio.service.archive import Archive
from hidream_studio.service.event_log import EventLog
from hidream_studio.service.ledger import Ledger
from hidream_studio.service.lineup import Lineup
from hidream_studio.service.news import News
from hidream_studio.service.views import Preview

PAUSED_RETRY_S = 60.0  # a pause ends when somebody ends it
MAX_ATTEMPTS = 2  # a job whose worker died so often while drawing it is not drawn again
MAX_BEGUN = 3  # nor one that was begun so often when a server ends: all that had begun lose a try with it
STOP_WORKER_S = 3.5
STOP_WRITING_S = 1.0


@dataclass(frozen=True)
class _Files:
    """What a job needs of this machine's disk."""

    init_image: bytes | None = None
    references: tuple[bytes, ...] = ()
    loras: dict[str, str] = field(default_factory=dict)  # paths by hash


class Foreman:
    """All jobs in memory, and the worker that draws them: those that have not ended, or whose end is not on disk yet.

    `on_end` is called with each that ends, `on_worker` with each new state of the worker.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        open_link: OpenLink,
        *,
        patience: Patience,
        queue_limit: int,
        library: Library,
        archive: Archive,
        lora_paths: Callable[[Iterable[LoraUse]], dict[str, str]],
        events: EventLog,
        on_end: Callable[[JobView], None],
        on_worker: Callable[[WorkerState], None],
    ) -> None:
        self.queue: JobQueue[ActiveJob] = JobQueue(queue_limit)
        self._library = library
        self._archive = archive
        self._lora_paths = lora_paths  # raises LoraError
        self._ledger = Ledger(library, archive, on_written=self._forget_ended)
        self._news = News(events, self.lineup)
        self._on_end = on_end
        self._on_worker = on_worker
        self._supervisor: Supervisor[ActiveJob] = Supervisor(
            spec,
            open_link,
            patience=patience,
            on_message=self._hear,
            on_change=self._worker_changed,
            on_death=self._worker_died,
        )
        self._arriving = 0  # jobs being written, which take room already
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    @property
    def active(self) -> dict[str, ActiveJob]:
        """Those in memory, by their ids."""
        return self.queue.jobs

    @property
    def worker(self) -> WorkerState:
        return self._supervisor.state

    def start(self, pending: Iterable[tuple[ActiveJob, JobError | None]], paused: Iterable[Lane]) -> None:
        """Take up what an earlier server left, except where there is a reason not to, and start the worker."""
        self.queue.pause(paused)
        for active, unfit in pending:
            self.queue.add(active)
            was_running, attempts = active.kept.state == "running", active.kept.attempts
            if was_running and attempts >= MAX_BEGUN:
                unfit = unfit or _died_too_often(attempts, "the last time with the whole server", WorkerError.code)
            if unfit is not None:
                self._end(active, "failed", error=unfit)
            elif was_running:
                self._ledger.note(active.id, active.put_back(attempts=attempts))
        self._supervisor.start()

    async def stop(self) -> None:
        """Let the worker end its step and put back what it has not finished."""
        self._stopping = True
        reason = "the server is stopping; the job stays in the queue"
        self._news.disappoint(self.active.values(), reason)  # at once: clients are waited for
        await self._supervisor.stop(STOP_WORKER_S)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_WRITING_S)
        self._ledger.close()
        self._news.close()

    def check_working(self) -> None:
        """Raises WorkerError when nothing will be drawn before somebody acts."""
        if self._stopping:
            raise WorkerError("the server is stopping")
        if self.worker.failed:
            raise WorkerError(f"the model cannot be used: {self.worker.reason}")

    async def admit(self, jobs: list[ActiveJob], *, replaces: ActiveJob | None = None) -> list[JobView]:
        """Write the jobs down, then queue them: all or none. `replaces` is cancelled then, and takes no room before.

        Raises WorkerError, QueueFullError, LibraryError, and NotFoundError where a draft has vanished, LoraError where
        a LoRA has.
        """
        self.check_working()
        freed = replaces is not None and replaces.not_begun
        self.queue.check_room(len(jobs) + self._arriving - freed, retry_after_s=self._retry_after_s(len(jobs)))
        self._arriving += len(jobs)
        try:
            for active in jobs:
                await self.check_files(active)
            if loras := {use for active in jobs for use in active.job.loras}:
                await asyncio.to_thread(self._lora_paths, loras)
            await self._archive.write(self._library.add_jobs, [active.record for active in jobs])
        finally:
            self._arriving -= len(jobs)
        if replaces is not None and not replaces.ended:
            self.ask_cancel(replaces)
        for active in jobs:
            self.queue.add(active)
        views = self._news.queued(jobs)
        self._dispatch()
        return views

    async def check_files(self, active: ActiveJob) -> None:
        """Raises NotFoundError where the picture has vanished that a job goes on from, or one that it is drawn from."""
        if active.needs_files:
            await asyncio.to_thread(self._check_files, active)

    def _check_files(self, active: ActiveJob) -> None:
        if active.needs_draft:
            self._library.file_path(str(active.job.parent_id))
        for reference in active.job.references:
            self._library.upload_path(reference.hash)

    def ask_cancel(self, active: ActiveJob) -> None:
        """End a waiting job now, and one that the worker has at its next step. Raises ConflictError when it ended."""
        if active.ended:
            raise ConflictError(f"job {active.id} is already {active.state}")
        active.cancel_asked = True
        if active.in_worker and self._supervisor.has(active):
            self._supervisor.tell(Cancel(active.id))
        elif active.stage != "storing":  # else it is as good as finished
            self._end(active, "cancelled")

    def pause(self, lanes: Iterable[Lane]) -> None:
        for active in self.queue.pause(lanes):
            if self._supervisor.has(active):
                self._supervisor.tell(Recall(active.id))
        self._pauses_changed()

    def resume(self, lanes: Iterable[Lane]) -> None:
        self.queue.resume(lanes)
        self._pauses_changed()
        self._dispatch()

    def front(self, active: ActiveJob) -> None:
        """Raises ConflictError when the job has ended, or is drawn."""
        if not active.in_line:
            raise ConflictError(f"job {active.id} is already {active.state if active.ended else 'drawn'}")
        self.queue.move_to_front(active)
        self._ledger.note(active.id, {"queue_order": active.order})
        if self._supervisor.has(active):
            self._supervisor.tell(Reorder(active.id, active.order))
        self._news.queue_changed()
        self._dispatch()

    async def wait(self, active: ActiveJob) -> JobView:
        """The job's end. Raises WorkerError where it cannot come before somebody acts."""
        if active.ended:  # and its end is not on disk yet
            return active.view()
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
        return Lineup(self.queue)

    def _hear(self, active: ActiveJob, message: JobMessage) -> None:
        """What the worker says of a job, whose stage has followed already."""
        if isinstance(message, StepBegins):
            if message.first:
                self._ledger.note(active.id, active.begun())
                self._news.begun(active)
        elif isinstance(message, StepDone):
            active.done, active.steps = message.done, message.total
            self._news.progress(active)
        elif isinstance(message, PreviewReady):
            if active.stage == "begun":
                active.preview = Preview(message.step, message.data, message.media_type)
                self._news.preview(active, active.preview)
        elif isinstance(message, Drawn):
            self._dispatch()
        elif isinstance(message, Finished):
            self._keep(self._store(active, message))
        elif isinstance(message, Failed):
            self._end(active, "failed", error=JobError(message.code, message.message))
        elif isinstance(message, Cancelled):
            self._end(active, "cancelled")
        elif isinstance(message, Returned):
            if active.cancel_asked:
                self._end(active, "cancelled")
            self._dispatch()
        else:
            assert_never(message)

    async def _store(self, active: ActiveJob, message: Finished) -> None:
        """The picture is on disk before anybody hears of it."""
        kept, facts = active.kept, self.worker.facts
        assert facts is not None  # it has drawn
        draft = ImageDraft(
            id=active.id, job_id=active.id, job=kept.job, lane=kept.lane, created_at=message.created_at,
            elapsed_s=message.timings.elapsed_s, model=facts.model_name, fingerprint=facts.fingerprint,
            numeric_path=facts.numeric_path, timings=message.timings, adjustments=kept.adjustments,
            estimate_s=kept.estimate_s, queued_s=kept.queued_s, sheet_id=kept.sheet_id,
        )  # fmt: skip
        try:
            await self._ledger.store(draft, message.png)
        except Exception as error:  # noqa: BLE001  the job must end, whatever happened to its file
            self._end(active, "failed", error=_said(error, "the picture could not be stored"))
            return
        active.end("finished", image_id=active.id, elapsed_s=draft.elapsed_s, timings=message.timings)
        self._tell_end(active)

    def _worker_changed(self) -> None:
        state = self.worker
        self._on_worker(state)
        if state.ready:
            self._dispatch()
        elif state.failed:
            self._news.disappoint(self.active.values(), f"the model cannot be used: {state.reason}")

    def _worker_died(self, death: Death[ActiveJob]) -> None:
        """The job that it died of is tried once more; those that it only had were not at fault."""
        back = []
        for active in death.jobs:
            if active.ended:
                continue
            attempts = active.kept.attempts
            guilty = active.id in death.guilty and not self._stopping
            if active.cancel_asked:
                self._end(active, "cancelled")
            elif guilty and attempts >= MAX_ATTEMPTS:
                self._end(active, "failed", error=_died_too_often(attempts, death.exit.reason, death.exit.code))
            else:
                attempts -= not (active.not_begun or guilty)
                self._ledger.note(active.id, active.put_back(attempts=attempts))
                back.append(active)
        self._news.put_back(back)

    def _dispatch(self) -> None:
        """Give the worker what it should hold now."""
        while self.worker.ready and not self._stopping and (active := self.queue.next_to_send()) is not None:
            active.enter("held")
            if active.needs_files or active.job.loras:
                self._keep(self._give_with_files(active))
            else:
                self._give(active, _Files())

    async def _give_with_files(self, active: ActiveJob) -> None:
        """Pictures travel with the job: the worker may be on another machine. Of LoRAs, hash and path do."""
        try:
            files = await asyncio.to_thread(self._read_files, active)
        except Exception as error:  # noqa: BLE001  the job must end, whatever its files are
            if not active.ended:
                self._end(active, "failed", error=_said(error, "the files of a job could not be read"))
            return
        if active.ended:
            return
        if self.worker.ready and not self._stopping and active.lane not in self.queue.paused:
            self._give(active, files)
        else:  # what has changed meanwhile
            active.enter("waiting")
            self._dispatch()

    def _read_files(self, active: ActiveJob) -> _Files:
        draft = self._read_draft(active) if active.needs_draft else None
        references = tuple(self._library.upload_bytes(reference.hash) for reference in active.job.references)
        return _Files(draft, references, self._lora_paths(active.job.loras))

    def _read_draft(self, active: ActiveJob) -> bytes:
        path = self._library.file_path(str(active.job.parent_id))
        with storage_errors(path):
            try:
                return path.read_bytes()
            except FileNotFoundError as error:
                raise NotFoundError(f"the file of picture {active.job.parent_id} has vanished") from error

    def _give(self, active: ActiveJob, files: _Files) -> None:
        draw = Draw(
            active.id, active.job, active.lane, active.order,
            init_image=files.init_image, references=files.references, loras=files.loras,
        )  # fmt: skip
        self._supervisor.draw(active, draw)

    def _end(self, active: ActiveJob, state: Literal["failed", "cancelled"], *, error: JobError | None = None) -> None:
        """A job's end without a picture: at once here, then on disk, then told."""
        changes = active.end(state, error=error)
        self._keep(self._write_end(active, changes))
        self._news.queue_changed()
        self._dispatch()

    async def _write_end(self, active: ActiveJob, changes: dict[str, Any]) -> None:
        await self._ledger.write(active.id, changes)  # where it cannot be written now, memory goes on answering
        self._tell_end(active)

    def _tell_end(self, active: ActiveJob) -> None:
        self._forget_ended(active.id)
        self._on_end(self._news.ended(active))

    def _forget_ended(self, job_id: str) -> None:
        """Leave it to the library, as soon as that has its end."""
        active = self.active.get(job_id)
        if active is not None and active.ended and not self._ledger.owes(job_id):
            self.queue.remove(job_id)

    def _pauses_changed(self) -> None:
        self._ledger.note_paused(list(self.queue.paused))
        self._news.queue_changed()

    def _retry_after_s(self, count: int) -> float:
        """About when `count` places will be free; who has paused the queue is not asked again each second."""
        if self.queue.paused:
            return PAUSED_RETRY_S
        waiting = max(self.queue.waiting, 1)
        return min(max(self.lineup().summary().drain_s * count / waiting, 1.0), 3600.0)

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _said(error: Exception, what: str) -> JobError:
    if isinstance(error, StudioError):
        return JobError(error.code, error.message)
    logging.getLogger(__name__).error("%s", what, exc_info=error)
    return JobError(LibraryError.code, f"{what}: {type(error).__name__}: {error}")


def _died_too_often(times: int, reason: str, code: str) -> JobError:
    what = f"its worker or the whole server died {times} times while it was drawn, so it is not tried again"
    return JobError(code, f"{what}: {reason}")
