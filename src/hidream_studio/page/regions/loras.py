"""The LoRAs of the compose column: found by a word, chosen, and as strong as a slider or a list says. Reads no file."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from nicegui.events import GenericEventArguments

from hidream_studio.job.loras import MAX_LORAS, MAX_STRENGTH
from hidream_studio.page import words
from hidream_studio.page.components import Field
from hidream_studio.page.dom import Tag, icon_button, slider
from hidream_studio.page.state.compose import LoraLine
from hidream_studio.page.state.session import Session

SHOWN = 8  # of those that are found
SLIDER_STEP = 0.05


class LorasRegion:
    """Drawn inside the compose column. Without a file in the folder, and none chosen, it says where to put one."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._search = ""
        self._rows: dict[str, tuple[Tag, Field]] = {}  # by name: slider and list
        with Tag("details", classes="more loras", open=True if self._chosen else None) as self._root:
            self._summary = Tag("summary", "LoRAs")
            with Tag("div", classes="more-body"):
                self._list = Tag("div", classes="loras-chosen")
                self._field = Field(
                    "", label="Find a LoRA", placeholder="Find a LoRA", on_text=self._searched, on_refused=session.say
                )
                self._found = Tag("div", classes="loras-found", role="group", aria_label="LoRAs that are found")
                self._hint = Tag("p", "", "hint", role="status")
        self._root.on("toggle", lambda _: self._draw_found(), args=[])
        self._draw_list()
        self._draw_found()

    @property
    def _chosen(self) -> tuple[LoraLine, ...]:
        return self._session.column.state.loras

    def rewrite(self) -> None:
        """As the state has it."""
        if [line.name for line in self._chosen] != list(self._rows):
            self._draw_list()
            if self._chosen:
                self._root.set(open=True)
        for line in self._chosen:
            thumb, typed = self._rows[line.name]
            typed.set(line.strength)
            _put_thumb(thumb, line.strength)
        self._draw_found()

    # drawing

    def _draw_list(self) -> None:
        self._list.clear()
        self._rows = {}
        with self._list:
            for line in self._chosen:
                with Tag("div", classes="lora", style="margin-bottom:8px"):
                    with Tag("div", classes="label"):
                        Tag("span", line.name, title=line.name)
                        icon_button("close", f"Without {line.name}", self._remover(line.name), "tool")
                    with Tag("div", classes="row"):
                        thumb = slider(
                            -MAX_STRENGTH, MAX_STRENGTH, SLIDER_STEP, _number(line.strength),
                            aria_label=f"Strength of {line.name}",
                        )  # fmt: skip
                        thumb.on("change", self._slid(line.name), js_handler="(e) => emit(Number(e.target.value))")
                        typed = Field(
                            line.strength, label=f"Strengths of {line.name}; a list sweeps",
                            on_text=self._typed(line.name), on_refused=self._session.say,
                        )  # fmt: skip
                self._rows[line.name] = (thumb, typed)
        count = len(self._chosen)
        self._summary.set_text(f"LoRAs ({count})" if count else "LoRAs")

    def _draw_found(self) -> None:
        """What the folder has by now, as far as the search goes."""
        chosen = {line.name for line in self._chosen}
        entries = self._session.studio.loras.entries()
        found = [entry for entry in entries if self._search in f"{entry.name} {entry.title}".casefold()]
        usable = [entry for entry in found if entry.problem is None and entry.name not in chosen]
        self._found.clear()
        with self._found:
            for entry in usable[:SHOWN]:
                title = " · ".join(part for part in (entry.title, entry.base, ", ".join(entry.triggers)) if part)
                Tag(
                    "button", entry.name, "small", on_click=self._adder(entry.name), title=title,
                    disabled=True if len(chosen) >= MAX_LORAS else None,
                )  # fmt: skip
        triggers = [f"{entry.name}: {', '.join(entry.triggers)}" for entry in entries if entry.name in chosen]
        triggers = [line for line in triggers if not line.endswith(": ")]
        broken = [words.sentence(entry.problem) for entry in found if entry.problem is not None]
        hints = [f"Words that call them: {'; '.join(triggers)}."] if triggers else []
        if len(usable) > SHOWN:
            hints.append(f"{len(usable) - SHOWN} more; type a part of the name.")
        if not entries:
            hints.append(f"Put .safetensors files into {self._session.studio.loras.folder}.")
        elif self._search and not found:
            hints.append("None is called so.")
        self._hint.set_text(" ".join([*hints, *broken[:2]]))

    # handling

    def _searched(self, text: str) -> None:
        self._search = text.strip().casefold()
        self._draw_found()

    def _adder(self, name: str) -> Callable[[], None]:
        return self._session.run(lambda: self._put((*self._chosen, LoraLine(name=name))))

    def _remover(self, name: str) -> Callable[[], None]:
        return self._session.run(lambda: self._put(tuple(line for line in self._chosen if line.name != name)))

    def _put(self, loras: tuple[LoraLine, ...]) -> None:
        self._session.column.write(self._session.column.state.changed(loras=loras[:MAX_LORAS]))

    def _slid(self, name: str) -> Callable[[GenericEventArguments], Any]:
        def slide(strength: Any) -> None:
            typed = words.number(_number(str(strength)))
            self._rows[name][1].set(typed)
            self._type(name, typed)

        return lambda event: self._session.run(lambda: slide(event.args))()

    def _typed(self, name: str) -> Callable[[str], Any]:
        def type_in(text: str) -> None:
            self._type(name, text)
            _put_thumb(self._rows[name][0], text)

        return lambda text: self._session.run(lambda: type_in(text))()

    def _type(self, name: str, strength: str) -> None:
        changed = (
            line.model_copy(update={"strength": strength}) if line.name == name else line for line in self._chosen
        )
        self._session.column.type(loras=tuple(changed))


def _put_thumb(thumb: Tag, strength: str) -> Any:
    """Where one number is typed."""
    thumb.set(**{"^value": _number(strength)})


def _number(strength: str) -> float:
    try:
        value = float(strength)
    except ValueError:
        return 1.0
    return min(max(value, -MAX_STRENGTH), MAX_STRENGTH) if math.isfinite(value) else 1.0
