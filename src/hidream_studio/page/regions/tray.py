"""The tray: what was picked, and what can be done with all of it at once.

While there are picks its buttons stay the same elements: a click never falls on one that is just being replaced.
"""

from __future__ import annotations

from collections.abc import Callable

from nicegui import ui

from hidream_studio.errors import StudioError
from hidream_studio.job.profiles import PresetId
from hidream_studio.page import words
from hidream_studio.page.addresses import thumbnail
from hidream_studio.page.dom import Tag, icon
from hidream_studio.page.state.choice import MAX_COMPARED
from hidream_studio.page.state.session import Session
from hidream_studio.page.state.versions import Version, side_name

SHOWN_PICKS = 60  # the latest
_HINTS = (("Space", "pick"), ("C", "compare"), ("F", "finish"), ("V", "new seeds"), ("X", "reject"), ("?", "all keys"))
_FINISHES: tuple[PresetId, ...] = ("standard", "high")


class Tray:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._run = session.run
        self._shown: list[str] = []  # keys of the picks in the strip
        self._root = Tag("footer", classes="tray", aria_label="Picked pictures")
        self._draw_hints()
        session.on.marks.add(self.draw)
        session.on.prices.add(self.draw)

    def draw(self) -> None:
        picks = self._session.choice.picked_versions()
        keys = [version.key for version in picks]
        if bool(keys) != bool(self._shown):
            (self._build if keys else self._draw_hints)()
        if keys:
            self._draw_words(picks)
        if keys and keys != self._shown:
            self._draw_strip(picks, grown=len(keys) > len(self._shown))
        self._shown = keys

    def _draw_hints(self) -> None:
        self._root.clear()
        with self._root, Tag("div", classes="tray-hints"):
            for key, meaning in _HINTS:
                with Tag("span"):
                    Tag("kbd", key)
                    Tag("span", meaning)

    def _build(self) -> None:
        session = self._session
        self._root.clear()
        self._finishes: dict[PresetId, tuple[Tag, Tag]] = {}
        with self._root:
            self._count = Tag("span", "", "tray-count", role="status")
            self._strip = Tag("div", classes="tray-picks")
            Tag("span", classes="bar-space")
            self._compare = Tag("button", on_click=self._run(session.choice.compare))
            with self._compare:
                icon("compare")
                Tag("span", "Compare")
                self._compare_limit = Tag("span", "", "estimate")
            for preset_id in _FINISHES:
                with Tag("button", on_click=self._finisher(preset_id)):
                    self._finishes[preset_id] = (Tag("span", ""), Tag("span", "", "estimate"))
            Tag("button", "Clear", "quiet", on_click=session.choice.clear_picks)

    def _draw_words(self, picks: list[Version]) -> None:
        session = self._session
        self._count.set_text(f"{len(picks)} picked")
        few, many = len(picks) < 2, len(picks) > MAX_COMPARED
        self._compare.set(disabled=True if few or many else None)
        self._compare.set(title=f"Compare takes 2 to {MAX_COMPARED} pictures" if few or many else "C")
        self._compare_limit.set_text(f"at most {MAX_COMPARED}" if many else "")
        self._compare_limit.show(many)
        for preset_id, (name, price) in self._finishes.items():
            preset = session.profile.preset(preset_id)
            target = (
                f"with {preset.steps} steps" if session.finishing.mode == "exact" else f"at {side_name(preset.width)}"
            )
            name.set_text(f"{'Finish' if len(picks) == 1 else 'Finish all'} {target}")
            try:
                price.set_text(words.about(session.finishing.price(picks, preset_id)))
            except StudioError:
                price.set_text("")

    def _draw_strip(self, picks: list[Version], *, grown: bool) -> None:
        self._strip.clear()
        with self._strip:
            for version in picks[-SHOWN_PICKS:]:
                Tag(
                    "button",
                    on_click=self._select(version),
                    aria_label=f"Show seed {version.job.seed}",
                    title=f"seed {version.job.seed}",
                    style=f"background-image:url({thumbnail(version.key)})",
                )
        if grown:  # the new one stands at the end, which a full strip hides
            with self._root:
                ui.run_javascript(f"getHtmlElement({self._strip.id})?.scrollTo(1e6, 0)")

    def _finisher(self, preset_id: PresetId) -> Callable[[], object]:
        session = self._session
        return self._run(lambda: session.verbs.finish(session.choice.picked_versions(), preset_id))

    def _select(self, version: Version) -> Callable[[], None]:
        session = self._session
        return lambda: session.choice.show_version(session.model.root_of(version.key), version.key)
