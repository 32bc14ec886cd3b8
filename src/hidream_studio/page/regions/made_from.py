"""In the inspector: the pictures that went into the model for this one. Each is enlarged by a click."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hidream_studio.page.addresses import upload_thumbnail
from hidream_studio.page.dom import Tag
from hidream_studio.page.regions.pictures import large
from hidream_studio.page.state.pictures import Picture, pictures_of
from hidream_studio.page.state.session import Session
from hidream_studio.page.state.versions import Version


class MadeFrom:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._drawn: tuple[Any, ...] = ()
        self._root = Tag("div", classes="made-from", role="group", aria_label="Made from these pictures", hidden=True)

    def draw(self, version: Version) -> None:
        pictures = self._session.uploads.found(pictures_of(version.job))
        if (version.key, pictures) == self._drawn:
            return
        self._drawn = (version.key, pictures)
        self._root.clear()
        self._root.show(bool(pictures))
        with self._root:
            if pictures:
                Tag("span", "Made from", "label")
            for index, picture in enumerate(pictures):
                self._draw_one(index, picture)

    def _draw_one(self, index: int, picture: Picture) -> None:
        gone = picture.missing
        name = picture.name or f"Picture {index + 1}"
        title = f"{name}: its file is not in this library" if gone else name
        thumb = None if gone else f"background-image:url({upload_thumbnail(picture.upload_id)})"
        with Tag("button", on_click=self._looker(index, picture), title=title, disabled=True if gone else None):
            with Tag("span", classes="made-from-thumb", style=thumb):
                Tag("b", str(index + 1), "picture-number")
            Tag("span", "missing" if gone else name)

    def _looker(self, index: int, picture: Picture) -> Callable[[], None]:
        return lambda: self._session.on.look([large(picture, self._session)], f"Picture {index + 1}")
