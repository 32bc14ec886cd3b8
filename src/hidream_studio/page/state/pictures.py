"""The pictures that go into the model: in their order, named, with their boxes. Pure; knows no library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from hidream_studio.errors import RequestError
from hidream_studio.image.thumbnail import MAX_TINY_BYTES
from hidream_studio.job.job import Job
from hidream_studio.job.references import MAX_REFERENCES, Reference
from hidream_studio.job.request import MAX_ROLE_CHARS, Box4, GenerationRequest
from hidream_studio.page import words

MAX_NAME_CHARS = 200
UNKNOWN_PX = 512


class Picture(BaseModel):
    """One of them, known by the hash of its file."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    upload_id: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    width: Annotated[int, Field(ge=0)] = 0  # px, as turned by EXIF; 0 where its file is missing
    height: Annotated[int, Field(ge=0)] = 0
    file_name: Annotated[str, Field(max_length=MAX_NAME_CHARS)] = ""
    role: Annotated[str, Field(min_length=1, max_length=MAX_ROLE_CHARS)] | None = None  # as somebody called it
    box: Box4 | None = None
    missing: bool = False  # its file is not in this library
    tiny: Annotated[str, Field(max_length=2 * MAX_TINY_BYTES, pattern="^[A-Za-z0-9+/=]*$")] = ""  # base64 WebP, then

    @property
    def name(self) -> str:
        return self.role or self.file_name

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height

    def changed(self, **changes: Any) -> Picture:
        return self.model_copy(update=changes)


Pictures = tuple[Picture, ...]


def added(pictures: Pictures, new: Picture) -> Pictures:
    """With `new` at the end, or in the place of its own that was missing.

    Raises
    ------
    RequestError
        where it is there already, or there are as many as may be.
    """
    for index, picture in enumerate(pictures):
        if picture.upload_id == new.upload_id:
            if not picture.missing:
                raise RequestError(f"{called(pictures, index)} is this very picture already", field="references")
            found = new.changed(role=picture.role, box=picture.box)
            return (*pictures[:index], found, *pictures[index + 1 :])
    if len(pictures) >= MAX_REFERENCES:
        raise RequestError(
            f"there are {MAX_REFERENCES} pictures, and there may be no more", field="references", limit=MAX_REFERENCES
        )
    return (*pictures, new)


def in_order(pictures: Pictures, order: Sequence[int]) -> Pictures:
    """As `order` has their former places; what is no order of them changes nothing."""
    if sorted(order) != list(range(len(pictures))):
        return pictures
    return tuple(pictures[index] for index in order)


def without(pictures: Pictures, index: int) -> Pictures:
    return (*pictures[:index], *pictures[index + 1 :])


def together(before: Pictures, now: Pictures) -> Pictures:
    """As they were before, and then what came since; as many as may be."""
    known = {picture.upload_id for picture in before}
    return (*before, *(picture for picture in now if picture.upload_id not in known))[:MAX_REFERENCES]


def renamed(pictures: Pictures, index: int, name: str) -> Pictures:
    """Called `name`; by its file's where that is empty or the file's own."""
    picture = pictures[index]
    role = " ".join(name.split())[:MAX_ROLE_CHARS]
    return _put(pictures, index, picture.changed(role=role if role and role != picture.file_name else None))


def boxed(pictures: Pictures, boxes: Sequence[Box4 | None]) -> Pictures:
    """With these boxes, in the order of the pictures."""
    return tuple(picture.changed(box=box) for picture, box in zip(pictures, boxes, strict=True))


def called(pictures: Pictures, index: int) -> str:
    """ "picture 2 (coat.png)" """
    name = words.excerpt(pictures[index].name, 40)
    return f"picture {index + 1} ({name})" if name else f"picture {index + 1}"


def keeps_aspect(pictures: Pictures, *, wanted: bool) -> bool:
    """Whether the output takes its picture's shape: a box, or a second picture, leaves it as it was asked."""
    return wanted and len(pictures) == 1 and pictures[0].box is None


def asked_for(pictures: Pictures, *, keep_aspect: bool) -> dict[str, Any]:
    """The fields of a request that say so.

    Raises
    ------
    RequestError
        where a picture is missing, or has no box while a later one has.
    """
    if not pictures:
        return {}
    if (gone := next((index for index, picture in enumerate(pictures) if picture.missing), None)) is not None:
        what = called(pictures, gone)
        raise RequestError(f"{what} is missing here: drop it again, or take it out", field="references")
    values: dict[str, Any] = {
        "references": [
            {"upload_id": picture.upload_id} | ({"role": picture.role} if picture.role else {}) for picture in pictures
        ]
    }
    if boxes := layout_of(pictures):
        values["layout"] = boxes
    if len(pictures) == 1:
        values["keep_aspect"] = keeps_aspect(pictures, wanted=keep_aspect)
    return values


def layout_of(pictures: Pictures) -> tuple[Box4, ...]:
    """The boxes, of the first pictures on. Raises RequestError where one between them has none."""
    boxes = [picture.box for picture in pictures]
    while boxes and boxes[-1] is None:
        boxes.pop()
    without_box = next((index for index, box in enumerate(boxes) if box is None), None)
    if without_box is not None:
        raise RequestError(
            f"{called(pictures, without_box)} has no box, but one after it has: draw its box, or move it to the end",
            field="layout",
        )
    return tuple(box for box in boxes if box is not None)


def pictures_asked(request: GenerationRequest, tiny: Mapping[str, str] = MappingProxyType({})) -> Pictures:
    """A request's that are known by their hash; how large they are, and called, is the library's to say.

    `tiny` are very small pictures of them, base64 WebP, by that hash.
    """
    references = request.references or ()
    boxes = (*(request.layout or ()), *(None for _ in references))
    return tuple(
        Picture(upload_id=one.upload_id, role=one.role or None, box=box, tiny=tiny.get(one.upload_id, ""))
        for one, box in zip(references, boxes, strict=False)
        if one.upload_id is not None
    )


def pictures_of(job: Job) -> Pictures:
    """Those that a job was drawn from; what their files are called is the library's to say."""
    boxes = (*(job.layout or ()), *(None for _ in job.references))
    return tuple(
        Picture(upload_id=one.hash, width=one.width, height=one.height, role=one.role or None, box=box)
        for one, box in zip(job.references, boxes, strict=False)
    )


def references_of(pictures: Pictures) -> tuple[Reference, ...]:
    """As `pin` takes them; where a file is missing and its size is not known, as if it were a small square."""
    return tuple(
        Reference(one.upload_id, one.width or UNKNOWN_PX, one.height or UNKNOWN_PX, one.role) for one in pictures
    )


def missing_words(pictures: Pictures) -> str:
    """Which files are missing, as a sentence; nothing where none is."""
    gone = [called(pictures, index) for index, picture in enumerate(pictures) if picture.missing]
    if not gone:
        return ""
    verb, files = ("is", "file") if len(gone) == 1 else ("are", "files")
    return words.sentence(f"{', '.join(gone)} {verb} missing here: drop the {files} again")


def _put(pictures: Pictures, index: int, picture: Picture) -> Pictures:
    return (*pictures[:index], picture, *pictures[index + 1 :])
