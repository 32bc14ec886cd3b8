"""How pictures come into the column: sent by the browser, taken from the sheet, recalled. Draws nothing."""

from __future__ import annotations

import asyncio

from hidream_studio.errors import NotFoundError, RequestError
from hidream_studio.job.job import Job
from hidream_studio.library.records import Upload
from hidream_studio.page import words
from hidream_studio.page.state.column import Column
from hidream_studio.page.state.compose import with_room
from hidream_studio.page.state.guard import Guard
from hidream_studio.page.state.pictures import MAX_NAME_CHARS, Picture, Pictures, added, missing_words
from hidream_studio.page.state.versions import Version
from hidream_studio.service.studio import Studio

Held = tuple[tuple[bytes, str], ...]  # files and their names


class Uploads:
    """The pictures of one page's column, as the library has them."""

    def __init__(self, studio: Studio, column: Column, guard: Guard) -> None:
        self._studio = studio
        self._library = studio.library
        self._column = column
        self._say = guard.say

    @property
    def taken(self) -> bool:
        """Whether this model reads pictures."""
        return self._studio.blind is None

    def check_taken(self) -> None:
        """Raises RequestError where it reads none, with the reason."""
        if (reason := self._studio.blind) is not None:
            raise RequestError(reason, field="references", limit=0)

    def add(self, upload_id: str, name: str) -> None:
        """A picture that the browser has sent. What will be converted is said."""
        self.check_taken()
        upload = self._library.upload(upload_id)
        self._add(picture_of(upload, name))
        if upload.notes:
            self._say(f"{words.excerpt(name, 60)}: {'; '.join(upload.notes)}.")

    async def add_bytes(self, data: bytes, name: str) -> None:
        """A picture that this program brings along."""
        self.check_taken()
        self._add(picture_of(await asyncio.to_thread(self._library.add_upload, data, name), name))

    async def add_version(self, version: Version) -> None:
        """A picture of the sheet: as it is now, whatever becomes of it there."""
        self.check_taken()
        name = f"seed {version.job.seed}"
        data = await asyncio.to_thread(self._library.file_path(version.key).read_bytes)
        await self.add_bytes(data, name)
        self._say(f"Seed {version.job.seed} is picture {len(self._column.state.pictures)} now.")

    def found(self, pictures: Pictures) -> Pictures:
        """With the names and sizes that the library has for them, and those marked that it lacks."""
        return tuple(map(self._found, pictures))

    def check(self) -> None:
        """Look whether what the column holds is still there, and say what is not any more."""
        pictures = self.found(self._column.state.pictures)
        if pictures != self._column.state.pictures:
            self._column.write(self._column.state.changed(pictures=pictures))
            if said := missing_words(pictures):
                self._say(said)

    async def held(self, job: Job) -> Held:
        """The files that both `job` and the column were given: with the job's picture the library would let them go."""
        needed = {reference.hash for reference in job.references}
        held = [one for one in self._column.state.pictures if one.upload_id in needed and not one.missing]
        return await asyncio.to_thread(
            lambda: tuple((self._library.upload_bytes(one.upload_id), one.file_name) for one in held)
        )

    async def put_back(self, held: Held) -> None:
        """Into the library, where they went with a picture."""
        for data, name in held:
            await asyncio.to_thread(self._library.add_upload, data, name or None)

    def _add(self, picture: Picture) -> None:
        state = self._column.state
        roomy = with_room(state.changed(pictures=added(state.pictures, picture)), self._studio.profile)
        self._column.write(roomy)
        if roomy.size != state.size:
            self._say(f"The size is {roomy.size} now, so that the picture's aspect ratio can be kept.")

    def _found(self, picture: Picture) -> Picture:
        try:
            upload = self._library.upload(picture.upload_id)
        except NotFoundError:
            return picture.changed(missing=True)
        return picture_of(upload, picture.file_name).changed(role=picture.role, box=picture.box)


def picture_of(upload: Upload, name: str) -> Picture:
    """`name` where somebody calls it so now, else as it was called when it came first."""
    file_name = (name or upload.name or "")[:MAX_NAME_CHARS]
    return Picture(upload_id=upload.hash, width=upload.width, height=upload.height, file_name=file_name)
