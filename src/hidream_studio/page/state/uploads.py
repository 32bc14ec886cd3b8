"""How pictures come into the column: sent by the browser, taken from the sheet, recalled. Draws nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from hidream_studio.errors import NotFoundError, RequestError
from hidream_studio.library.records import Upload
from hidream_studio.page import words
from hidream_studio.page.state.column import Column
from hidream_studio.page.state.guard import Guard
from hidream_studio.page.state.pictures import MAX_NAME_CHARS, Picture, Pictures, added, missing_words
from hidream_studio.page.state.versions import Version
from hidream_studio.service.studio import Studio

MOST_NAMES = 1000  # remembered; whoever asks for more names asks the library again


class Uploads:
    """The pictures of one page's column, as the library has them."""

    def __init__(self, studio: Studio, column: Column, guard: Guard) -> None:
        self._studio = studio
        self._library = studio.library
        self._column = column
        self._say = guard.say
        self._names: dict[str, str | None] = {}  # by hash; None: it is not in the library

    def check_taken(self) -> None:
        """Raises RequestError where this model reads no pictures."""
        if not self._studio.takes_pictures:
            name = self._studio.profile.name
            raise RequestError(f"{name} draws from words alone: its checkpoint has no vision tower", field="references")

    async def add(self, upload_id: str, name: str) -> None:
        """A picture that the browser has sent. What was or will be converted is said."""
        self.check_taken()
        upload = await asyncio.to_thread(self._library.upload, upload_id)
        self._add(picture_of(upload, name))
        if upload.notes:
            self._say(f"{words.excerpt(name, 60)}: {', '.join(upload.notes)}.")

    async def add_bytes(self, data: bytes, name: str) -> None:
        """A picture that this program brings along."""
        self.check_taken()
        self._add(picture_of(await asyncio.to_thread(self._library.add_upload, data, name), name))

    async def add_version(self, version: Version) -> None:
        """A picture of the sheet: as it is now, whatever becomes of it there."""
        self.check_taken()

        def kept() -> Upload:
            data = self._library.file_path(version.key).read_bytes()
            return self._library.add_upload(data, f"seed {version.job.seed}")

        upload = await asyncio.to_thread(kept)
        self._add(picture_of(upload, f"seed {version.job.seed}"))
        self._say(f"Seed {version.job.seed} is picture {len(self._column.state.pictures)} now.")

    async def found(self, pictures: Pictures) -> Pictures:
        """With the names and sizes that the library has for them, and those marked that it lacks."""
        return await asyncio.to_thread(lambda: tuple(map(self._found, pictures)))

    async def check(self) -> None:
        """Look whether what the column holds is still there, and say what is not."""
        pictures = await self.found(self._column.state.pictures)
        if pictures != self._column.state.pictures:
            self._column.state = self._column.state.changed(pictures=pictures)
        if said := missing_words(pictures):
            self._say(said)

    def known_name(self, upload_id: str) -> str | None:
        """What its file is called; None: it is missing, or was not looked up yet."""
        return self._names.get(upload_id)

    def without_name(self, upload_ids: Iterable[str]) -> list[str]:
        """Of these, which were not looked up yet."""
        return [one for one in upload_ids if one not in self._names]

    async def look_up(self, upload_ids: Sequence[str]) -> None:
        """Have the names of these known."""
        if len(self._names) > MOST_NAMES:
            self._names.clear()
        uploads = await asyncio.to_thread(lambda: [self._upload(one) for one in upload_ids])
        self._names |= {one: upload and (upload.name or "") for one, upload in zip(upload_ids, uploads, strict=True)}

    def _add(self, picture: Picture) -> None:
        state = self._column.state
        self._column.write(state.changed(pictures=added(state.pictures, picture)))

    def _upload(self, upload_id: str) -> Upload | None:
        try:
            return self._library.upload(upload_id)
        except NotFoundError:
            return None

    def _found(self, picture: Picture) -> Picture:
        upload = self._upload(picture.upload_id)
        if upload is None:
            return picture.changed(missing=True)
        return picture_of(upload, picture.file_name).changed(role=picture.role, box=picture.box)


def picture_of(upload: Upload, name: str) -> Picture:
    """`name` where somebody calls it so now, else as it was called when it came first."""
    file_name = (name or upload.name or "")[:MAX_NAME_CHARS]
    return Picture(upload_id=upload.hash, width=upload.width, height=upload.height, file_name=file_name)
