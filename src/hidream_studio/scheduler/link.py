"""What a worker is to who drives it, wherever it runs: spoken to, heard from, ended. Knows no process and no pipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from hidream_studio.engine.messages import FromWorker, ToWorker, WorkerSpec
from hidream_studio.errors import WorkerError


@dataclass(frozen=True)
class Exit:
    """How a worker ended."""

    reason: str  # for the user, as the end of a sentence
    code: str = WorkerError.code  # an errors.StudioError code


class Link(Protocol):
    """One worker, from its start to its end."""

    @property
    def pid(self) -> int | None:
        """Of its process, where that is one of this machine."""

    def send(self, message: ToWorker) -> None:
        """Never waits."""

    def kill(self) -> None:
        """End it now; `on_exit` tells when it is gone."""


class OpenLink(Protocol):
    """Starts a worker. `on_message` and `on_exit` may be called from any thread, `on_exit` once and last."""

    def __call__(
        self, spec: WorkerSpec, *, on_message: Callable[[FromWorker], None], on_exit: Callable[[Exit], None]
    ) -> Link:
        """Raises WorkerError when it cannot be started."""
