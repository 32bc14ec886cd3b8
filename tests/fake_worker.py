"""A worker that says what a test says, and a clock that a test moves: for rules that real ones would show by chance."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from hidream_studio.engine.messages import FromWorker, Ready, ToWorker, WorkerSpec
from hidream_studio.errors import WorkerError
from hidream_studio.scheduler.link import Exit

TICK_S = 0.1
SPEC = WorkerSpec(
    checkpoint="", profile=None, device="cpu", precision=None, fused=None, threads=1, preview_interval_s=0.0
)
READY = Ready("a fake", "fp32", "golden", "o1-tiny", "0123456789", "cpu-fp32-eager-sdpa", None)


class StillLoop(asyncio.SelectorEventLoop):
    """An event loop whose time stands still until `pass_time`."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        super().__init__()

    def time(self) -> float:
        return self.now_s


def run(work: Coroutine[Any, Any, None]) -> None:
    """`work` on a loop of its own."""
    with asyncio.Runner(loop_factory=StillLoop) as runner:
        runner.run(work)


async def settle() -> None:
    """Whatever is due now has happened."""
    for _ in range(10):
        await asyncio.sleep(0)


async def pass_time(seconds: float, *, at_once: bool = False) -> None:
    """At once: nobody could do anything meanwhile, as when the machine sleeps."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, StillLoop)
    end_s = loop.now_s + seconds
    while loop.now_s < end_s:
        loop.now_s = end_s if at_once else min(loop.now_s + TICK_S, end_s)
        await settle()


class FakeWorker:
    """A `scheduler.link.Link`."""

    def __init__(self, on_message: Callable[[FromWorker], None], on_exit: Callable[[Exit], None]) -> None:
        self.heard: list[ToWorker] = []
        self.killed = False
        self.deaf = False  # does not even leave when it is killed
        self._on_message = on_message
        self._on_exit = on_exit

    @property
    def pid(self) -> int | None:
        return None

    def send(self, message: ToWorker) -> None:
        self.heard.append(message)

    def kill(self) -> None:
        if not self.killed and not self.deaf:
            self.die("it was ended by SIGKILL")
        self.killed = True

    def die(self, reason: str = "it fell", code: str = WorkerError.code) -> None:
        self._on_exit(Exit(reason, code))

    def say(self, *messages: FromWorker) -> None:
        for message in messages:
            self._on_message(message)

    def told(self, kind: type) -> list[Any]:
        """What it heard of that kind."""
        return [message for message in self.heard if isinstance(message, kind)]


class FakeWorkers:
    """A `scheduler.link.OpenLink`: every worker that was started, the newest last."""

    def __init__(self) -> None:
        self.all: list[FakeWorker] = []
        self.refuse = False

    def __call__(
        self, spec: WorkerSpec, *, on_message: Callable[[FromWorker], None], on_exit: Callable[[Exit], None]
    ) -> FakeWorker:
        if self.refuse:
            raise WorkerError("the worker process could not be started: no room")
        self.all.append(FakeWorker(on_message, on_exit))
        return self.all[-1]

    @property
    def now(self) -> FakeWorker:
        return self.all[-1]
