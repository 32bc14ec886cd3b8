"""The tray: what was picked, and what can be done with all of it at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hidream_studio.errors import StudioError
from hidream_studio.job.profiles import PresetId
from hidream_studio.studio import words
from hidream_studio.studio.bar import Run
from hidream_studio.studio.dom import Tag, icon
from hidream_studio.studio.session import Session
from hidream_studio.studio.versions import Version, side_name

SHOWN_PICKS = 60
_HINTS = (("Space", "pick"), ("C", "compare"), ("F", "finish"), ("V", "new seeds"), ("X", "reject"), ("?", "all keys"))


class Tray:
    def __init__(self, session: Session, run: Run) -> None:
        self._session = session
        self._run = run
        self._shown: tuple[Any, ...] = ()
        self._root = Tag("footer", classes="tray", aria_label="Picked pictures")
        session.on_marks.add(self.draw)
        self.draw()

    def draw(self) -> None:
        picks = self._session.picked_versions()
        shown = (tuple(version.key for version in picks), self._session.finish_mode)
        if shown == self._shown and self._root.default_slot.children:
            return
        self._shown = shown
        self._root.clear()
        with self._root:
            if picks:
                self._draw_picks(picks)
            else:
                with Tag("div", classes="tray-hints"):
                    for key, meaning in _HINTS:
                        with Tag("span"):
                            Tag("kbd", key)
                            Tag("span", meaning)

    def _draw_picks(self, picks: list[Version]) -> None:
        session = self._session
        Tag("span", f"{len(picks)} picked", "tray-count", role="status")
        with Tag("div", classes="tray-picks"):
            for version in picks[:SHOWN_PICKS]:
                Tag(
                    "button",
                    on_click=self._select(version),
                    aria_label=f"Show seed {version.job.seed}",
                    title=f"seed {version.job.seed}",
                    style=f"background-image:url(/api/images/{version.key}/thumb)",
                )
        Tag("span", classes="bar-space")
        with Tag("button", on_click=self._run(session.compare), disabled=None if len(picks) > 1 else True):
            icon("compare")
            Tag("span", "Compare")
        self._finish_button(picks, "standard")
        self._finish_button(picks, "high")
        Tag("button", "Clear", "quiet", on_click=session.clear_picks)

    def _finish_button(self, picks: list[Version], preset_id: PresetId) -> None:
        session = self._session
        preset = session.profile.preset(preset_id)
        try:
            price = words.about(session.finish_price(picks, preset_id))
        except StudioError:
            price = ""
        one = len(picks) == 1
        target = f"with {preset.steps} steps" if session.finish_mode == "exact" else f"at {side_name(preset.width)}"
        with Tag("button", on_click=self._run(lambda: session.finish(session.picked_versions(), preset_id))):
            Tag("span", f"{'Finish' if one else 'Finish all'} {target}")
            Tag("span", price, "estimate")

    def _select(self, version: Version) -> Callable[[], Any]:
        session = self._session
        return lambda: session.choose_version(session.model.root_of(version.key), version.key)
