"""A finished picture made small for the sheet: WebP, good to look at for long. Knows nothing of where files lie."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from hidream_studio.image.png import decode_png

THUMBNAIL_SIDE_PX = 384  # the largest cell of the page at one device pixel per px
_QUALITY = 82
_METHOD = 4  # of libwebp, 0 fast to 6 small


def make_thumbnail(png: bytes | Path, side_px: int = THUMBNAIL_SIDE_PX) -> bytes:
    """The picture as WebP with its longer side at most `side_px`; never enlarged.

    Raises
    ------
    RequestError
        when the PNG cannot be read (see `png.decode_png`).
    """
    image = Image.fromarray(decode_png(png))
    image.thumbnail((side_px, side_px), Image.Resampling.LANCZOS, reducing_gap=3.0)
    file = io.BytesIO()
    image.save(file, "WEBP", quality=_QUALITY, method=_METHOD)
    return file.getvalue()
