"""In the inspector: the pictures that went into the model for this one. Each is enlarged by a click."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nicegui import background_tasks

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
        """Those of `version`; what their files are called comes as soon as the library has said it."""
        uploads = self._session.uploads
        pictures = tuple(
            picture.changed(file_name=uploads.known_name(picture.upload_id) or "")
            for picture in pictures_of(version.job)
        )
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
        if unknown := uploads.without_name(picture.upload_id for picture in pictures):
            named = self._session.run(lambda: self._name(version, unknown))
            background_tasks.create(named())

    def _draw_one(self, index: int, picture: Picture) -> None:
        label = f"Picture {index + 1}" + (f", {picture.name}" if picture.name else "")
        thumb = f"background-image:url({upload_thumbnail(picture.upload_id)})"
        with Tag("button", on_click=self._looker(index, picture), aria_label=label, title=picture.name or label):
            with Tag("span", classes="made-from-thumb", style=thumb):
                Tag("b", str(index + 1), "picture-number")
            Tag("span", picture.name)

    async def _name(self, version: Version, unknown: list[str]) -> None:
        await self._session.uploads.look_up(unknown)
        if self._drawn[:1] == (version.key,):  # else another one is looked at by now
            self.draw(version)

    def _looker(self, index: int, picture: Picture) -> Callable[[], None]:
        return lambda: self._session.on.look([large(picture)], f"Picture {index + 1}")
