"""What lies over the page: toasts, the viewer, the key list, the settings. One of each at most."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from nicegui import ui

from hidream_studio import __version__
from hidream_studio.page import words
from hidream_studio.page.addresses import picture_file, thumbnail
from hidream_studio.page.components import Viewer
from hidream_studio.page.dom import Tag, icon_button
from hidream_studio.page.state.guard import Toast
from hidream_studio.page.state.session import Session
from hidream_studio.page.state.versions import Version, badge_of, differences

TOAST_S = 6.0
MAX_TOASTS = 3

KEYS = (
    ("Ctrl+Enter", "generate"), ("← ↑ → ↓", "move"), ("Space", "pick"), (".", "favourite"),
    ("F", "finish at Standard"), ("Shift+F", "finish at High"), ("C", "compare"), ("V", "new seeds"),
    ("R", "recall all settings"), ("S", "use the seed"), ("P", "use as picture"), ("X", "reject, undo"),
    ("Shift+X", "cancel"), ("Enter", "open large"), ("Z", "open at 100 %"), ("/", "search"),
    ("Esc", "close"), ("?", "this list"),
)  # fmt: skip


class Overlays:
    def __init__(self, session: Session, *, on_over: Callable[[bool], None]) -> None:
        """`on_over` is told whether something lies over the page."""
        self._session = session
        self._run = session.run
        self._on_over = on_over
        self._toasts = Tag("div", classes="toasts", role="status", aria_live="polite")
        self._layer = Tag("div")
        self._dark = ui.dark_mode(_dark_value(session.remembered.view.theme))
        session.guard.shown_at(self.toast)
        session.on.view.add(self.view)
        session.on.look.add(self.look)
        session.on.dialog.add(self.dialog)

    @property
    def is_open(self) -> bool:
        return bool(self._layer.default_slot.children)

    def close(self) -> None:
        self._layer.clear()
        self._on_over(False)

    # toasts

    def toast(self, toast: Toast) -> None:
        for shown in [one for one in self._toasts.default_slot.children if one._props.get("data-text") == toast.text]:
            shown.delete()  # said again, it comes anew, and once
        while len(self._toasts.default_slot.children) >= MAX_TOASTS:
            self._toasts.default_slot.children[0].delete()
        with self._toasts:
            made = Tag("div", classes="toast", data_text=toast.text)
            with made:
                Tag("span", toast.text)
                if toast.action is not None and toast.on_action is not None:
                    act = self._run(toast.on_action)

                    def acted() -> Any:
                        made.delete()
                        return act()

                    Tag("button", toast.action, on_click=acted)
        asyncio.get_running_loop().call_later(TOAST_S, self._take_away, made)

    def _take_away(self, made: Tag) -> None:
        if not made.is_deleted and not made.client.is_deleted:
            made.delete()

    # the viewer

    def view(self, versions: list[Version], *, full: bool = False) -> None:
        session = self._session
        pictures = [
            {
                "url": picture_file(version.key),
                "thumb": thumbnail(version.key),
                "width": version.job.width,
                "height": version.job.height,
                "label": picture_label(version, badge_of(version.job, session.profile)),
            }
            for version in versions
        ]
        different = differences(versions) if len(versions) > 1 else words.excerpt(versions[0].job.prompt)
        self.look(pictures, different, full=full)

    def look(self, pictures: list[dict[str, Any]], title: str, *, full: bool = False) -> None:
        """Pictures as the viewer takes them, under a line of text."""
        session = self._session
        self._layer.clear()
        self._on_over(True)
        with self._layer:
            Viewer(
                pictures,
                differences=title,
                mode=session.remembered.view.compare_mode,
                full=full,
                on_close=self.close,
                on_mode=lambda chosen: session.remembered.keep_view(compare_mode=chosen),
            )

    # dialogs

    def dialog(self, title: str, draw: Callable[[], None]) -> None:
        """A native dialog: it keeps the focus inside, gives it back, and Escape closes it."""
        self._layer.clear()
        self._on_over(True)
        with self._layer:
            dialog = Tag("dialog", classes="dialog", aria_label=title, data_modal=True)
            dialog.on("close", lambda _: self.close(), args=[])
            dialog.on("click.self", lambda _: self.close(), args=[])  # its backdrop
            with dialog, Tag("div", classes="dialog-body"):
                with Tag("div", classes="dialog-head"):
                    Tag("h2", title)
                    icon_button("close", "Close", self.close, "tool")
                draw()
        ui.run_javascript(f"getHtmlElement({dialog.id})?.showModal()")

    def help(self) -> None:
        def draw() -> None:
            with Tag("div", classes="keys"):
                for key, meaning in KEYS:
                    with Tag("div"):
                        Tag("span", meaning)
                        Tag("kbd", key)
            Tag("h3", "Sweeps")
            Tag(
                "p",
                "Write a list (12, 24, 36) or a range (10..50/10) into steps, guidance, size or seed: "
                "a contact sheet with labelled rows and columns.",
            )
            Tag("h3", "Search")
            Tag(
                "p",
                'Words and "phrases" of the prompt, and settings: seed:42, steps:24, size:512x512, guidance:3, '
                "preset:quick, fav:1.",
            )
            Tag("h3", "Settings that travel")
            Tag(
                "p",
                "Drop or paste a picture anywhere: its settings come back. Those of this studio carry all of theirs.",
            )
            if self._session.uploads.taken:
                Tag("h3", "Pictures")
                Tag(
                    "p",
                    "A picture without settings, or dropped on “+ Pictures”, goes into the model. Drag the pictures "
                    "into their order, or move them with Shift and the arrows; Boxes says where each stands.",
                )

        self.dialog("Keys", draw)

    def settings(self, choose_file: Callable[[], None]) -> None:
        self.dialog("Settings", lambda: self._draw_settings(choose_file))

    def _draw_settings(self, choose_file: Callable[[], None]) -> None:
        studio = self._session.studio
        health = studio.health()
        with Tag("div", classes="settings-row"):
            Tag("span", "Appearance")
            self._draw_theme()
        with Tag("div", classes="settings-row"):
            Tag("span", "Bring back the settings of a picture")
            Tag("button", "Choose a file", "small", on_click=choose_file)
        memory = ""
        if health.memory_used_mib is not None and health.memory_total_mib is not None:
            memory = f"{health.memory_used_mib / 1024:.1f} of {health.memory_total_mib / 1024:.1f} GiB"
        rows = (
            ("Model", health.model), ("Profile", health.profile), ("Device", health.device),
            ("Precision", health.precision), ("Numeric path", health.numeric_path), ("GPU memory", memory),
            ("Fingerprint", (health.fingerprint or "")[:16]), ("Worker restarts", str(health.worker_restarts)),
            ("Pictures and queue", str(studio.settings.data)), ("Version", __version__),
        )  # fmt: skip
        for name, value in rows:
            if value:
                with Tag("dl", classes="settings-row"):
                    Tag("dt", name)
                    Tag("dd", value)

    def _draw_theme(self) -> None:
        chosen = self._session.remembered.view.theme
        buttons: dict[str, Tag] = {}

        def choose(name: str) -> Callable[[], None]:
            def set_theme() -> None:
                self._dark.value = _dark_value(name)
                self._session.remembered.keep_view(theme=name)
                for other, tag in buttons.items():
                    tag.set(aria_pressed="true" if other == name else "false")

            return set_theme

        with Tag("div", classes="segments", role="group", aria_label="Appearance"):
            for name, text in (("auto", "As the system"), ("light", "Light"), ("dark", "Dark")):
                pressed = "true" if name == chosen else "false"
                buttons[name] = Tag("button", text, on_click=choose(name), aria_pressed=pressed)


def picture_label(version: Version, badge: str) -> str:
    job = version.job
    took = words.duration(version.elapsed_s)
    return " · ".join(
        part
        for part in (badge, words.size(job.width, job.height), f"{job.steps} steps", f"seed {job.seed}", took)
        if part
    )


def copy_text(text: str, session: Session, done: str) -> None:
    """Into the clipboard; the old way too, since browsers keep the new one from pages over plain http."""
    ui.run_javascript(
        "(async (text) => { try { await navigator.clipboard.writeText(text); } catch {"
        " const area = document.createElement('textarea'); area.value = text; document.body.append(area);"
        " area.select(); document.execCommand('copy'); area.remove(); } })"
        f"({json.dumps(text)})"
    )
    session.say(done)


def _dark_value(theme: Any) -> bool | None:
    return {"light": False, "dark": True}.get(str(theme))
