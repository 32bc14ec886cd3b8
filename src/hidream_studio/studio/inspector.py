"""The right column: one picture, everything known of it, and what can be made of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from nicegui import ui
from nicegui.events import GenericEventArguments

from hidream_studio.errors import StudioError
from hidream_studio.job.profiles import PresetId
from hidream_studio.job.request import FinishMode
from hidream_studio.studio import words
from hidream_studio.studio.bar import Run
from hidream_studio.studio.dom import Tag, button, icon, icon_button
from hidream_studio.studio.session import Session, explain
from hidream_studio.studio.versions import LIVE, Version, badge_of, progress_words, side_name, took

_MODES: tuple[tuple[FinishMode, str, str], ...] = (
    ("re-render", "Re-render", "Same prompt, seed and noise, drawn anew at the new size."),
    ("keep-composition", "Keep composition", "Starts from this very picture; details are drawn anew."),
    ("exact", "Exact", "Same size and seed, more steps."),
)


class Inspector:
    def __init__(self, session: Session, run: Run, base_url: str) -> None:
        self._session = session
        self._run = run
        self._base_url = base_url
        self._drawn: tuple[Any, ...] = ()
        self._preview: Tag | None = None
        self._state: Tag | None = None
        self._root = Tag("aside", classes="inspect", aria_label="Inspect")
        session.on_marks.add(self.draw)
        session.on_cell.add(lambda root: self.draw() if root == session.selected else None)
        session.on_sheet.add(self.draw)
        session.on_progress.add(self._draw_progress)
        self.draw()

    def close(self) -> None:
        self._root.set_class("open", False)

    def draw(self) -> None:
        session = self._session
        front = session.front()
        if front is not None and front.state in LIVE:
            front = replace(front, step=0, wait_s=None, position=None, preview=None)  # drawn by _draw_progress
        family = session.model.family(session.selected) if session.selected is not None else []
        drawn = (front, tuple((version.key, version.state) for version in family), session.finish_mode)
        if front is not None:
            self._root.set_class("open", True)
        if drawn == self._drawn and self._root.default_slot.children:
            return
        self._drawn = drawn
        self._root.clear()
        with self._root:
            if front is None:
                Tag("p", "Select a picture to see its settings, and to finish it.", "inspect-empty")
            else:
                self._draw_version(front, family)

    def _draw_version(self, version: Version, family: list[Version]) -> None:
        self._draw_picture(version)
        with Tag("div", classes="inspect-body"):
            Tag("p", version.job.prompt, "inspect-prompt", tabindex=0, aria_label="Prompt")
            if len(family) > 1:
                self._draw_lineage(version, family)
            self._draw_notes(version)
            if version.has_image and not version.rejected:
                self._draw_finish(version)
            self._draw_facts(version)
            self._draw_actions(version)

    def _draw_picture(self, version: Version) -> None:
        session = self._session
        root = session.model.root_of(version.key)
        ratio = version.job.width / version.job.height
        with Tag("div", classes="inspect-picture", style=f"aspect-ratio:{max(ratio, 0.7):.4f}"):
            if version.has_image:
                label = f"Open seed {version.job.seed} large"
                picture = Tag(
                    "img",
                    src=f"/api/images/{version.key}/file",
                    alt=label,
                    decoding="async",
                    title="Open large (Enter)",
                )
                picture.on("click", lambda _: session.on_view([version]), args=[])
            else:
                self._preview = Tag("img", alt="", hidden=True)
                self._state = Tag("p", _state_words(version), "inspect-state")
                if (now := session.model.version(version.key)) is not None:
                    self._draw_progress(now)
            with Tag("div", classes="tools"):
                if version.has_image:
                    icon_button("expand", "Open large (Enter)", lambda: session.on_view([version]))
                    star = "star-full" if version.favourite else "star"
                    icon_button(
                        star,
                        "Favourite (.)",
                        self._run(lambda: session.favourite(root)),
                        "tool on-star" if version.favourite else "tool",
                        aria_pressed="true" if version.favourite else "false",
                    )
                icon_button("close", "Close", self.close, "tool inspect-close")

    def _draw_progress(self, version: Version) -> None:
        """The picture while it is being drawn: only its address and its words change."""
        if self._preview is None or self._state is None or not self._drawn or self._drawn[0] is None:
            return
        if self._drawn[0].key != version.key or self._preview.is_deleted or version.state not in LIVE:
            return
        values = progress_words(version)
        if values.get("preview"):
            self._preview.set(src=values["preview"], hidden=None)
        self._state.set_text(values["progress"] or _state_words(version))

    def _draw_lineage(self, shown: Version, family: list[Version]) -> None:
        session = self._session
        with Tag("div", classes="lineage", role="group", aria_label="Versions, from draft to final"):
            for index, version in enumerate(family):
                if index:
                    icon("arrow")
                badge = badge_of(version.job, session.profile)
                made = Tag(
                    "button", on_click=self._choose(version), aria_pressed="true" if version is shown else "false"
                )
                with made:
                    source = f"background-image:url(/api/images/{version.key}/thumb)" if version.has_image else None
                    with Tag("span", classes="lineage-thumb", style=source):
                        if not version.has_image:
                            Tag(
                                "span",
                                {"queued": "…", "running": "…", "failed": "!", "cancelled": "–"}.get(version.state, ""),
                            )
                    Tag("span", badge)
            if sum(version.has_image for version in family) > 1:
                button("Compare", self._run(lambda: self._compare(family)), "small quiet", icon_name="compare")

    def _compare(self, family: list[Version]) -> None:
        self._session.on_view([version for version in family if version.has_image][-4:])

    def _choose(self, version: Version) -> Callable[[], None]:
        session = self._session
        return lambda: session.choose_version(session.model.root_of(version.key), version.key)

    def _draw_notes(self, version: Version) -> None:
        notes = [_note(version, note.field, note.why) for note in version.adjustments]
        if version.error is not None:
            notes.insert(0, version.error.message)
        if notes:
            with Tag("div", classes="notes"):
                for note in dict.fromkeys(notes):
                    Tag("p", note, "note")

    def _draw_finish(self, version: Version) -> None:
        session = self._session
        with Tag("section", classes="finish", aria_label="Finish"):
            with Tag("div", classes="finish-buttons"):
                self._finish_button(version, "standard", "F")
                self._finish_button(version, "high", "Shift+F")
            select = Tag("select", aria_label="How to finish", value=session.finish_mode)
            with select:
                for mode, name, _ in _MODES:
                    Tag("option", name, value=mode)
            select.on("change", self._mode_changed, js_handler="(e) => emit(e.target.value)")
            Tag("p", next(text for mode, _, text in _MODES if mode == session.finish_mode), "hint")

    def _finish_button(self, version: Version, preset_id: PresetId, key: str) -> None:
        session = self._session
        preset = session.profile.preset(preset_id)
        try:
            price = words.about(session.finish_price([version], preset_id))
        except StudioError as error:
            Tag("p", explain(error), "hint")
            return
        name = (
            f"Finish · {preset.steps} steps" if session.finish_mode == "exact" else f"Finish {side_name(preset.width)}"
        )
        classes = "primary" if preset_id == "high" else ""
        with Tag("button", None, classes, on_click=self._run(lambda: session.finish([version], preset_id)), title=key):
            Tag("span", name)
            Tag("span", price, "estimate")

    def _mode_changed(self, event: GenericEventArguments) -> None:
        session = self._session
        if event.args in ("re-render", "keep-composition", "exact"):
            session.finish_mode = event.args
            session.save_view(finish_mode=event.args)
            session.on_marks()

    def _draw_facts(self, version: Version) -> None:
        job = version.job
        rendered = words.size(job.width, job.height)
        asked = words.size(job.requested_width, job.requested_height)
        facts = [
            ("Seed", str(job.seed)),
            ("Size", rendered if asked == rendered else f"{asked} asked → {rendered}"),
            ("Steps", str(job.steps)),
            ("Guidance", words.number(job.guidance_scale)),
            ("Sampler", f"{job.sampler}, shift {words.number(job.shift)}"),
            ("Estimate → took", took(version)),
            ("Made by", _made_by(version)),
            ("Negative", job.negative_prompt or ""),
        ]
        with Tag("dl", classes="facts"):
            for name, value in facts:
                if value:
                    Tag("dt", name)
                    Tag("dd", value)

    def _draw_actions(self, version: Version) -> None:
        session = self._session
        root = session.model.root_of(version.key)
        with Tag("div", classes="actions"):
            button("Recall settings", self._run(lambda: session.recall(root)), icon_name="recall", title="R")
            button("Use seed", self._run(lambda: session.recall_seed(root)), icon_name="seed", title="S")
            if version.has_image:
                name = f"hidream-seed-{version.job.seed}-{version.job.width}x{version.job.height}.png"
                button("Save PNG", lambda: ui.download(f"/api/images/{version.key}/file", name), icon_name="download")
                button("Copy as curl", lambda: self._copy_curl(version), icon_name="code")
                text = "Undo reject" if version.rejected else "Reject"
                button(text, self._run(lambda: session.reject(root)), "quiet", icon_name="close", title="X")
            elif version.state in ("queued", "running"):
                button("Cancel", self._run(lambda: session.cancel(root)), icon_name="close", title="Shift+X")

    def _copy_curl(self, version: Version) -> None:
        from hidream_studio.studio.overlays import copy_text

        copy_text(self._session.curl(version, self._base_url), self._session, "The curl line is in the clipboard.")


def _state_words(version: Version) -> str:
    if version.state == "queued":
        return f"Waiting {words.about(version.wait_s)}".strip()
    if version.state == "running":
        return "Being drawn …"
    return "Cancelled." if version.state == "cancelled" else "This picture could not be drawn."


def _note(version: Version, field: str, why: str) -> str:
    return f"{field[:1].upper()}{field[1:]}: {why}."


def _made_by(version: Version) -> str:
    job = version.job
    if job.finish_mode is None:
        return version.model or ""
    strength = "" if job.strength is None else f", strength {words.number(job.strength)}"
    return f"{job.finish_mode}{strength}"
