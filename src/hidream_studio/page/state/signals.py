"""How regions hear of one another: callbacks in order, toasts, and errors as sentences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hidream_studio.errors import StudioError


class Signal:
    """Callbacks in the order in which they were added."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[..., Any]] = []

    def add(self, callback: Callable[..., Any]) -> None:
        self._callbacks.append(callback)

    def __call__(self, *args: Any) -> None:
        for callback in self._callbacks:
            callback(*args)


@dataclass(frozen=True)
class Toast:
    text: str
    action: str | None = None
    on_action: Callable[[], Any] | None = None


def explain(error: StudioError) -> str:
    """An error's sentence as the page says it."""
    message = error.message
    if message.split(" ", 1)[0].isalpha():  # what is quoted ("seed:x") stays as it was written
        message = message[:1].upper() + message[1:]
    return message if message.endswith((".", "!", "?")) else f"{message}."
