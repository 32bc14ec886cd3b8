"""Keeps one worker alive: starts it, watches it, ends it when it hangs, starts it again. Knows no queue and no library.

Everything here happens on one asyncio loop, and by its clock; a worker's threads only hand their news over.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic

from hidream_studio.engine.messages import (
    Broken,
    Draw,
    Drawn,
    Finished,
    FromWorker,
    JobMessage,
    LoadFailed,
    Phase,
    Ready,
    Returned,
    StepBegins,
    StepDone,
    Stop,
    ToWorker,
    WorkerSpec,
    leaves_worker,
)
from hidream_studio.errors import WorkerError
from hidream_studio.scheduler.link import Exit, Link, OpenLink
from hidream_studio.scheduler.queue import Item
from hidream_studio.scheduler.ticket import Stage
from hidream_studio.scheduler.watchdog import Patience, Watchdog

TICK_S = 0.2  # of the watchdog
LATE_S = 1.0  # a tick that comes so late was slept through, by this process or the machine
KILLED_WITHIN_S = 1.0
HEALTHY_S = 60.0  # a worker that was ready for so long does not count among the failures in a row

STAGE_AFTER: Mapping[type, Stage] = {Drawn: "drawn", Finished: "storing", Returned: "waiting"}


@dataclass(frozen=True)
class Death(Generic[Item]):
    """The worker is gone. `guilty` are the jobs that it worked on at that moment; the others it only had."""

    exit: Exit
    jobs: tuple[Item, ...]
    guilty: frozenset[str]


@dataclass(frozen=True)
class WorkerState:
    """All that is known of one worker now."""

    id: str = "0"
    phase: str = "starting"  # or a phase of loading, "ready", "restarting", "failed", "stopped"
    fraction: float | None = None  # of the phase, 0 to 1
    reason: str | None = None  # of the last failure, until it is ready again
    restarts: int = 0
    pid: int | None = None
    facts: Ready | None = None  # what it said of itself when it was last ready: device, precision, model
    memory_used_mib: float | None = None  # of the device
    job_id: str | None = None  # whose step it is
    jobs: int = 0  # that it has, those among them that it encodes

    @property
    def ready(self) -> bool:
        return self.phase == "ready"

    @property
    def failed(self) -> bool:
        return self.phase == "failed"


class Supervisor(Generic[Item]):
    """`on_message` gets what concerns jobs, `on_change` is told of every new phase, `on_death` whom it touched.

    Here a job's stage follows what its worker says of it, before `on_message` hears that; what ends it, others say.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        open_link: OpenLink,
        *,
        patience: Patience,
        on_message: Callable[[Item, JobMessage], None],
        on_change: Callable[[], None],
        on_death: Callable[[Death[Item]], None],
    ) -> None:
        self._state = WorkerState()
        self._spec = spec
        self._open_link = open_link
        self._patience = patience
        self._on_message = on_message
        self._on_change = on_change
        self._on_death = on_death
        self._link: Link | None = None
        self._jobs: dict[str, Item] = {}  # that the worker has
        self._generation = 0  # so that news of a worker that is gone are not mistaken for its successor's
        self._watchdog = Watchdog(patience, self._jobs, 0.0)
        self._load_failure: LoadFailed | None = None
        self._end_reason: str | None = None  # where it is known better than by the link
        self._failures_in_row = 0
        self._ready_since_s = float("inf")
        self._stopping = False
        self._gone = asyncio.Event()
        self._gone.set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def state(self) -> WorkerState:
        stepping = self._watchdog.stepping
        return replace(self._state, job_id=None if stepping is None else stepping.id, jobs=len(self._jobs))

    def has(self, job: Item) -> bool:
        """Whether the worker was given this job, and has it still."""
        return job.id in self._jobs

    def start(self) -> None:
        """Start the worker, and watch it from now on."""
        self._spawn()
        self._keep(self._watch())

    async def stop(self, within_s: float) -> None:
        """Let it end its step and encode its pictures, else end it. It is gone when this returns."""
        self._stopping = True
        if self._link is not None:
            self._link.send(Stop())
            if self._watchdog.loading:  # nothing to end, and it would not listen
                self._link.kill()
            try:
                await asyncio.wait_for(self._gone.wait(), within_s)
            except TimeoutError:
                self._link.kill()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._gone.wait(), KILLED_WITHIN_S)
        for task in self._tasks:
            task.cancel()
        self._set_state(phase="stopped", fraction=None, pid=None)

    def restart(self) -> None:
        """Try again after the worker was given up; nothing otherwise."""
        if self._state.failed and not self._stopping:
            self._failures_in_row = 0
            self._spawn()

    def draw(self, job: Item, message: Draw) -> None:
        """Give the worker a job that is held for it."""
        if self._link is not None:
            self._jobs[job.id] = job
            self._watchdog.sent(_now_s())
            self._link.send(message)

    def tell(self, message: ToWorker) -> None:
        """Say something about a job that it has."""
        if self._link is not None:
            self._link.send(message)

    def _receive(self, generation: int, message: FromWorker) -> None:
        if generation != self._generation:
            return
        if isinstance(message, Phase):
            self._watchdog.loading_goes_on(_now_s())
            self._set_state(phase=message.name, fraction=message.fraction)
        elif isinstance(message, Ready):
            self._ready_since_s = _now_s()
            self._watchdog.ready(self._ready_since_s)
            self._set_state(phase="ready", fraction=None, reason=None, facts=message)
        elif isinstance(message, LoadFailed):
            self._load_failure = message
        elif isinstance(message, Broken):
            self._end_reason = message.message
        else:
            self._receive_of_job(message)

    def _receive_of_job(self, message: JobMessage) -> None:
        job = self._jobs.get(message.job_id)
        if job is None:
            return  # it was given back, or was never this worker's
        if leaves_worker(message):
            del self._jobs[job.id]
        self._watchdog.heard(message, job, _now_s())
        if isinstance(message, StepDone):
            self._failures_in_row = 0  # it can draw: what ends it from now on is some job's doing
        elif isinstance(message, Drawn) and message.memory_used_mib is not None:
            self._set_state(memory_used_mib=message.memory_used_mib)
        if job.stage == "ended":
            return  # cancelled while its picture was encoded
        if isinstance(message, StepBegins) and message.first:
            job.enter("begun")
        elif type(message) in STAGE_AFTER:
            job.enter(STAGE_AFTER[type(message)])
        self._on_message(job, message)

    def _spawn(self) -> None:
        self._generation += 1
        self._jobs.clear()
        self._watchdog = Watchdog(self._patience, self._jobs, _now_s())
        self._load_failure = None
        self._end_reason = None
        loop = asyncio.get_running_loop()
        generation = self._generation

        def hand_over(callback: Callable[[int, Any], None], value: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
                loop.call_soon_threadsafe(callback, generation, value)

        try:
            self._link = self._open_link(
                self._spec,
                on_message=lambda message: hand_over(self._receive, message),
                on_exit=lambda exit_: hand_over(self._exited, exit_),
            )
        except WorkerError as error:
            self._fall(error.message, permanent=False)
            return
        self._gone.clear()
        self._set_state(phase="starting" if generation == 1 else "restarting", fraction=None, pid=self._link.pid)

    def _exited(self, generation: int, exit_: Exit) -> None:
        if generation != self._generation:
            return
        self._generation += 1  # what it says from the grave comes too late: its jobs are put back now
        self._link = None
        self._gone.set()
        failure = self._load_failure
        reason = f"the worker process is gone: {self._end_reason or exit_.reason}"
        if failure is not None:
            reason = failure.message
        if _now_s() - self._ready_since_s > HEALTHY_S:
            self._failures_in_row = 0
        self._ready_since_s = float("inf")
        death = Death(Exit(reason, exit_.code), tuple(self._jobs.values()), self._watchdog.guilty)
        self._jobs.clear()
        self._watchdog = Watchdog(self._patience, self._jobs, _now_s())  # nobody's step any more
        # before anybody thinks of giving it more to do
        self._set_state(phase="stopped" if self._stopping else "restarting", fraction=None, reason=reason, pid=None)
        self._on_death(death)
        if not self._stopping:
            self._fall(reason, permanent=failure is not None and failure.permanent)

    def _fall(self, reason: str, *, permanent: bool) -> None:
        """Start again after a pause, or give up."""
        pauses = self._patience.backoff_s
        if permanent or self._failures_in_row >= len(pauses):
            self._set_state(phase="failed", fraction=None, reason=reason, pid=None)
            return
        pause_s = pauses[self._failures_in_row]
        self._failures_in_row += 1
        restarts = self._state.restarts + 1
        self._set_state(phase="restarting", fraction=None, reason=reason, pid=None, restarts=restarts)
        self._keep(self._spawn_after(pause_s))

    async def _spawn_after(self, pause_s: float) -> None:
        await asyncio.sleep(pause_s)
        if not self._stopping:
            self._spawn()

    async def _watch(self) -> None:
        """End a worker that should have said something long ago."""
        while True:
            before_s = _now_s()
            await asyncio.sleep(TICK_S)
            now_s = _now_s()
            late_s = now_s - before_s - TICK_S
            if late_s > LATE_S:  # what the worker said meanwhile is still unread
                self._watchdog.postpone(late_s)
                continue
            overdue = self._watchdog.overdue(now_s)
            if overdue is not None and self._link is not None:
                self._end_reason = overdue
                self._link.kill()

    def _set_state(self, **changes: Any) -> None:
        self._state = replace(self._state, **changes)
        self._on_change()

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
