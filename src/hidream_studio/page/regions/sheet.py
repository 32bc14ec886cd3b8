"""The middle: filters and search above, the sheet below. Turns the session's signals into patches of cells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from nicegui import ui
from nicegui.events import GenericEventArguments

from hidream_studio.errors import StudioError
from hidream_studio.page import words
from hidream_studio.page.addresses import ASSETS, ASSETS_URL, asset
from hidream_studio.page.components import Field, Sheet
from hidream_studio.page.dom import Tag, icon, slider
from hidream_studio.page.state.compose import plan
from hidream_studio.page.state.remembered import MAX_THUMB_PX, MIN_THUMB_PX
from hidream_studio.page.state.session import Session
from hidream_studio.page.state.shelf import FILTERS, Filter, Look
from hidream_studio.page.state.versions import Version, progress_words

_NAMES = {"all": "All", "favourites": "Favourites", "drafts": "Drafts", "finals": "Finals", "rejected": "Rejected"}
SEARCH_QUIET_S = 0.12
WRONG_SEARCH_S = 0.9
THUMB_PX = 168
EDIT_TO_TRY = ASSETS / "try_edit.webp"
EDIT_PROMPT = "Make the ball blue"


class SheetRegion:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._run = session.run
        self._page_selected = session.choice.selected
        self._dirty_groups: dict[str, None] = {}  # ordered sets
        self._dirty_cells: dict[str, None] = {}
        self._flushing = False
        self._query = ""  # as typed
        with Tag("section", classes="sheet", aria_label="Pictures"):  # the page around it is the main landmark
            with Tag("div", classes="sheet-bar"):
                self._draw_filters()
                with Tag("div", classes="search", role="search"):
                    icon("search")
                    self.search = Field(
                        session.shown.look.query,
                        label="Search prompts and settings",
                        placeholder="Search",
                        on_text=self._searched,
                        on_refused=session.say,
                    )
                self._draw_thumb_size()
            self._scroll = Tag("div", classes="sheet-scroll")
            with self._scroll:
                self._empty = Tag("div")
                self.sheet = Sheet(
                    self._groups(),
                    more=session.shown.more,
                    selected=session.choice.selected,
                    picked=[],
                    usable=session.uploads.taken,
                    on_act=self._act,
                )
        self._draw_empty()
        session.on.sheet.add(self._draw_all)
        session.on.group.add(self._draw_group)
        session.on.cell.add(self._draw_cell)
        session.on.progress.add(self._draw_progress)
        session.on.marks.add(self._draw_marks)
        session.on.asked.add(self._asked)

    def _draw_filters(self) -> None:
        self._filters = {}
        with Tag("div", classes="segments", role="group", aria_label="Show"):
            for name in FILTERS:
                pressed = "true" if name == self._session.shown.look.filter else "false"
                self._filters[name] = Tag("button", _NAMES[name], on_click=self._filter(name), aria_pressed=pressed)

    def _draw_thumb_size(self) -> None:
        chosen = self._session.remembered.view.thumb_px
        size = chosen or THUMB_PX
        if chosen is not None:  # otherwise the style sheet chooses, by the width of the screen
            ui.query("body").style(f"--thumb-min: {size}px")
        with Tag("label", classes="thumb-size", title="Size of the pictures"):
            Tag("span", "Size of the pictures", "visually-hidden")
            chooser = slider(MIN_THUMB_PX, MAX_THUMB_PX, 4, size)
        chooser.on(
            "input",
            self._thumb_size_changed,
            throttle=0.3,
            js_handler="(e) => { const px = e.target.value;"
            " document.body.style.setProperty('--thumb-min', px + 'px'); emit(px); }",
        )

    def _thumb_size_changed(self, event: GenericEventArguments) -> None:
        self._session.remembered.keep_view(thumb_px=int(event.args))

    def _filter(self, name: Filter) -> Callable[[], Any]:
        return self._run(lambda: self._show_filter(name, replace(self._session.shown.look, filter=name)))

    async def _show_filter(self, name: Filter, look: Look) -> None:
        for other, tag in self._filters.items():
            tag.set(aria_pressed="true" if other == name else "false")
        await self._session.shown.show(look)

    def _searched(self, text: str) -> Any:
        self._query = text.strip()
        return self._run(lambda: self._search(text.strip()))()

    async def _search(self, query: str) -> None:
        """Once the typing rests; a half-written `seed:` is told of only when it stays so."""
        await asyncio.sleep(SEARCH_QUIET_S)
        if query != self._query:
            return
        try:
            await self._session.shown.show(replace(self._session.shown.look, query=query))
            self.search.mark_invalid(False)
        except StudioError:
            self.search.mark_invalid(True)
            await asyncio.sleep(WRONG_SEARCH_S)
            if query == self._query:
                raise

    # drawing

    def _groups(self) -> list[dict[str, Any]]:
        return [self._session.model.group_cells(group) for group in self._session.model.groups()]

    def _draw_all(self) -> None:
        self.sheet.reset(self._groups(), more=self._session.shown.more)
        self._draw_empty()

    def _draw_group(self, group_id: str) -> None:
        self._dirty_groups[group_id] = None
        self._flush_soon()

    def _draw_cell(self, root: str) -> None:
        self._dirty_cells[root] = None
        self._flush_soon()

    def _flush_soon(self) -> None:
        """Eight new jobs are one message, not eight."""
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        with self._session.guard:
            self._send_dirty()

    def _send_dirty(self) -> None:
        model = self._session.model
        groups, self._dirty_groups = self._dirty_groups, {}
        cells, self._dirty_cells = self._dirty_cells, {}
        order = {group.id: position for position, group in enumerate(model.groups())}
        for group_id in groups:
            group = model.group(group_id)
            if group is None:
                self.sheet.drop_group(group_id)
            else:
                self.sheet.put_group(model.group_cells(group), order[group_id])
        self.sheet.patch([model.cell(root) for root in cells if model.front(root) is not None])
        if groups:
            self.sheet.set_more(self._session.shown.more)
            self._draw_empty()

    def _draw_progress(self, version: Version) -> None:
        model = self._session.model
        root = model.root_of(version.key)
        if model.front(root) is version:
            self.sheet.progress([{"key": root, **progress_words(version)}])

    def _draw_marks(self) -> None:
        session = self._session
        self.sheet.mark_cells([session.model.root_of(key) for key in session.choice.picked])
        if session.choice.selected != self._page_selected:  # else an echo would undo what was selected since
            self._page_selected = session.choice.selected
            self.sheet.choose(session.choice.selected)

    def _draw_empty(self) -> None:
        """A first visit gets three prompts that this model can draw; an empty search says what it looked for."""
        session = self._session
        kind = "" if len(session.model) else "welcome" if session.shown.look == Look() else "nothing"
        if self._empty._props.get("data-kind", "") == kind and kind != "nothing":
            return
        self._empty.clear()
        self._empty.set(data_kind=kind)
        with self._empty:
            if kind == "welcome":
                self._draw_welcome()
            elif kind == "nothing":
                query = session.shown.look.query
                about = f"No picture fits “{query}”." if query else "Nothing here yet."
                Tag("p", about, "nothing", role="status")

    def _draw_welcome(self) -> None:
        session = self._session
        with Tag("section", classes="welcome"):
            Tag("h2", "What do you want to see?")
            if session.profile.draws:
                Tag("p", f"{session.profile.name} knows only {session.profile.draws}.")
            Tag("p", "Explore with cheap drafts, then finish the picks. Try one of these:")
            with Tag("div", classes="welcome-examples"):
                for prompt in session.profile.examples[:3]:
                    with Tag("button", on_click=self._run(self._example(prompt))):
                        Tag("span", prompt, dir="auto")
                        Tag("span", self._example_price(prompt), "estimate")
                if session.uploads.taken:
                    self._draw_edit_to_try()

    def _draw_edit_to_try(self) -> None:
        """For a model that reads pictures: one to change, and what to say."""
        with Tag("button", classes="welcome-edit", on_click=self._run(self._try_edit)):
            Tag("img", src=asset(f"{ASSETS_URL}/{EDIT_TO_TRY.name}"), alt="A red ball on a table")
            Tag("span", EDIT_PROMPT, dir="auto")
            Tag("span", "Change a picture: this one, or one of your own. Drop it anywhere.", "hint")

    async def _try_edit(self) -> None:
        """Into the column, where it has a price."""
        session = self._session
        await session.uploads.add_bytes(await asyncio.to_thread(EDIT_TO_TRY.read_bytes), "red ball")
        session.column.write(session.column.state.changed(prompt=EDIT_PROMPT))
        session.say("A picture and what to change of it stand in the column: press Generate.")

    def _example_price(self, prompt: str) -> str:
        session = self._session
        try:
            wanted = plan(session.column.state.changed(prompt=prompt), session.profile, random_seed=0)
            return words.about(session.column.price(wanted).seconds)
        except StudioError:
            return ""

    def _example(self, prompt: str) -> Callable[[], Any]:
        session = self._session

        async def draw() -> None:
            session.column.write(session.column.state.changed(prompt=prompt))
            await session.column.generate()

        return draw

    # what was asked for comes into sight

    def _asked(self, root: str | None) -> None:
        """New pictures come where a sheet that was scrolled down, and a phone, do not look."""
        if root is not None:
            asyncio.get_running_loop().call_soon(self.sheet.bring_into_sight, root)  # after the cells themselves
        else:
            hidden = "This search or filter hides the pictures on their way."
            self._session.say(hidden, "Show all", self._show_all)

    async def _show_all(self) -> None:
        self._query = ""
        self.search.set("")
        self.search.mark_invalid(False)
        await self._show_filter("all", Look())

    # what cells ask for

    def _act(self, event: dict[str, Any]) -> Any:
        session, key = self._session, str(event.get("key", ""))
        acts: dict[str, Callable[[], Any]] = {
            "select": lambda: self._selected(key),
            "view": lambda: self._view(key),
            "pick": lambda: session.choice.pick(key),
            "favourite": lambda: session.verbs.favourite(key),
            "reject": lambda: session.verbs.reject(key),
            "use": lambda: session.verbs.use_as_picture(key),
            "cancel": lambda: session.verbs.cancel(key),
            "retry": lambda: session.verbs.retry(key),
            "smaller": lambda: session.verbs.retry(key, smaller=True),
            "dismiss": lambda: self._dismiss(key),
            "dismiss-group": lambda: session.verbs.dismiss_cancelled(key),
            "version": lambda: session.choice.show_version(key, str(event.get("version"))),
            "more": lambda: session.shown.show(older=True),
            "save-sheet": lambda: ui.download(f"/_studio/sheets/{key}.png", f"sheet-{key}.png"),
            "recall-group": lambda: self._recall_group(key),
        }
        act = acts.get(str(event.get("act")))
        return self._run(act)() if act is not None else None

    def _selected(self, root: str) -> None:
        self._page_selected = root
        self._session.choice.select(root)

    def _view(self, root: str) -> None:
        front = self._session.model.front(root)
        if front is not None and front.has_image:
            self._session.on.view([front])

    def _dismiss(self, root: str) -> None:
        front = self._session.model.front(root)
        if front is not None:
            self._session.verbs.dismiss(front.key)

    def _recall_group(self, group_id: str) -> None:
        group = self._session.model.group(group_id)
        if group is not None:
            self._session.verbs.recall(group.roots[0])
