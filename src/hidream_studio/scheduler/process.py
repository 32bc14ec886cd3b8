"""One worker process and the pipe to it. Knows what is sent and received only as values to pass on."""

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

from hidream_studio.engine.messages import FromWorker, ToWorker, WorkerSpec
from hidream_studio.settings import openmp_waiting

WORKER_MODULE = "hidream_studio.engine.entry"  # by name: importing it here would bring in torch
STDERR = 2
EXIT_AFTER_CLOSE_S = 5.0  # a worker whose pipe closed has this long to leave
LAST_MESSAGES_S = 2.0  # for reading what a dead worker had still said


class WorkerProcess:
    """Started when made. Both callbacks are called from threads of this object, `on_exit` once and last."""

    def __init__(
        self, spec: WorkerSpec, *, on_message: Callable[[FromWorker], None], on_exit: Callable[[int], None]
    ) -> None:
        self._on_message = on_message
        self._on_exit = on_exit
        self._outgoing: queue.SimpleQueue[ToWorker | WorkerSpec | None] = queue.SimpleQueue()
        self._outgoing.put(spec)
        self._connection, theirs = multiprocessing.Pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", WORKER_MODULE, str(theirs.fileno())],  # -P: never from the working directory
            env=_environment(),
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=STDERR,  # stdout is for the server's results
            process_group=0,  # Ctrl+C in the terminal is meant for the server
        )
        theirs.close()
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
        self._process.kill()

    def _read(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                self._on_message(self._connection.recv())
        try:
            self._process.wait(EXIT_AFTER_CLOSE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()

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
        self._on_exit(code)


def _environment() -> dict[str, str]:
    """This process's own, with its module path and, unless it says otherwise, how OpenMP's threads wait."""
    module_path = os.pathsep.join(path for path in sys.path if path)
    return {**openmp_waiting(os.environ), **os.environ, "PYTHONPATH": module_path}


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
