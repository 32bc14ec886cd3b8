"""The right column: one picture, everything known of it, and what can be made of it.

Its controls are built once and act on what is selected when they are pressed, so that no click falls on a button that
is just being replaced, and the keyboard's focus stays where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nicegui import ui
from nicegui.events import GenericEventArguments

from hidream_studio.errors import StudioError
from hidream_studio.job.job import Job
from hidream_studio.job.profiles import PresetId
from hidream_studio.job.request import FinishMode
from hidream_studio.page import words
from hidream_studio.page.addresses import picture_file, thumbnail
from hidream_studio.page.dom import Tag, button, icon, icon_button, slider
from hidream_studio.page.regions.made_from import MadeFrom
from hidream_studio.page.regions.overlays import copy_text
from hidream_studio.page.state.guard import explain
from hidream_studio.page.state.restore import curl_line
from hidream_studio.page.state.session import Session
from hidream_studio.page.state.versions import LIVE, Version, badge_of, progress_words, side_name, took

_MODES: tuple[tuple[FinishMode, str, str], ...] = (
    ("re-render", "Re-render", "Keeps prompt, seed and noise. Drawn anew at the new size, so it may differ."),
    ("keep-composition", "Keep composition", "Starts from this very picture; details are drawn anew."),
    ("exact", "Exact", "Keeps size, seed, noise and guidance. Only the steps change."),
)
_SIDES = ("width", "height")
_STRENGTHS = (0.1, 0.95)  # below, the draft is only enlarged; above, nothing of it is kept
_FINISHES: tuple[tuple[PresetId, str], ...] = (("standard", "F"), ("high", "Shift+F"))


class Inspector:
    def __init__(self, session: Session, base_url: str, *, on_open: Callable[[bool], None]) -> None:
        """`on_open` is told whether it is open, which on a small screen means that it lies over the sheet."""
        self._session = session
        self._run = session.run
        self._on_open = on_open
        self._is_open = False
        self._base_url = base_url
        self._lineage_drawn: tuple[Any, ...] = ()
        self._facts_drawn: tuple[Any, ...] = ()
        self._closed_for: str | None = None  # the picture that it was put away over
        self._root = Tag("aside", classes="inspect", aria_label="Inspect")
        with self._root:
            self._empty = Tag("p", "Select a picture to see its settings, and to finish it.", "inspect-empty")
            self._picture_box = Tag("div", classes="inspect-picture", hidden=True)
            with self._picture_box:
                self._build_picture()
            self._body = Tag("div", classes="inspect-body", hidden=True)
            with self._body:
                self._prompt = Tag("p", "", "inspect-prompt", tabindex=0, aria_label="Prompt", dir="auto")
                self._made_from = MadeFrom(session)
                self._lineage = Tag("div", classes="lineage", role="group", aria_label="Versions, from draft to final")
                self._notes = Tag("div", classes="notes")
                self._build_finish()
                self._facts = Tag("dl", classes="facts")
                self._build_actions()
        session.on.marks.add(self.draw)
        session.on.cell.add(lambda root: self.draw() if root == session.choice.selected else None)
        session.on.sheet.add(self.draw)
        session.on.progress.add(self._draw_progress)
        session.on.prices.add(self._draw_prices)
        self.draw()

    def close(self) -> None:
        """Where it lies over the sheet, it stays away until another picture is chosen."""
        self._closed_for = self._session.choice.selected
        self._open(False)

    def put_away(self) -> None:
        """By its own button, or by Back: a tap on the same picture brings it back."""
        self.close()
        self._session.choice.select(None)

    def _open(self, is_open: bool) -> None:
        if is_open != self._is_open:
            self._is_open = is_open
            self._root.set_class("open", is_open)
            self._on_open(is_open)

    # building, once

    def _build_picture(self) -> None:
        self._picture = Tag("img", alt="", hidden=True, decoding="async")
        self._picture.on("click", lambda _: self._view(), args=[])
        self._state = Tag("p", "", "inspect-state", hidden=True)
        with Tag("div", classes="tools"):
            self._large = icon_button("expand", "Open large (Enter)", self._view)
            self._star = icon_button("star", "Favourite (.)", self._on_root(self._session.verbs.favourite))
            icon_button("close", "Close", self.put_away, "tool inspect-close")

    def _build_finish(self) -> None:
        session = self._session
        self._finish = Tag("section", classes="finish", aria_label="Finish")
        self._finish_words: dict[PresetId, tuple[Tag, Tag, Tag]] = {}
        with self._finish:
            with Tag("div", classes="finish-buttons"):
                for preset_id, key in _FINISHES:
                    classes = "primary" if preset_id == "high" else ""
                    made = Tag("button", None, classes, on_click=self._finisher(preset_id), title=key)
                    with made:
                        self._finish_words[preset_id] = (made, Tag("span", ""), Tag("span", "", "estimate"))
            self._mode = Tag("select", aria_label="How to finish", value=session.finishing.mode)
            with self._mode:
                for mode, name, _ in _MODES:
                    Tag("option", name, value=mode)
            self._mode.on("change", self._mode_changed, js_handler="(e) => emit(e.target.value)")
            with Tag("label", classes="strength") as self._strength_row:
                Tag("span", "Strength")
                chosen = session.finishing.strength
                strength = slider(*_STRENGTHS, 0.05, chosen, aria_label="Strength: how much is drawn anew")
                self._strength_words = Tag("output", f"{chosen:.2f}")
            strength.on(
                "input", js_handler="(e) => { e.target.nextElementSibling.value = (+e.target.value).toFixed(2) }"
            )
            strength.on("change", self._strength_changed, js_handler="(e) => emit(Number(e.target.value))")
            self._mode_words = Tag("p", "", "hint")

    def _build_actions(self) -> None:
        session = self._session
        with Tag("div", classes="actions"):
            button("Recall settings", self._on_root(session.verbs.recall), icon_name="recall", title="R")
            button("Use seed", self._on_root(session.verbs.recall_seed), icon_name="seed", title="S")
            self._of_pictures = [
                button("Save PNG", self._download, icon_name="download"),
                button("Copy as curl", self._copy_curl, icon_name="code"),
            ]
            use = self._on_root(session.verbs.use_as_picture)
            self._use = button("Use as picture", use, icon_name="picture", title="P")
            self._reject = Tag("button", None, "quiet", on_click=self._on_root(session.verbs.reject), title="X")
            with self._reject:
                icon("close")
                self._reject_word = Tag("span", "Reject")
            self._delete = button("Delete for good", self._on_root(session.verbs.delete), "quiet", icon_name="trash")
            self._cancel = button("Cancel", self._on_root(session.verbs.cancel), icon_name="close", title="Shift+X")

    # acting on what is selected now

    def _on_root(self, act: Callable[[str], Any]) -> Callable[[], Any]:
        def on_selected() -> Any:
            root = self._session.choice.selected
            return act(root) if root is not None else None

        return self._run(on_selected)

    def _finisher(self, preset_id: PresetId) -> Callable[[], Any]:
        return self._run(lambda: self._session.verbs.finish_selected(preset_id))

    def _picture_version(self) -> Version | None:
        front = self._session.choice.front()
        return front if front is not None and front.has_image else None

    def _view(self) -> None:
        if (version := self._picture_version()) is not None:
            self._session.on.view([version])

    def _download(self) -> None:
        if (version := self._picture_version()) is not None:
            job = version.job
            name = f"hidream-seed-{job.seed}-{job.width}x{job.height}.png"
            ui.download(f"/api/images/{version.key}/file", name)

    def _copy_curl(self) -> None:
        if (version := self._session.choice.front()) is not None and version.unreadable is None:
            with_token = self._session.studio.settings.token is not None
            line = curl_line(version.job, self._base_url, with_token=with_token)
            copy_text(line, self._session, "The curl line is in the clipboard.")

    def _mode_changed(self, event: GenericEventArguments) -> None:
        self._session.finishing.choose(mode=event.args)
        self._session.on.marks()

    def _strength_changed(self, event: GenericEventArguments) -> None:
        low, high = _STRENGTHS
        if isinstance(event.args, int | float) and low <= event.args <= high:
            self._session.finishing.choose(strength=event.args)
            self._session.on.marks()

    # drawing

    def draw(self) -> None:
        session = self._session
        front = session.choice.front()
        self._empty.show(front is None)
        self._picture_box.show(front is not None)
        self._body.show(front is not None)
        if front is None:
            self._closed_for = None
            self._open(False)
            return
        if session.choice.selected != self._closed_for:
            self._closed_for = None
            self._open(True)
        self._draw_picture(front)
        self._prompt.set_text(front.job.prompt)
        self._made_from.draw(front)
        self._draw_lineage(front, session.model.family(session.choice.selected or front.key))
        self._draw_finish(front)
        self._draw_facts(front)
        for tag in self._of_pictures:
            tag.show(front.has_image)
        self._use.show(front.has_image and session.uploads.taken)
        self._reject.show(front.has_image)
        self._reject_word.set_text("Take back" if front.rejected else "Reject")
        self._delete.show(front.rejected)  # rejecting comes first, so that no picture is lost by one click
        self._cancel.show(front.state in LIVE)

    def _draw_picture(self, version: Version) -> None:
        ratio = max(version.job.width / version.job.height, 0.7)
        self._picture_box.set(style=f"aspect-ratio:{ratio:.4f}")
        self._large.show(version.has_image)
        self._star.show(version.has_image)
        star = self._star.default_slot.children[0]
        assert isinstance(star, Tag)
        star.set_class("icon-star", not version.favourite)
        star.set_class("icon-star-full", version.favourite)
        self._star.set(aria_pressed="true" if version.favourite else "false")
        self._star.set_class("on-star", version.favourite)
        if version.has_image:
            label = f"Seed {version.job.seed}, {words.size(version.job.width, version.job.height)}"
            source = picture_file(version.key)
            self._picture.set(src=source, hidden=None, alt=label, title="Open large (Enter)")
            self._state.show(False)
        else:
            self._draw_progress(version)

    def _draw_progress(self, version: Version) -> None:
        """The picture while it is being drawn."""
        front = self._session.choice.front()
        if front is None or front.key != version.key or version.has_image:
            return
        values = progress_words(version)
        preview = values.get("preview")
        self._picture.set(src=preview, hidden=None if preview else True, alt="", title=None)
        self._state.set_text(values["progress"] or _state_words(version))
        self._state.show(True)

    def _draw_lineage(self, shown: Version, family: list[Version]) -> None:
        drawn = (shown.key, tuple((version.key, version.state) for version in family))
        if drawn == self._lineage_drawn:
            return
        self._lineage_drawn = drawn
        self._lineage.clear()
        self._lineage.show(len(family) > 1)
        if len(family) < 2:
            return
        with self._lineage:
            for index, version in enumerate(family):
                if index:
                    icon("arrow")
                self._lineage_button(version, shown=version is shown)
            if sum(version.has_image for version in family) > 1:
                button("Compare", self._run(self._compare_family), "small quiet", icon_name="compare")

    def _lineage_button(self, version: Version, *, shown: bool) -> None:
        session = self._session
        root = session.model.root_of(version.key)
        pressed = "true" if shown else "false"
        with Tag("button", on_click=lambda: session.choice.show_version(root, version.key), aria_pressed=pressed):
            source = f"background-image:url({thumbnail(version.key)})" if version.has_image else None
            with Tag("span", classes="lineage-thumb", style=source):
                if not version.has_image:
                    Tag("span", {"failed": "!", "cancelled": "–"}.get(version.state, "…"))
            Tag("span", badge_of(version.job, session.profile))

    def _compare_family(self) -> None:
        session = self._session
        if session.choice.selected is not None:
            family = session.model.family(session.choice.selected)
            session.on.view([version for version in family if version.has_image][-4:])

    def _draw_finish(self, version: Version) -> None:
        session = self._session
        self._finish.show(version.has_image and not version.rejected)
        if not version.has_image:
            return
        self._mode.set(value=session.finishing.mode)
        self._strength_row.show(session.finishing.mode == "keep-composition")
        self._strength_words.set_text(f"{session.finishing.strength:.2f}")
        self._mode_words.set_text(mode_words(session.finishing.mode, version.job))
        self._mode_words.set_class("bad", False)
        for preset_id, (made, name, price) in self._finish_words.items():
            preset = session.profile.preset(preset_id)
            exact = session.finishing.mode == "exact"
            name.set_text(f"Finish · {preset.steps} steps" if exact else f"Finish {side_name(preset.width)}")
            try:
                price.set_text(words.about(session.finishing.price([version], preset_id)))
                made.set(disabled=None)
            except StudioError as error:
                price.set_text("")
                made.set(disabled=True)
                self._mode_words.set_text(explain(error))
                self._mode_words.set_class("bad", True)

    def _draw_prices(self) -> None:
        if (front := self._session.choice.front()) is not None:
            self._draw_finish(front)

    def _draw_facts(self, version: Version) -> None:
        drawn = (version.key, version.state, version.model)
        if drawn == self._facts_drawn:
            return
        self._facts_drawn = drawn
        self._facts.clear()
        with self._facts:
            for name, value in _facts(version):
                if value:
                    Tag("dt", name)
                    Tag("dd", value, dir="auto")
        notes = notes_of(version)
        self._notes.clear()
        self._notes.show(bool(notes))
        with self._notes:
            for note in notes:
                Tag("p", note, "note")


def mode_words(mode: FinishMode, draft: Job) -> str:
    """What finishing `draft` so keeps; no more is promised than is kept."""
    if mode == "re-render" and draft.noise != "linked":
        return "Keeps prompt and seed, but this draft's noise does not carry over to another size: it will differ."
    return next(text for name, _, text in _MODES if name == mode)


def notes_of(version: Version) -> list[str]:
    """Why it failed, and what was changed of what was asked; one sentence for fields that share a reason."""
    notes = [words.sentence(version.error.message)] if version.error is not None else []
    if version.unreadable is not None:
        notes.append(words.sentence(f"what this version understands of it is shown: {version.unreadable}"))
    snaps = version.job.snap_resolution and not version.job.keep_aspect
    snapped = snaps and any(note.field in _SIDES for note in version.adjustments)
    if snapped:
        notes.append(_snap_note(version.job))
    fields: dict[str, list[str]] = {}
    for note in version.adjustments:
        name = words.field(note.field)
        named = fields.setdefault(note.why, [])
        if name not in named and not (snapped and note.field in _SIDES):
            named.append(name)
    return notes + [
        words.sentence(f"{' and '.join(names)}: {words.on_page(why)}") for why, names in fields.items() if names
    ]


def _snap_note(job: Job) -> str:
    drawn, asked = words.size(job.width, job.height), words.size(job.requested_width, job.requested_height)
    return (
        f"Drawn at {drawn}: of the model's own sizes, the nearest in shape to the {asked} that you asked for. "
        f"Switch off “{words.SNAP}” to get the size itself."
    )


def _facts(version: Version) -> list[tuple[str, str]]:
    job = version.job
    rendered = words.size(job.width, job.height)
    asked = words.size(job.requested_width, job.requested_height)
    return [
        ("Seed", str(job.seed)),
        ("Size", rendered if asked == rendered else f"{asked} asked → {rendered}"),
        ("Steps", str(job.steps)),
        ("Guidance", words.number(job.guidance_scale)),
        ("Sampler", f"{job.sampler}, shift {words.number(job.shift)}"),
        ("Estimate → took", took(version)),
        ("Made by", _made_by(version)),
        ("Negative", job.negative_prompt or ""),
    ]


def _state_words(version: Version) -> str:
    if version.state == "queued":
        return f"Waiting {words.about(version.wait_s)}".strip()
    if version.state == "running":
        return "Being drawn …"
    return "Cancelled" if version.state == "cancelled" else "Could not be drawn"


def _made_by(version: Version) -> str:
    job = version.job
    if job.finish_mode is None:
        return version.model or ""
    strength = "" if job.strength is None else f", strength {words.number(job.strength)}"
    return f"{job.finish_mode}{strength}"
