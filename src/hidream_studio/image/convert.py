"""A PNG of ours as another kind of file, with its settings as far as that kind can carry them. Writes no file."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Literal

from PIL import Image
from PIL.ExifTags import IFD, Base

from hidream_studio.errors import RequestError
from hidream_studio.image.metadata import A1111_KEY
from hidream_studio.image.png import decode_png, read_text_chunks

Kind = Literal["png", "jpeg", "webp"]
KIND_OF_SUFFIX: Mapping[str, Kind] = {"": "png", ".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
QUALITY = 95  # of 100; above that files grow much and pictures hardly change
MAX_JPEG_EXIF_BYTES = 65_533 - 6  # of one APP1 segment, without its name


def kind_of(suffix: str) -> Kind:
    """What a file's suffix, such as `.jpg`, stands for; none is a PNG.

    Raises
    ------
    RequestError
        naming those that can be written.
    """
    kind = KIND_OF_SUFFIX.get(suffix.lower())
    if kind is None:
        known = ", ".join(name for name in KIND_OF_SUFFIX if name)
        raise RequestError(f"pictures are not written as {suffix}; only as {known}", field="out", limit=known)
    return kind


def converted(png: bytes, kind: Kind) -> tuple[bytes, str | None]:
    """The file, and a sentence about settings that it could not carry.

    JPEG and WebP carry the `parameters` text alone, where A1111's web UI puts it: in EXIF's UserComment.
    """
    if kind == "png":
        return png, None
    text = read_text_chunks(png).get(A1111_KEY)
    exif = b"" if text is None else _exif(text)
    lost = None
    if kind == "jpeg" and len(exif) > MAX_JPEG_EXIF_BYTES:
        exif, lost = b"", "the prompts are too long for a JPEG's EXIF, so it carries no settings; PNG and WebP can"
    file = io.BytesIO()
    options = {"subsampling": 0} if kind == "jpeg" else {"method": 4}
    Image.fromarray(decode_png(png)).save(file, kind.upper(), quality=QUALITY, exif=exif, **options)
    return file.getvalue(), lost


def _exif(text: str) -> bytes:
    """EXIF data whose UserComment is `text`, its encoding named in eight bytes before it (EXIF 2.32, 4.6.5)."""
    exif = Image.Exif()
    exif.get_ifd(IFD.Exif)[Base.UserComment] = b"UNICODE\0" + text.encode("utf-16-be")
    return exif.tobytes()
