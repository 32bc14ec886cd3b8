"""`--ref` and `--layout`: files of pictures and boxes, read for a request. Draws nothing, sends nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from hidream_studio.errors import RequestError
from hidream_studio.image.intake import conversion, read_picture
from hidream_studio.image.thumbnail import small_webp, tiny_webp
from hidream_studio.job.adjustment import Adjustment
from hidream_studio.job.references import MAX_REFERENCES, Reference
from hidream_studio.job.request import MAX_PICTURE_BYTES

MAX_LAYOUT_CHARS = 100_000
# upstream's --layout_bboxes takes them too, with a text for each box that it never reads
_LIST_NAMES = ("layout_bboxes", "bboxes", "boxes", "bbox_list")
_BOX_NAMES = ("bbox", "box")


@dataclass(frozen=True)
class GivenPicture:
    """One `--ref`, read."""

    data: bytes
    name: str
    picture: Image.Image  # RGB, upright
    reference: Reference
    changed: tuple[Adjustment, ...]  # on reading

    def tiny(self) -> bytes:
        """A small WebP of it, to stand inside the text of what is drawn."""
        return tiny_webp(small_webp(self.picture))


def read_files(paths: Sequence[Path]) -> list[tuple[str, bytes]]:
    """Name and bytes of each `--ref`. Raises RequestError naming it."""
    if len(paths) > MAX_REFERENCES:
        raise RequestError(
            f"--ref is said {len(paths)} times; there may be at most {MAX_REFERENCES} references",
            field="references", limit=MAX_REFERENCES,
        )  # fmt: skip
    files = []
    for path in paths:
        try:
            if path.is_file() and path.stat().st_size > MAX_PICTURE_BYTES:
                raise RequestError(
                    f"--ref {path} has {path.stat().st_size:,} bytes; a picture may have at most {MAX_PICTURE_BYTES:,}",
                    field="ref", limit=MAX_PICTURE_BYTES,
                )  # fmt: skip
            files.append((path.name, path.read_bytes()))
        except OSError as error:
            raise RequestError(f"--ref {path} cannot be read: {error.strerror or error}", field="ref") from error
    return files


def read_pictures(paths: Sequence[Path]) -> list[GivenPicture]:
    """The pictures themselves. Raises RequestError naming the one that is none."""
    given = []
    for index, (name, data) in enumerate(read_files(paths)):
        try:
            taken = read_picture(data, field=str(paths[index]))
        except RequestError as error:
            raise RequestError(f"--ref {error.message}", field="ref", limit=error.limit) from error
        reference = Reference(hashlib.sha256(data).hexdigest(), *taken.picture.size)
        changed = conversion(f"references.{index}", reference.size, taken.notes)
        given.append(GivenPicture(data, name, taken.picture, reference, changed))
    return given


def read_layout(text: str) -> Any:
    """The boxes of `--layout`, JSON itself or a file of it; whether they are any, the request will say.

    Raises
    ------
    RequestError
        when it is no JSON.
    """
    if not text.lstrip().startswith(("[", "{")):
        path = Path(text)
        try:
            if path.stat().st_size > MAX_LAYOUT_CHARS:
                raise RequestError(
                    f"--layout {text} is too long for a few boxes", field="layout", limit=MAX_LAYOUT_CHARS
                )
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no text"
            raise RequestError(
                f"--layout {str(path)[:80]!r} is neither JSON nor a file that can be read: {reason}", field="layout"
            ) from error
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"--layout is no JSON: {error}", field="layout") from error
    boxes = _named(found, _LIST_NAMES)
    return [_named(box, _BOX_NAMES) for box in boxes] if isinstance(boxes, list) else boxes


def _named(value: Any, names: Sequence[str]) -> Any:
    """What an object has under one of these names; anything else as it is."""
    if not isinstance(value, dict):
        return value
    return next((value[name] for name in names if name in value), value)
