"""What a page is like the next time: its column, its look, what was dismissed. In the library; draws nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hidream_studio.job.request import FinishMode
from hidream_studio.library.library import Library
from hidream_studio.page.state.guard import Guard

COMPOSE_SETTING = "page.compose"
VIEW_SETTING = "page.view"
DISMISSED_SETTING = "page.dismissed"
KEPT_DISMISSED = 500
QUIET_S = 0.3
MIN_THUMB_PX, MAX_THUMB_PX = 96, 420
_NO_JSON = object()  # what is stored when its text cannot even be parsed

Remembering = TypeVar("Remembering", bound=BaseModel)


class View(BaseModel):
    """How somebody likes the page. A new value needs its line here, with what a first visit has."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    theme: Literal["auto", "light", "dark"] = "auto"
    thumb_px: Annotated[int, Field(ge=MIN_THUMB_PX, le=MAX_THUMB_PX)] | None = None  # None: the style sheet chooses
    finish_mode: FinishMode = "re-render"
    finish_strength: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None  # None: the profile's
    compare_mode: Literal["slider", "side", "flicker"] = "slider"


def readable(stored: Any, otherwise: Remembering) -> tuple[Remembering, tuple[str, ...]]:
    """What is stored, field by field; `otherwise` for each that cannot be read, and the names of those."""
    if not isinstance(stored, dict):
        return otherwise, () if stored is None else ("all of it",)
    model, known = type(otherwise), otherwise.model_dump()
    stored = {name: stored[name] for name in known if name in stored}
    try:
        return model.model_validate({**known, **stored}), ()
    except ValidationError as error:
        wrong = dict.fromkeys(str(finding["loc"][0]) for finding in error.errors(include_url=False))
    kept = {name: value for name, value in stored.items() if name not in wrong}
    return model.model_validate({**known, **kept}), tuple(wrong)


class Remembered:
    """Read once; then each change, and no more, is written into what is stored: another tab may change the rest."""

    def __init__(self, library: Library, guard: Guard) -> None:
        self.view = View()
        self.dismissed: list[str] = []  # jobs whose cells are gone
        self._library = library
        self._guard = guard
        self._saving: asyncio.Task[None] | None = None
        self._changes: set[asyncio.Task[None]] = set()  # under way
        self._order = asyncio.Lock()  # fair: changes are written in the order in which they were made

    async def load(self) -> Any:
        """Read everything; returns the column as it was stored, or None. Says what cannot be read."""
        self.view, unread = readable(await self._stored(VIEW_SETTING), View())
        dismissed = await self._stored(DISMISSED_SETTING)
        listed = dismissed if isinstance(dismissed, list) else []
        self.dismissed = [key for key in listed if isinstance(key, str)][-KEPT_DISMISSED:]
        if dismissed is not None and (listed is not dismissed or not all(isinstance(key, str) for key in listed)):
            unread += ("what was dismissed",)
        self.complain(unread)
        return await self._stored(COMPOSE_SETTING)

    def complain(self, unread: Iterable[str]) -> None:
        """Tell of values that are as on a first visit, because what was stored cannot be read."""
        if names := ", ".join(unread):
            self._guard.say(f"Some of what this page remembers cannot be read, and is as on a first visit: {names}.")

    async def _stored(self, name: str) -> Any:
        try:
            return await asyncio.to_thread(self._library.notes.setting, name, None)
        except (ValueError, RecursionError):
            return _NO_JSON

    def keep_view(self, **values: Any) -> None:
        self.view = self.view.model_copy(update=values)
        self._change_soon(VIEW_SETTING, {}, lambda stored: {**stored, **values})

    def dismiss(self, *keys: str) -> None:
        def added(dismissed: list[str]) -> list[str]:
            return [*dismissed, *keys][-KEPT_DISMISSED:]

        self.dismissed = added(self.dismissed)
        self._change_soon(DISMISSED_SETTING, [], added)

    def keep_column_soon(self, column: Callable[[], Any]) -> None:
        """Write what `column` says once nobody has typed for a moment."""
        if self._saving is not None:
            self._saving.cancel()
        self._saving = asyncio.create_task(self._keep_column_after_quiet(column))

    async def _keep_column_after_quiet(self, column: Callable[[], Any]) -> None:
        await asyncio.sleep(QUIET_S)
        with self._guard:
            await asyncio.to_thread(self._library.notes.set_setting, COMPOSE_SETTING, column())

    def _change_soon(self, name: str, empty: Any, change: Callable[[Any], Any]) -> None:
        task = asyncio.create_task(self._change_in_turn(name, empty, change))
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)

    async def _change_in_turn(self, name: str, empty: Any, change: Callable[[Any], Any]) -> None:
        def changed(stored: Any) -> Any:
            return change(stored if isinstance(stored, type(empty)) else empty)

        with self._guard:
            async with self._order:
                try:
                    await asyncio.to_thread(self._library.notes.change_setting, name, changed)
                except (ValueError, RecursionError):  # what stands there is no JSON: nothing is lost with it
                    await asyncio.to_thread(self._library.notes.set_setting, name, changed(None))
