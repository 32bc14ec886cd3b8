"""The worker's two ends of its pipe, each served by a thread so that no step ever waits for the pipe.

When the server is gone the process leaves at once, whatever it is doing: nothing outlives its server.
"""

from __future__ import annotations

import os
import queue
import threading
from multiprocessing.connection import Connection

from hidream_studio.engine.messages import FromWorker, ToWorker


class Inbox:
    """Messages of the server, read as they come."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._messages: queue.SimpleQueue[ToWorker | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="inbox", daemon=True).start()

    def take(self, *, block: bool) -> ToWorker | None:
        """The next message; None when there is none and `block` is false, or after a `wake`."""
        while True:
            try:
                message = self._messages.get(block=block)
            except queue.Empty:
                return None
            if message is not None or block:
                return message

    def wake(self) -> None:
        """End one wait for a message: something else has happened. May be called from any thread."""
        self._messages.put(None)

    def _read(self) -> None:
        while True:
            try:
                self._messages.put(self._connection.recv())
            except (EOFError, OSError):
                os._exit(0)  # the main thread may be deep in a step


class Outbox:
    """Messages to the server, sent in order by a thread of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._messages: queue.SimpleQueue[FromWorker | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="outbox", daemon=True)
        self._thread.start()

    def send(self, message: FromWorker) -> None:
        self._messages.put(message)

    def close(self) -> None:
        """Return when everything is sent."""
        self._messages.put(None)
        self._thread.join()

    def _write(self) -> None:
        while (message := self._messages.get()) is not None:
            try:
                self._connection.send(message)
            except OSError:
                os._exit(0)
