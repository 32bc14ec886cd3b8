"""The strip of pictures in the compose column, its boxes, and what the model sees of them. Counts nothing itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hidream_studio.image.references import MOST_BOXES
from hidream_studio.job.job import Job, pin
from hidream_studio.job.references import MAX_REFERENCES
from hidream_studio.job.request import MAX_PICTURE_BYTES, Box4
from hidream_studio.page import words
from hidream_studio.page.addresses import upload_file, upload_thumbnail, uploads
from hidream_studio.page.components import Boxes, PictureStrip
from hidream_studio.page.dom import Tag
from hidream_studio.page.state.pictures import (
    Picture,
    Pictures,
    boxed,
    in_order,
    references_of,
    renamed,
    together,
    without,
)
from hidream_studio.page.state.session import Session
from hidream_studio.service.views import Estimate

SHOWN_BY_BROWSERS = ("image/png", "image/jpeg", "image/webp", "image/gif", "image/bmp")
OF_PICTURES = ("references", "layout", "keep_aspect")  # fields of a request whose errors stand here


class PicturesRegion:
    """Drawn inside the compose column. Where the model reads no pictures, it shows only those that are there."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._root = Tag("div", classes="pictures")
        with self._root:
            self._strip = PictureStrip(
                [], most=MAX_REFERENCES, most_bytes=MAX_PICTURE_BYTES, to=uploads(),
                on_uploaded=lambda sent: session.run(
                    lambda: session.uploads.add(str(sent.get("id", "")), str(sent.get("name", "")))
                )(),
                on_refused=lambda text: session.say(str(text)),
                on_order=lambda order: self._put(in_order(self._pictures, [int(one) for one in order])),
                on_remove=self._remove, on_open=self._open, on_rename=self._rename,
            )  # fmt: skip
            with Tag("div", classes="pictures-tools") as self._tools:
                self._boxes = Tag("button", "Boxes", "small", on_click=session.run(self._open_boxes))
                Tag("button", "What the model sees", "small quiet", on_click=session.run(self._open_seen))
                Tag("button", "Clear", "small quiet pictures-clear", on_click=self._clear)
            self._keep = Tag(
                "button", words.KEEP, "switch", role="switch", aria_checked="true", on_click=self._toggle_keep
            )
            self._notes = Tag("p", "", "hint", role="status")
        session.on.worker.add(self.draw)  # a checkpoint that was fetched meanwhile says what it takes
        self.draw()

    @property
    def _pictures(self) -> Pictures:
        return self._session.column.state.pictures

    def draw(self) -> None:
        """Everything as the column has it."""
        state = self._session.column.state
        self._root.show(bool(state.pictures) or self._session.uploads.taken)
        self._strip.set([_tile(picture) for picture in state.pictures])
        self._tools.show(bool(state.pictures))
        boxes = sum(picture.box is not None for picture in state.pictures)
        self._boxes.set_text(f"Boxes · {boxes}" if boxes else "Boxes")
        self._keep.show(len(state.pictures) == 1 and not boxes)
        self._keep.set(aria_checked="true" if state.keep_aspect else "false")

    def draw_notes(self, estimates: Sequence[Estimate]) -> None:
        """What was filled in or is worth a warning because of the pictures; sizes are told beside the size."""
        sizes = ("size", "width", "height")
        found = [note for one in estimates for note in one.adjustments if note.field not in sizes]
        said = dict.fromkeys(f"{words.field(note.field)}: {words.on_page(note.why)}" for note in found)
        self._notes.set_text(" ".join(words.sentence(one) for one in said) if self._pictures else "")
        self._notes.set_class("bad", False)

    def draw_error(self, text: str) -> None:
        self._notes.set_text(text)
        self._notes.set_class("bad", True)

    # handling

    def _put(self, pictures: Pictures) -> None:
        column = self._session.column
        column.write(column.state.changed(pictures=pictures))

    def _remove(self, index: int) -> None:
        before = self._pictures
        if not 0 <= index < len(before):
            return
        self._put(without(before, index))
        name = words.excerpt(before[index].name, 40) or f"Picture {index + 1}"
        self._say_taken_out(f"{name} is", before)

    def _clear(self) -> None:
        before = self._pictures
        self._put(())
        self._say_taken_out(f"{words.count(len(before), 'picture')} {'is' if len(before) == 1 else 'are'}", before)

    def _say_taken_out(self, what: str, before: Pictures) -> None:
        undo = self._session.run(lambda: self._put(together(before, self._pictures)))
        self._session.say(f"{what} taken out.", "Undo", undo)

    def _rename(self, named: dict[str, Any]) -> None:
        index = int(named.get("index", -1))
        if 0 <= index < len(self._pictures):
            self._put(renamed(self._pictures, index, str(named.get("role", ""))))

    def _open(self, index: int) -> None:
        if 0 <= index < len(self._pictures) and not (picture := self._pictures[index]).missing:
            self._session.on.look([large(picture, self._session)], f"Picture {index + 1}")

    def _toggle_keep(self) -> None:
        column = self._session.column
        column.write(column.state.changed(keep_aspect=not column.state.keep_aspect))

    # dialogs

    def _first(self, *, keep_aspect: bool | None = None) -> Job:
        """The first picture that the column asks for. Raises RequestError."""
        wanted = self._session.column.plan(for_price=True, keep_aspect=keep_aspect)
        return pin(wanted.single(), self._session.profile, references=references_of(self._pictures)).job

    def _open_boxes(self) -> None:
        output = self._first(keep_aspect=False)

        def draw() -> None:
            Tag(
                "p",
                "Where each picture shall stand. Drag to draw a box or to move it; its corners resize it.",
                "hint",
            )
            Boxes(
                [_tile(picture) for picture in self._pictures],
                [picture.box for picture in self._pictures],
                ratio=output.width / output.height,
                on_boxes=lambda boxes: self._session.run(lambda: self._boxed(boxes))(),
            )
            if len(self._pictures) > MOST_BOXES:
                Tag("p", f"Of more than {MOST_BOXES} boxes the model sees the {MOST_BOXES} largest.", "hint")

        self._session.on.dialog("Boxes", draw)

    def _boxed(self, boxes: list[list[float] | None]) -> None:
        if len(boxes) == len(self._pictures):
            self._put(boxed(self._pictures, [None if box is None else _box(box) for box in boxes]))

    def _open_seen(self) -> None:
        output, pictures = self._first(), self._pictures
        prepared = output.preparations(self._session.profile)

        def draw() -> None:
            Tag(
                "p",
                f"For a picture of {words.size(output.width, output.height)} each one is scaled, and cropped where its "
                "shape asks for it. It enters twice: large, as patches, and small, through the vision tower.",
                "hint",
            )
            with Tag("table", classes="seen"):
                with Tag("tr"):
                    for name in ("", "Picture", "Large", "Small"):
                        Tag("th", name)
                for index, preparation in enumerate(prepared):
                    of = pictures[index] if index < len(pictures) else None
                    with Tag("tr"):
                        with Tag("td"):
                            Tag("b", str(index + 1) if of else "▢", "picture-number")
                        Tag("td", f"{words.excerpt(of.name, 40)} {words.size(*of.size)}" if of else "The boxes")
                        Tag("td", words.size(*preparation.size))
                        Tag("td", words.size(*preparation.vision))

        self._session.on.dialog("What the model sees", draw)


def large(picture: Picture, session: Session) -> dict[str, Any]:
    """A picture as the viewer takes it; small, where browsers cannot show its file."""
    shown = session.studio.library.upload(picture.upload_id).media_type in SHOWN_BY_BROWSERS
    return {
        "url": (upload_file if shown else upload_thumbnail)(picture.upload_id),
        "thumb": upload_thumbnail(picture.upload_id),
        "width": max(picture.width, 1),
        "height": max(picture.height, 1),
        "label": " · ".join(filter(None, (picture.name, words.size(*picture.size)))),
    }


def _tile(picture: Picture) -> dict[str, Any]:
    """A picture as components/pictures.js and boxes.js take it."""
    size = "missing" if picture.missing else words.size(*picture.size)
    return {
        "id": picture.upload_id,
        "name": picture.name,
        "title": " · ".join(filter(None, (picture.name, size))),
        "thumb": _thumb(picture),
        "missing": picture.missing,
    }


def _thumb(picture: Picture) -> str | None:
    """Where it is to be had; of one that is missing, what the dropped file shows of it."""
    if not picture.missing:
        return upload_thumbnail(picture.upload_id)
    return f"data:image/webp;base64,{picture.tiny}" if picture.tiny else None


def _box(values: list[float]) -> Box4:
    x1, x2, y1, y2 = (min(1.0, max(0.0, float(value))) for value in values)
    return x1, x2, y1, y2
