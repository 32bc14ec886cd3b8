"""A finished picture made small for the sheet: WebP, good to look at for long. Knows nothing of where files lie."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from hidream_studio.image.png import decode_png

THUMBNAIL_SIDE_PX = 384  # the largest cell of the page at one device pixel per px
UPLOAD_SIDE_PX = 160  # of a picture as input, in a strip of 64 px cells on a dense screen
TINY_SIDE_PX = 64
MAX_TINY_BYTES = 2048
_QUALITY = 82
_TINY_QUALITIES = (70, 50, 30, 15, 5, 0)
_METHOD = 4  # of libwebp, 0 fast to 6 small


def make_thumbnail(png: bytes | Path, side_px: int = THUMBNAIL_SIDE_PX) -> bytes:
    """The picture as WebP with its longer side at most `side_px`; never enlarged.

    Raises
    ------
    RequestError
        when the PNG cannot be read (see `png.decode_png`).
    """
    image = Image.fromarray(decode_png(png))
    return small_webp(image, side_px)


def small_webp(image: Image.Image, side_px: int = UPLOAD_SIDE_PX) -> bytes:
    """An RGB picture as WebP with its longer side at most `side_px`; never enlarged, and itself left as it is."""
    small = image.copy()
    small.thumbnail((side_px, side_px), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return _webp(small, _QUALITY)


def is_webp(data: bytes) -> bool:
    """Whether it can be shown: a file may have been cut off, or be empty."""
    try:
        with Image.open(io.BytesIO(data), formats=["WEBP"]) as image:
            image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False
    return True


def tiny_webp(webp: bytes) -> bytes:
    """A small picture once more, in at most `MAX_TINY_BYTES`, to stand inside the text of another."""
    with Image.open(io.BytesIO(webp), formats=["WEBP"]) as image:
        small = image.convert("RGB")
    small.thumbnail((TINY_SIDE_PX, TINY_SIDE_PX), Image.Resampling.LANCZOS)
    found = b""
    for quality in _TINY_QUALITIES:
        found = _webp(small, quality)
        if len(found) <= MAX_TINY_BYTES:
            return found
    while len(found) > MAX_TINY_BYTES:
        small = small.resize((max(small.width // 2, 1), max(small.height // 2, 1)), Image.Resampling.LANCZOS)
        found = _webp(small, _TINY_QUALITIES[-1])
    return found


def _webp(image: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "WEBP", quality=quality, method=_METHOD)
    return file.getvalue()
