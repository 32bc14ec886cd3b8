"""Keeps one worker alive: starts it, watches it, ends it when it hangs, starts it again. Knows no queue and no library.

Everything here happens on one asyncio loop; the process's threads only hand their news over.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

from hidream_studio.engine.messages import (
    Broken,
    Draw,
    Drawn,
    FromWorker,
    LoadFailed,
    Phase,
    Ready,
    StepDone,
    Stop,
    ToWorker,
    WorkerSpec,
)
from hidream_studio.scheduler.process import WorkerProcess, exit_reason
from hidream_studio.scheduler.watchdog import Patience, Watchdog

TICK_S = 0.2  # of the watchdog
LATE_S = 1.0  # a tick that comes so late was slept through, by this process or the machine
KILLED_WITHIN_S = 1.0
HEALTHY_S = 60.0  # a worker that was ready for so long does not count among the failures in a row


@dataclass(frozen=True)
class Death:
    """The worker is gone. `guilty` are the jobs that it worked on at that moment; the others it only held."""

    reason: str
    guilty: frozenset[str]


@dataclass(frozen=True)
class WorkerState:
    """What the worker does now."""

    phase: str = "starting"  # or a phase of loading, "ready", "restarting", "failed", "stopped"
    fraction: float | None = None  # of the phase, 0 to 1
    reason: str | None = None  # of the last failure, until it is ready again
    restarts: int = 0
    pid: int | None = None
    facts: Ready | None = None  # of the last worker that was ready
    memory_used_mib: float | None = None  # of the device

    @property
    def ready(self) -> bool:
        return self.phase == "ready"

    @property
    def failed(self) -> bool:
        return self.phase == "failed"


class Supervisor:
    """`on_message` gets what concerns jobs, `on_change` is told of every new state, `on_death` whom it touched."""

    def __init__(
        self,
        spec: WorkerSpec,
        *,
        patience: Patience,
        on_message: Callable[[FromWorker], None],
        on_change: Callable[[], None],
        on_death: Callable[[Death], None],
    ) -> None:
        self.state = WorkerState()
        self._spec = spec
        self._patience = patience
        self._on_message = on_message
        self._on_change = on_change
        self._on_death = on_death
        self._process: WorkerProcess | None = None
        self._generation = 0  # so that news of a process that is gone are not mistaken for its successor's
        self._watchdog = Watchdog(patience, time.monotonic())
        self._load_failure: LoadFailed | None = None
        self._end_reason: str | None = None  # where it is known better than from the exit code
        self._failures_in_row = 0
        self._ready_since_s = float("inf")  # on the monotonic clock
        self._stopping = False
        self._gone = asyncio.Event()
        self._gone.set()
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Start the worker, and watch it from now on."""
        self._spawn()
        self._keep(self._watch())

    async def stop(self, within_s: float) -> None:
        """Let it end its step and write its files, else end it. It is gone when this returns."""
        self._stopping = True
        if self._process is not None:
            self._process.send(Stop())
            if self._watchdog.loading:  # nothing to end, and it would not listen
                self._process.kill()
            try:
                await asyncio.wait_for(self._gone.wait(), within_s)
            except TimeoutError:
                self._process.kill()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._gone.wait(), KILLED_WITHIN_S)
        for task in self._tasks:
            task.cancel()
        self._set_state(phase="stopped", fraction=None, pid=None)

    def restart(self) -> None:
        """Try again after the worker was given up; nothing otherwise."""
        if self.state.failed and not self._stopping:
            self._failures_in_row = 0
            self._spawn()

    def draw(self, message: Draw, *, expected_step_s: float) -> None:
        """Give the worker a job."""
        if self._process is not None:
            self._watchdog.sent(message.job_id, expected_step_s, time.monotonic())
            self._process.send(message)

    def tell(self, message: ToWorker) -> None:
        """Say something about a job that it holds."""
        if self._process is not None:
            self._process.send(message)

    def _receive(self, generation: int, message: FromWorker) -> None:
        if generation != self._generation:
            return
        if isinstance(message, Phase):
            self._watchdog.loading_goes_on(time.monotonic())
            self._set_state(phase=message.name, fraction=message.fraction)
        elif isinstance(message, Ready):
            self._ready_since_s = time.monotonic()
            self._watchdog.ready(self._ready_since_s)
            self._set_state(phase="ready", fraction=None, reason=None, facts=message)
        elif isinstance(message, LoadFailed):
            self._load_failure = message
        elif isinstance(message, Broken):
            self._end_reason = message.message
        else:
            self._watchdog.heard(message, time.monotonic())
            if isinstance(message, StepDone):
                self._failures_in_row = 0  # it can draw: what ends it from now on is some job's doing
            elif isinstance(message, Drawn) and message.memory_used_mib is not None:
                self._set_state(memory_used_mib=message.memory_used_mib)
            self._on_message(message)

    def _spawn(self) -> None:
        self._generation += 1
        self._watchdog = Watchdog(self._patience, time.monotonic())
        self._load_failure = None
        self._end_reason = None
        loop = asyncio.get_running_loop()
        generation = self._generation

        def hand_over(callback: Callable[[int, Any], None], value: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
                loop.call_soon_threadsafe(callback, generation, value)

        try:
            self._process = WorkerProcess(
                self._spec,
                on_message=lambda message: hand_over(self._receive, message),
                on_exit=lambda code: hand_over(self._exited, code),
            )
        except OSError as error:
            self._fall(f"the worker process could not be started: {error.strerror}", permanent=False)
            return
        self._gone.clear()
        self._set_state(phase="starting" if generation == 1 else "restarting", fraction=None, pid=self._process.pid)

    def _exited(self, generation: int, code: int) -> None:
        if generation != self._generation:
            return
        self._generation += 1  # what it says from the grave comes too late: its jobs are put back now
        self._process = None
        self._gone.set()
        failure = self._load_failure
        reason = f"the worker process is gone: {self._end_reason or exit_reason(code)}"
        if failure is not None:
            reason = failure.message
        if time.monotonic() - self._ready_since_s > HEALTHY_S:
            self._failures_in_row = 0
        self._ready_since_s = float("inf")
        # before anybody thinks of giving it more to do
        self._set_state(phase="stopped" if self._stopping else "restarting", fraction=None, reason=reason, pid=None)
        self._on_death(Death(reason, self._watchdog.guilty))
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
        restarts = self.state.restarts + 1
        self._set_state(phase="restarting", fraction=None, reason=reason, pid=None, restarts=restarts)
        self._keep(self._spawn_after(pause_s))

    async def _spawn_after(self, pause_s: float) -> None:
        await asyncio.sleep(pause_s)
        if not self._stopping:
            self._spawn()

    async def _watch(self) -> None:
        """End a worker that should have said something long ago."""
        while True:
            before_s = time.monotonic()
            await asyncio.sleep(TICK_S)
            now_s = time.monotonic()
            late_s = now_s - before_s - TICK_S
            if late_s > LATE_S:  # what the worker said meanwhile is still unread
                self._watchdog.postpone(late_s)
                continue
            overdue = self._watchdog.overdue(now_s)
            if overdue is not None and self._process is not None:
                self._end_reason = overdue
                self._process.kill()

    def _set_state(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)
        self._on_change()

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
