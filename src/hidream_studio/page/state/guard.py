"""The one place for what goes wrong on a page: a toast says it, the log keeps what nobody foresaw. Ends nothing."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from inspect import isawaitable
from types import TracebackType
from typing import Any

from hidream_studio.errors import QueueFullError, StudioError
from hidream_studio.page import words

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Toast:
    text: str
    action: str | None = None
    on_action: Callable[[], Any] | None = None


class Guard:
    """`with guard:` says and survives. Handlers, the feed's loops, drawings and the page's building pass through it."""

    def __init__(self) -> None:
        self._early: list[Toast] = []  # said before there was a place for them
        self._place: Callable[[Toast], None] | None = None
        self._logged: set[str] = set()  # where errors came from: a loop would tell the same one for ever

    def say(self, text: str, action: str | None = None, on_action: Callable[[], Any] | None = None) -> None:
        """Show a toast, as soon as there is a place for it."""
        toast = Toast(text, action, on_action)
        if self._place is None:
            self._early.append(toast)
        else:
            self._place(toast)

    def shown_at(self, place: Callable[[Toast], None]) -> None:
        """From now on toasts are shown there; so are those that had to wait."""
        self._place = place
        early, self._early = self._early, []
        for toast in early:
            place(toast)

    def __enter__(self) -> None:
        """What goes wrong inside is said and, where nobody foresaw it, logged; what follows goes on."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        if not isinstance(error, Exception):
            return False  # nothing, or the end of a task
        if not isinstance(error, StudioError) and (source := _source(error)) not in self._logged:
            self._logged.add(source)
            logger.error("unforeseen on a page, which goes on", exc_info=error)
        self.tell(error)
        return True

    def handler(self, act: Callable[[], Any]) -> Callable[[], Any]:
        """`act`, which may be asynchronous, as a handler that watches over it."""

        async def handle() -> None:
            with self:
                result = act()
                if isawaitable(result):
                    await result

        return handle

    def tell(self, error: Exception) -> None:
        """A toast about `error`."""
        if isinstance(error, QueueFullError):
            wait = words.about(error.retry_after_s)
            self.say(f"{explain(error)} Your settings are kept; try again in {wait}.")
        elif isinstance(error, StudioError):
            self.say(explain(error))
        else:
            what = words.excerpt(f"{type(error).__name__}: {error}", 120)
            self.say(f"Something went wrong that should not have; the server's log says where. {what}")


def explain(error: StudioError) -> str:
    """An error's sentence as the page says it."""
    message = words.on_page(error.message)
    if message.split(" ", 1)[0].isalpha():  # what is quoted ("seed:x") stays as it was written
        message = message[:1].upper() + message[1:]
    return message if message.endswith((".", "!", "?")) else f"{message}."


def _source(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__} at {place}"
