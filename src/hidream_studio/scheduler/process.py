"""A worker as a process of this machine, and the pipe to it. Knows what is said only as values to pass on."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from hidream_studio.engine.messages import FromWorker, ToWorker, WorkerSpec
from hidream_studio.errors import OutOfMemoryError, WorkerError
from hidream_studio.scheduler.link import Exit
from hidream_studio.settings import openmp_waiting

WORKER_MODULE = "hidream_studio.engine.entry"  # by name: importing it here would bring in torch
STDERR = 2
EXIT_AFTER_CLOSE_S = 5.0  # a worker whose pipe closed has this long to leave
LAST_MESSAGES_S = 2.0  # for reading what a dead worker had still said
SYSTEM_COUNTS = Path("/proc/vmstat")


class WorkerProcess:
    """A `scheduler.link.Link`, started when made. Callbacks are called from threads of this object."""

    def __init__(
        self, spec: WorkerSpec, *, on_message: Callable[[FromWorker], None], on_exit: Callable[[Exit], None]
    ) -> None:
        """Raises WorkerError when there is no room for another process."""
        self._on_message = on_message
        self._on_exit = on_exit
        self._outgoing: queue.SimpleQueue[ToWorker | WorkerSpec | None] = queue.SimpleQueue()
        self._outgoing.put(spec)
        self._ended_by_us = False
        self._oom_kills = oom_kills()
        self._connection, theirs = multiprocessing.Pipe()
        with theirs:
            try:
                self._process = _started(theirs.fileno())
            except OSError as error:
                self._connection.close()
                raise WorkerError(f"the worker process could not be started: {error.strerror}") from error
        self._reader = threading.Thread(target=self._read, name="worker-reader", daemon=True)
        self._reader.start()
        threading.Thread(target=self._write, name="worker-writer", daemon=True).start()
        threading.Thread(target=self._wait, name="worker-waiter", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: ToWorker) -> None:
        """Never waits: a thread does."""
        self._outgoing.put(message)

    def kill(self) -> None:
        self._ended_by_us = True
        self._process.kill()

    def _read(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                self._on_message(self._connection.recv())
        try:
            self._process.wait(EXIT_AFTER_CLOSE_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def _write(self) -> None:
        with contextlib.suppress(OSError):
            while (message := self._outgoing.get()) is not None:
                self._connection.send(message)

    def _wait(self) -> None:
        code = self._process.wait()
        self._outgoing.put(None)
        self._reader.join(LAST_MESSAGES_S)
        if not self._reader.is_alive():  # else a grandchild still holds the other end, and the thread keeps reading
            self._connection.close()
        self._on_exit(self._exit(code))

    def _exit(self, code: int) -> Exit:
        if code == -signal.SIGKILL and not self._ended_by_us and oom_kills() > self._oom_kills:
            return Exit("the system ended it because memory ran out; a smaller size needs less", OutOfMemoryError.code)
        return Exit(exit_reason(code))


def _started(descriptor: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", WORKER_MODULE, str(descriptor)],  # -P: never from the working directory
        env=_environment(),
        pass_fds=(descriptor,),
        stdin=subprocess.DEVNULL,
        stdout=STDERR,  # stdout is for the server's results
        process_group=0,  # Ctrl+C in the terminal is meant for the server
    )


def _environment() -> dict[str, str]:
    """This process's own, with its module path and, unless it says otherwise, how OpenMP's threads wait."""
    module_path = os.pathsep.join(path for path in sys.path if path)
    return {**openmp_waiting(os.environ), **os.environ, "PYTHONPATH": module_path}


def oom_kills() -> int:
    """How many processes Linux has ended for want of memory since it began; 0 where that is not told."""
    try:
        counts = dict(line.split() for line in SYSTEM_COUNTS.read_text(encoding="ascii").splitlines())
        return int(counts.get("oom_kill", 0))
    except (OSError, ValueError):
        return 0


def exit_reason(code: int) -> str:
    """Why a process of that exit code ended, for the user."""
    if code >= 0:
        return f"it ended by itself with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = "; the system may have run out of memory" if -code == signal.SIGKILL else ""
    return f"it was ended by {name}{hint}"
