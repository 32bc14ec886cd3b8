"""The texts in the EXIF data of JPEG and WebP files, no pixel decoded. Knows not what they mean.

A1111 and the tools around it write their text as UserComment, ComfyUI its graph as "prompt:…" in Make, Model or
ImageDescription. The bytes may come from a stranger: containers are walked by their lengths, and only so far.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator

from PIL import Image
from PIL.ExifTags import IFD, Base

USER_COMMENT = "UserComment"
COMFY_PROMPT = "prompt"  # as ComfyUI calls it in PNG files, too

_MAX_SEGMENTS = 10_000
_MAX_EXIF_BYTES = 1_000_000
_JPEG_APP1, _JPEG_SCAN, _JPEG_END = 0xE1, 0xDA, 0xD9
_JPEG_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})  # ITU T.81, table B.1
_COMFY_TAGS = (Base.ImageDescription, Base.Make, Base.Model)


def is_jpeg(data: bytes) -> bool:
    return data.startswith(b"\xff\xd8\xff")


def is_webp(data: bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def exif_of(data: bytes) -> bytes | None:
    """The EXIF data of a JPEG or WebP; None where there is none that can be read."""
    candidates = _jpeg_exif(data) if is_jpeg(data) else _webp_exif(data)
    return next((exif for exif in candidates if len(exif) <= _MAX_EXIF_BYTES), None)


def exif_texts(exif: bytes) -> dict[str, str]:
    """What stands in EXIF data of a picture's making, by `USER_COMMENT` and `COMFY_PROMPT`; damaged data has none."""
    texts: dict[str, str] = {}
    parsed = Image.Exif()
    try:
        with warnings.catch_warnings(action="ignore"):  # Pillow warns of damage, and goes on
            parsed.load(exif)
            comment = parsed.get_ifd(IFD.Exif).get(Base.UserComment, parsed.get(Base.UserComment))
            tags = [parsed.get(tag) for tag in _COMFY_TAGS]
    except Exception:  # noqa: BLE001  Pillow names no errors for damaged EXIF data
        return texts
    if isinstance(comment, str):  # of a writer that gave it the type of plain text
        comment = comment.encode("utf-8", "surrogateescape")
    if isinstance(comment, bytes) and (text := _comment(comment)):
        texts[USER_COMMENT] = text
    for value in tags:
        if isinstance(value, str) and value.startswith("prompt:"):
            texts[COMFY_PROMPT] = value.removeprefix("prompt:").rstrip("\x00")
    return texts


def _comment(raw: bytes) -> str:
    """A UserComment's text: eight bytes say its encoding (EXIF 2.32, 4.6.5)."""
    code, text = raw[:8], raw[8:]
    if code.startswith(b"UNICODE"):
        decoded = _utf_16(text)
    elif code in (b"ASCII\x00\x00\x00", b"JIS\x00\x00\x00\x00\x00", bytes(8)):
        decoded = _utf_8(text)
    else:
        decoded = _utf_8(raw)  # written without them
    return decoded.strip("\x00 \t\r\n")


def _utf_16(raw: bytes) -> str:
    """In which order the bytes of each character stand is not said; Latin letters tell."""
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw.decode("utf-16", errors="replace")
    high_first, low_first = raw[0::2].count(0), raw[1::2].count(0)
    if not high_first and not low_first and b"Steps" in raw:
        return _utf_8(raw)  # UTF-8 under the name of UTF-16
    return raw.decode("utf-16-be" if high_first >= low_first else "utf-16-le", errors="replace")


def _utf_8(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _jpeg_exif(data: bytes) -> Iterator[bytes]:
    at = 2
    for _ in range(_MAX_SEGMENTS):
        if data[at : at + 1] != b"\xff" or at + 4 > len(data):
            return
        marker = data[at + 1]
        if marker in (_JPEG_SCAN, _JPEG_END):
            return
        if marker == 0xFF or marker in _JPEG_WITHOUT_LENGTH:  # filling, or nothing but itself
            at += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        segment = data[at + 4 : at + 2 + length]
        if marker == _JPEG_APP1 and segment.startswith(b"Exif\x00\x00"):
            yield segment[6:]
        at += 2 + length


def _webp_exif(data: bytes) -> Iterator[bytes]:
    at = 12
    for _ in range(_MAX_SEGMENTS):
        if at + 8 > len(data):
            return
        kind, length = struct.unpack_from("<4sI", data, at)
        if kind == b"EXIF":
            yield data[at + 8 : at + 8 + length].removeprefix(b"Exif\x00\x00")
        at += 8 + length + length % 2
