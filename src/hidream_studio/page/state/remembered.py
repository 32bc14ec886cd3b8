"""What a page is like the next time: its column, its look, what was dismissed. In the library; draws nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from nicegui import background_tasks

from hidream_studio.library.library import Library

COMPOSE_SETTING = "page.compose"
VIEW_SETTING = "page.view"
DISMISSED_SETTING = "page.dismissed"
KEPT_DISMISSED = 500
QUIET_S = 0.3


class Remembered:
    """Read once; then each change, and no more, is written into what is stored: another tab may change the rest."""

    def __init__(self, library: Library) -> None:
        self.view: dict[str, Any] = {}  # theme, size of the thumbnails, ways to finish and to compare
        self.dismissed: list[str] = []  # jobs whose cells are gone
        self._library = library
        self._saving: asyncio.Task[None] | None = None
        self._order = asyncio.Lock()  # fair: changes are written in the order in which they were made

    async def load(self) -> Any:
        """Read everything; returns the column as it was stored, or None."""
        setting = self._library.setting
        stored = await asyncio.to_thread(setting, COMPOSE_SETTING, None)
        view = await asyncio.to_thread(setting, VIEW_SETTING, {})
        dismissed = await asyncio.to_thread(setting, DISMISSED_SETTING, [])
        self.view = view if isinstance(view, dict) else {}
        self.dismissed = dismissed if isinstance(dismissed, list) else []
        return stored

    def keep_view(self, **values: Any) -> None:
        self.view = {**self.view, **values}
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
        await asyncio.to_thread(self._library.set_setting, COMPOSE_SETTING, column())

    def _change_soon(self, name: str, empty: Any, change: Callable[[Any], Any]) -> None:
        background_tasks.create(self._change_in_turn(name, empty, change))

    async def _change_in_turn(self, name: str, empty: Any, change: Callable[[Any], Any]) -> None:
        async with self._order:
            await asyncio.to_thread(
                self._library.change_setting, name,
                lambda stored: change(stored if isinstance(stored, type(empty)) else empty),
            )  # fmt: skip
