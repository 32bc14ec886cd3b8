"""How regions hear of one another: callbacks in order, each under the page's guard. Knows no region."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hidream_studio.page.state.guard import Guard


class Signal:
    """Callbacks in the order in which they were added; one that fails keeps none of the others from hearing."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._callbacks: list[Callable[..., Any]] = []

    def add(self, callback: Callable[..., Any]) -> None:
        self._callbacks.append(callback)

    def __call__(self, *args: Any) -> None:
        for callback in self._callbacks:
            with self._guard:
                callback(*args)


class PageSignals:
    """All that regions of one page can hear of."""

    def __init__(self, guard: Guard) -> None:
        self.sheet = Signal(guard)  # all of it
        self.group = Signal(guard)  # (group id): cells came or went
        self.cell = Signal(guard)  # (root): another picture or state
        self.progress = Signal(guard)  # (version)
        self.marks = Signal(guard)  # what is selected and picked
        self.compose = Signal(guard)  # written from elsewhere than by typing
        self.typed = Signal(guard)  # anything in the column changed: prices do
        self.queue = Signal(guard)
        self.prices = Signal(guard)  # a picture is done: what others will take is known better
        self.worker = Signal(guard)
        self.asked = Signal(guard)  # (first new root, or None where the look has no place for it): Generate was pressed
        self.view = Signal(guard)  # (list of versions): open the viewer
        self.look = Signal(guard)  # (list of pictures as the viewer takes them, title): open it on pictures of no job
        self.dialog = Signal(guard)  # (title, what draws it): open a dialog
