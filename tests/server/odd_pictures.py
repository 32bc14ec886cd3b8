"""Pictures as people send them, made here: those that are taken in, and those that cannot be. Judges nothing."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image
from PIL.ExifTags import Base


def picture(width: int = 64, height: int = 64, seed: int = 0) -> Image.Image:
    """Coloured blocks of 8 px, others for each seed."""
    blocks = np.random.default_rng(seed).integers(0, 256, (-(-height // 8), -(-width // 8), 3), dtype=np.uint8)
    return Image.fromarray(blocks.repeat(8, axis=0).repeat(8, axis=1)[:height, :width])


def written(image: Image.Image, kind: str = "PNG", **more: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **more)
    return file.getvalue()


def png(width: int = 64, height: int = 64, seed: int = 0) -> bytes:
    return written(picture(width, height, seed))


def turned() -> bytes:
    """96×64 as stored, to be shown as 64×96."""
    exif = Image.Exif()
    exif[Base.Orientation] = 6
    return written(picture(96, 64), "JPEG", exif=exif.tobytes())


def with_alpha() -> bytes:
    image = picture().convert("RGBA")
    image.putalpha(100)
    return written(image)


def animated() -> bytes:
    frames = [picture(seed=seed) for seed in range(3)]
    return written(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100)


def cmyk() -> bytes:
    return written(picture().convert("CMYK"), "JPEG")


def sixteen_bit() -> bytes:
    rising = np.linspace(0, 65_535, 64 * 64, dtype=np.uint16).reshape(64, 64)
    return written(Image.fromarray(rising))


def bomb(width: int = 20_000, height: int = 10_000) -> bytes:
    """A PNG of 200 megapixels in some kilobytes: black, one bit a pixel."""
    rows = zlib.compress(bytes(height * (width // 8 + 1)), 9)
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"><rect/></svg>'
CONVERTED = {
    "turned": turned(), "alpha": with_alpha(), "animated": animated(), "cmyk": cmyk(), "16 bit": sixteen_bit(),
}  # fmt: skip
REFUSED = {
    "0 bytes": b"", "truncated": png(256, 256)[:2000], "only a head": png()[:40], "a bomb": bomb(), "svg": SVG,
    "text": b"this is a text, named .png", "narrow": png(1, 5000), "tiny": png(15, 64),
}  # fmt: skip
