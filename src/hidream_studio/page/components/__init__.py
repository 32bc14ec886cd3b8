"""The page's own Vue components as NiceGUI elements. Each draws and tells; none decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nicegui.element import Element
from nicegui.events import GenericEventArguments

PARTS = Path(__file__).parent / "parts"


class Sheet(Element, component="sheet.js", esm={"studio-parts": str(PARTS)}):
    """Groups of cells. Its props are its first state only; what changes later is sent by methods, cell by cell."""

    def __init__(
        self,
        groups: list[dict[str, Any]],
        *,
        more: bool,
        selected: str | None,
        picked: Sequence[str],
        usable: bool,
        on_act: Callable[[dict[str, Any]], Any],
    ) -> None:
        super().__init__()
        self._props["groups"] = groups
        self._props["more"] = more
        self._props["usable"] = usable  # as pictures for the model
        self._props["marks"] = {"selected": selected, "picked": list(picked)}
        self.on("act", _with_args(on_act))

    def reset(self, groups: list[dict[str, Any]], *, more: bool) -> None:
        self.run_method("reset", groups, more)

    def patch(self, cells: list[dict[str, Any]]) -> None:
        if cells:
            self.run_method("patch", cells)

    def progress(self, changes: list[dict[str, Any]]) -> None:
        """Values of the cells' fronts, by `key`: cheap enough for many a second."""
        self.run_method("progress", changes)

    def put_group(self, group: dict[str, Any], position: int) -> None:
        self.run_method("putGroup", group, position)

    def drop_group(self, group_id: str) -> None:
        self.run_method("dropGroup", group_id)

    def set_more(self, more: bool) -> None:
        self.run_method("setMore", more)

    def mark_cells(self, picked: Sequence[str]) -> None:
        self.run_method("mark", list(picked))

    def choose(self, key: str | None) -> None:
        """Select from here; what is selected on the page is told by the page."""
        self.run_method("choose", key)

    def bring_into_sight(self, key: str) -> None:
        self.run_method("bringIntoSight", key)


class Field(Element, component="field.js"):
    """A text field; `rows` makes it an area that grows with its text. What is too long for it is refused whole."""

    def __init__(
        self,
        value: str,
        *,
        label: str,
        on_text: Callable[[str], Any],
        on_refused: Callable[[str], Any],
        rows: int | None = None,
        placeholder: str = "",
        inputmode: str = "text",
        describedby: str | None = None,
    ) -> None:
        super().__init__()
        self.value = value
        self._on_text = on_text
        self._props |= {"value": value, "label": label, "placeholder": placeholder, "inputmode": inputmode}
        if rows is not None:
            self._props["rows"] = rows
        if describedby is not None:
            self._props["describedby"] = describedby
        self.on("text", self._typed)
        self.on("refused", _with_args(lambda text: on_refused(str(text))))

    def _typed(self, event: GenericEventArguments) -> Any:
        self.value = str(event.args)
        return self._on_text(self.value)

    def set(self, value: str) -> None:
        """Write `value` into the field, whatever stands there."""
        if value == self.value:
            return
        self.value = value
        self.run_method("set", value)

    def mark_invalid(self, invalid: bool) -> None:
        if self._props.get("invalid", False) != invalid:
            self._props["invalid"] = invalid
            self.update()

    def focus(self) -> None:
        self.run_method("focusField")


class Hotkeys(Element, component="hotkeys.js"):
    def __init__(self, on_key: Callable[[str], Any]) -> None:
        super().__init__()
        self.on("key", _with_args(on_key))


class DropZone(Element, component="drop.js"):
    """The whole page takes files, dropped or pasted. What arrives here is the first without its pixels, unless it goes
    into the strip of pictures at once: as all do that are dropped on it, and several at a time."""

    def __init__(
        self, on_file: Callable[[dict[str, Any]], Any], on_refused: Callable[[str], Any], *, takes_pictures: bool
    ) -> None:
        super().__init__()
        self._props["takesPictures"] = takes_pictures
        self.on("file", _with_args(on_file))
        self.on("refused", _with_args(on_refused))

    def choose(self) -> None:
        self.run_method("choose")

    def use_as_picture(self) -> None:
        """The file that arrived last goes into the strip, pixels and all."""
        self.run_method("useAsPicture")


class PictureStrip(Element, component="pictures.js"):
    """The pictures that go into the model; it sends files to the server itself, and tells what became of each."""

    def __init__(
        self,
        pictures: list[dict[str, Any]],
        *,
        most: int,
        most_bytes: int,
        to: str,
        on_uploaded: Callable[[dict[str, Any]], Any],
        on_refused: Callable[[str], Any],
        on_order: Callable[[list[int]], Any],
        on_remove: Callable[[int], Any],
        on_open: Callable[[int], Any],
        on_rename: Callable[[dict[str, Any]], Any],
    ) -> None:
        super().__init__()
        self._props |= {"pictures": pictures, "most": most, "mostBytes": most_bytes, "to": to}
        for name, handler in (
            ("uploaded", on_uploaded), ("refused", on_refused), ("order", on_order), ("remove", on_remove),
            ("open", on_open), ("rename", on_rename),
        ):  # fmt: skip
            self.on(name, _with_args(handler))

    def set(self, pictures: list[dict[str, Any]]) -> None:
        if pictures != self._props["pictures"]:
            self._props["pictures"] = pictures
            self.update()


class Boxes(Element, component="boxes.js"):
    """A canvas of the output's shape (width / height) with a box for each picture, or none."""

    def __init__(
        self,
        pictures: list[dict[str, Any]],
        boxes: Sequence[Sequence[float] | None],
        *,
        ratio: float,
        on_boxes: Callable[[list[list[float] | None]], Any],
    ) -> None:
        super().__init__()
        self._props |= {"pictures": pictures, "start": list(boxes), "ratio": ratio}
        self.on("boxes", _with_args(on_boxes))


class Back(Element, component="back.js"):
    """The browser's Back, for what lies over the page: the name of what it took away is told."""

    def __init__(self, on_back: Callable[[str], Any]) -> None:
        super().__init__()
        self.on("back", _with_args(lambda name: on_back(str(name))))

    def over(self, name: str, lies: bool, *, where: str | None = None) -> None:
        """Say whether this lies over the page now. `where` selects what does so only where the style sheet says it."""
        self.run_method("over", name, lies, where)


class Viewer(Element, component="viewer.js"):
    """One to four pictures over the whole page."""

    def __init__(
        self,
        pictures: list[dict[str, Any]],
        *,
        differences: str,
        mode: str,
        full: bool = False,
        on_close: Callable[[], Any],
        on_mode: Callable[[str], Any],
    ) -> None:
        super().__init__()
        self._props |= {"pictures": pictures, "differences": differences, "start": mode, "full": full}
        self.on("close", lambda _: on_close())
        self.on("mode", _with_args(on_mode))


def _with_args(handler: Callable[[Any], Any]) -> Callable[[GenericEventArguments], Any]:
    def handle(event: GenericEventArguments) -> Any:
        return handler(event.args)

    return handle
