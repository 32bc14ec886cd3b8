"""Puts the regions of one page together and wires its keys. What they do is in state/session.py."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from nicegui import ui

from hidream_studio import __version__
from hidream_studio.errors import RequestError
from hidream_studio.page import words
from hidream_studio.page.addresses import ASSETS, ASSETS_URL, asset
from hidream_studio.page.components import Back, DropZone, Hotkeys
from hidream_studio.page.dom import Tag
from hidream_studio.page.feed import Feed
from hidream_studio.page.picks import KeptPicks
from hidream_studio.page.regions.bar import Bar
from hidream_studio.page.regions.compose import Compose
from hidream_studio.page.regions.inspector import Inspector
from hidream_studio.page.regions.overlays import Overlays
from hidream_studio.page.regions.sheet import SheetRegion
from hidream_studio.page.regions.tray import Tray
from hidream_studio.page.state.compose import with_loras_of
from hidream_studio.page.state.guard import Guard, explain
from hidream_studio.page.state.pictures import missing_words
from hidream_studio.page.state.restore import restored_from_file, says_nothing
from hidream_studio.page.state.session import Session
from hidream_studio.service.studio import Studio

STYLE_SHEETS = ("theme.css", "icons.css", "page.css", "sheet.css", "viewer.css", "pictures.css")


async def build_page(studio: Studio) -> None:
    """One visit: its session, its regions, and the feed that keeps them up to date until the visitor leaves.

    It opens whatever is stored, and whether or not the library can be read: what is in the way is said on it.
    """
    client, guard = ui.context.client, Guard()
    client.on_exception(guard.tell)  # of handlers that are not watched over; NiceGUI has logged it
    for name in STYLE_SHEETS:
        ui.add_head_html(f'<link rel="stylesheet" href="{asset(ASSETS_URL)}/{name}?v={_stamp(name)}">')
    since = studio.last_event  # what happens while the library is read must not be missed
    session, read = Session(studio, guard), False
    with guard:
        await session.load()
        read = True
    root, page, base_url = Tag("div", classes="studio"), None, str(client.request.base_url)
    with guard, root:
        page = Page(session, base_url=base_url)
    if page is None:  # as on a first visit
        root.clear()
        session = Session(studio, guard)
        with root:
            page = Page(session, base_url=base_url)
    feed = Feed(session, since=since, behind=not read)
    feed.start()
    client.on_delete(feed.stop)
    page.greet()


class Page:
    """The regions, in the order in which a keyboard goes through them, and the keys."""

    def __init__(self, session: Session, *, base_url: str) -> None:
        self._session = session
        self._run = session.run
        back = Back(self._went_back)
        Bar(session, on_help=lambda: self.overlays.help(), on_settings=self._open_settings)
        self.compose = Compose(session)
        self.sheet = SheetRegion(session)
        self.inspector = Inspector(
            session, base_url, on_open=lambda is_open: back.over("inspect", is_open, where=".inspect")
        )
        Tray(session)
        KeptPicks(session)
        self._drop = DropZone(
            self._run_with(self._dropped),
            lambda text: session.say(str(text)),
            takes_pictures=session.uploads.taken,
        )
        Hotkeys(self._pressed)
        self.overlays = Overlays(session, on_over=lambda lies: back.over("overlay", lies))

    def greet(self) -> None:
        """The cursor stands where the work starts."""
        if not self._session.column.state.prompt:
            self.compose.prompt.focus()

    def _run_with(self, act: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda value: self._run(functools.partial(act, value))()

    def _open_settings(self) -> None:
        self.overlays.settings(self._drop.choose)

    # what is dropped, what is pressed

    def _dropped(self, file: dict[str, Any]) -> None:
        """Its settings come back; where the model takes pictures and it has none, it is one."""
        session, name = self._session, words.excerpt(str(file.get("name", "the file")), 60)
        data, left_out = str(file.get("data", "")), tuple(str(name) for name in file.get("left_out", ()))
        takes = session.uploads.taken
        use = ("Use as picture", self._drop.use_as_picture) if takes else ()
        try:
            state, notes = restored_from_file(data, session.column.state, session.profile, left_out=left_out)
        except RequestError as error:
            if not takes:
                raise
            if says_nothing(data, left_out):
                self._drop.use_as_picture()
            else:
                session.say(explain(error), *use)
            return
        state, lacking = with_loras_of(state, session.studio.loras)
        notes += lacking
        pictures = session.uploads.found(state.pictures)
        session.column.write(state.changed(pictures=pictures))
        remarks = [f"Mind: {'; '.join(notes)}."] if notes else []
        remarks += [said] if (said := missing_words(pictures)) else []
        session.say(" ".join((f"Settings of {name} are back.", *remarks)), *use)

    def _pressed(self, key: str) -> Any:
        session, root = self._session, self._session.choice.selected
        always: dict[str, Callable[[], Any]] = {
            "generate": session.column.generate,
            "new-seeds": session.column.generate_new_seeds,
            "compare": session.choice.compare,
            "help": self.overlays.help,
            "escape": self._escape,
            "finish": lambda: session.verbs.finish_selected("standard"),
            "finish-high": lambda: session.verbs.finish_selected("high"),
        }
        if key in always:
            return self._run(always[key])()
        if root is None:
            return None
        on_selected: dict[str, Callable[[], Any]] = {
            "pick": lambda: session.choice.pick(root),
            "favourite": lambda: session.verbs.favourite(root),
            "reject": lambda: session.verbs.reject(root),
            "cancel": lambda: session.verbs.cancel(root),
            "recall": lambda: session.verbs.recall(root),
            "use-picture": lambda: session.verbs.use_as_picture(root),
            "seed": lambda: session.verbs.recall_seed(root),
            "view": lambda: self._view(root),
            "full-size": lambda: self._view(root, full=True),
        }
        return self._run(on_selected[key])() if key in on_selected else None

    def _view(self, root: str, *, full: bool = False) -> None:
        front = self._session.model.front(root)
        if front is not None and front.has_image:
            self.overlays.view([front], full=full)

    def _went_back(self, name: str) -> None:
        """The browser's Back took something away."""
        if name == "inspect":
            self.inspector.put_away()
        else:
            self.overlays.close()

    def _escape(self) -> None:
        if self.overlays.is_open:
            self.overlays.close()
        else:
            self.inspector.close()


def _stamp(name: str) -> str:
    return f"{__version__}-{int((ASSETS / name).stat().st_mtime)}"
