"""Puts the regions of one page together and wires its keys. What they do is in state/session.py."""

from __future__ import annotations

import functools
from collections.abc import Callable
from inspect import isawaitable
from pathlib import Path
from typing import Any

from nicegui import ui

from hidream_studio import __version__
from hidream_studio.errors import QueueFullError, StudioError
from hidream_studio.page import words
from hidream_studio.page.addresses import asset
from hidream_studio.page.components import DropZone, Hotkeys
from hidream_studio.page.dom import Tag
from hidream_studio.page.feed import Feed
from hidream_studio.page.regions.bar import Bar
from hidream_studio.page.regions.compose import Compose
from hidream_studio.page.regions.inspector import Inspector
from hidream_studio.page.regions.overlays import Overlays
from hidream_studio.page.regions.sheet import SheetRegion
from hidream_studio.page.regions.tray import Tray
from hidream_studio.page.state.picks import KeptPicks
from hidream_studio.page.state.restore import restored_from_png
from hidream_studio.page.state.session import Session
from hidream_studio.page.state.signals import Toast, explain
from hidream_studio.service.studio import Studio

STATIC = Path(__file__).parent / "static"
ASSETS_URL = "/_studio/assets"  # no prefix of a proxy begins so
STYLE_SHEETS = ("theme.css", "icons.css", "page.css", "sheet.css", "viewer.css")


async def build_page(studio: Studio) -> None:
    """One visit: its session, its regions, and the feed that keeps them up to date until the visitor leaves."""
    session = Session(studio)
    since = studio.last_event  # what happens while the library is read must not be missed
    await session.load()
    for name in STYLE_SHEETS:
        ui.add_head_html(f'<link rel="stylesheet" href="{asset(ASSETS_URL)}/{name}?v={_stamp(name)}">')
    page = Page(session, base_url=str(ui.context.client.request.base_url))
    feed = Feed(session, since=since)
    feed.start()
    ui.context.client.on_delete(feed.stop)
    page.greet()


class Page:
    def __init__(self, session: Session, *, base_url: str) -> None:
        self._session = session
        run = self._run
        with Tag("div", classes="studio"):
            Bar(session, run, on_help=lambda: self.overlays.help(), on_settings=self._open_settings)
            self.compose = Compose(session, run)
            self.sheet = SheetRegion(session, run)
            self.inspector = Inspector(session, run, base_url)
            Tray(session, run)
            KeptPicks(session)
            self._drop = DropZone(self._run_with(self._dropped), lambda text: session.on_toast(Toast(str(text))))
            Hotkeys(self._pressed)
            self.overlays = Overlays(session, run)

    def greet(self) -> None:
        """The cursor stands where the work starts."""
        if not self._session.compose.prompt:
            self.compose.prompt.focus()

    # errors, in one place

    def _run(self, act: Callable[[], Any]) -> Callable[[], Any]:
        """`act` as a handler: what goes wrong on purpose becomes a toast that says why."""

        async def handle() -> None:
            try:
                result = act()
                if isawaitable(result):
                    await result
            except QueueFullError as error:
                wait = words.about(error.retry_after_s)
                self._session.on_toast(Toast(f"{explain(error)} Your settings are kept; try again in {wait}."))
            except StudioError as error:
                self._session.on_toast(Toast(explain(error)))

        return handle

    def _run_with(self, act: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda value: self._run(functools.partial(act, value))()

    def _open_settings(self) -> None:
        self.overlays.settings(self._drop.choose)

    # what is dropped, what is pressed

    def _dropped(self, file: dict[str, Any]) -> None:
        state, notes = restored_from_png(str(file.get("data", "")), self._session.compose, self._session.profile)
        self._session.write(state)
        left_out = f" Left out: {'; '.join(notes)}." if notes else ""
        self._session.on_toast(
            Toast(f"Settings of {words.excerpt(str(file.get('name', 'the file')), 60)} are back.{left_out}")
        )

    def _pressed(self, key: str) -> Any:
        session, root = self._session, self._session.selected
        always: dict[str, Callable[[], Any]] = {
            "generate": session.generate,
            "new-seeds": session.generate_new_seeds,
            "compare": session.compare,
            "help": self.overlays.help,
            "escape": self._escape,
            "finish": lambda: session.finish_selected("standard"),
            "finish-high": lambda: session.finish_selected("high"),
        }
        if key in always:
            return self._run(always[key])()
        if root is None:
            return None
        on_selected: dict[str, Callable[[], Any]] = {
            "pick": lambda: session.pick(root),
            "favourite": lambda: session.favourite(root),
            "reject": lambda: session.reject(root),
            "cancel": lambda: session.cancel(root),
            "recall": lambda: session.recall(root),
            "seed": lambda: session.recall_seed(root),
            "view": lambda: self._view(root),
            "full-size": lambda: self._view(root, full=True),
        }
        return self._run(on_selected[key])() if key in on_selected else None

    def _view(self, root: str, *, full: bool = False) -> None:
        front = self._session.model.front(root)
        if front is not None and front.has_image:
            self.overlays.view([front], full=full)

    def _escape(self) -> None:
        if self.overlays.is_open:
            self.overlays.close()
        else:
            self.inspector.close()


def _stamp(name: str) -> str:
    return f"{__version__}-{int((STATIC / name).stat().st_mtime)}"
