"""Pictures as people have them, in: any common file becomes upright RGB in 8 bits, and what was changed is said.

The one reader of pictures from outside. Every byte may come from a stranger: a file is measured before it is decoded,
and whatever is wrong with it becomes a RequestError of one sentence. Knows nothing of models and of where files lie.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from PIL.ExifTags import Base

from hidream_studio.errors import RequestError
from hidream_studio.job.adjustment import Adjustment
from hidream_studio.job.request import MAX_PICTURE_BYTES

MAX_PIXELS = 100_000_000
MIN_SIDE_PX = 16
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP")  # of Pillow's readers those that are looked at
KNOWN = "PNG, JPEG, WebP, GIF, TIFF or BMP"
_PNG_DEPTH_AT = 24  # byte of the bit depth in IHDR (W3C PNG specification, third edition, 11.2.1)
_TIFF_DEPTH = 258  # BitsPerSample (TIFF 6.0, section 3)
_WHITE = (255, 255, 255, 255)
_SIXTEEN_BITS = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})


@dataclass(frozen=True)
class TakenIn:
    """A picture that was read."""

    picture: Image.Image  # RGB, upright
    media_type: str  # of the file
    notes: tuple[str, ...]  # what was changed on the way, a few words each


def read_picture(data: bytes, *, field: str = "file") -> TakenIn:
    """The picture of a file, for eyes that are used to sRGB.

    Plain RGB, grey and palette files give the values that they hold.

    Raises
    ------
    RequestError
        naming `field` and the limit, when it is no picture that can be read, is damaged, or too small or too large.
    """
    if not data:
        raise RequestError(f"{field} is a file of 0 bytes, which is no picture", field=field, limit=1)
    if len(data) > MAX_PICTURE_BYTES:
        raise RequestError(
            f"{field} has {len(data):,} bytes; a picture may have at most {MAX_PICTURE_BYTES:,}",
            field=field, limit=MAX_PICTURE_BYTES,
        )  # fmt: skip
    image = _opened(data, field)
    _check_size(image.size, field)
    notes: list[str] = []
    try:
        media_type = Image.MIME.get(image.format or "", "application/octet-stream")
        if (frames := _frames(image)) > 1 and image.format != "MPO":  # a phone's second picture is of its depth
            notes.append(f"first of {frames} frames")
        if _is_deep(image, data):
            notes.append("16 bits a value became 8")
        with warnings.catch_warnings(action="ignore"):  # Pillow warns of damage, and goes on or raises
            image.load()
            picture = _turned(image, notes)
            picture = _rgb(picture, notes)
    except Exception as error:
        raise RequestError(f"{field} is damaged: its picture cannot be read ({_short(error)})", field=field) from error
    return TakenIn(picture, "image/jpeg" if image.format == "MPO" else media_type, tuple(notes))


def conversion(field: str, picture: tuple[int, int], notes: Iterable[str]) -> tuple[Adjustment, ...]:
    """What was changed of the picture of `field`, to be told with what is drawn from it; nothing where nothing was."""
    why, size = "; ".join(notes), f"{picture[0]}x{picture[1]}"
    return (Adjustment(field=field, asked=size, used=size, why=why),) if why else ()


def _opened(data: bytes, field: str) -> Image.Image:
    """Read as far as the header."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of very many pixels, which are counted here
            return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        kind = _kind_of_text(data)
        raise RequestError(f"{field} is {kind}; send a picture as {KNOWN}", field=field, limit=KNOWN) from None
    except Image.DecompressionBombError:
        raise RequestError(
            f"{field} has more than {MAX_PIXELS:,} pixels, the most that are read", field=field, limit=MAX_PIXELS
        ) from None
    except Exception as error:
        raise RequestError(f"{field} is damaged: it cannot be read ({_short(error)})", field=field) from error


def _check_size(size: tuple[int, int], field: str) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise RequestError(
            f"{field} is {width}×{height} = {width * height:,} px; at most {MAX_PIXELS:,} px are read",
            field=field, limit=MAX_PIXELS,
        )  # fmt: skip
    if min(width, height) < MIN_SIDE_PX:
        raise RequestError(
            f"{field} is {width}×{height} px; a side must be at least {MIN_SIDE_PX} px", field=field, limit=MIN_SIDE_PX
        )


def _frames(image: Image.Image) -> int:
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # noqa: BLE001  a later frame is damaged, which the first one does not suffer from
        return 1


def _is_deep(image: Image.Image, data: bytes) -> bool:
    if image.mode in _SIXTEEN_BITS:
        return True
    if image.format == "PNG":
        return data[_PNG_DEPTH_AT] == 16
    depths = getattr(image, "tag_v2", {}).get(_TIFF_DEPTH, (8,))
    return 16 in (depths if isinstance(depths, tuple) else (depths,))


def _turned(image: Image.Image, notes: list[str]) -> Image.Image:
    """Upright: cameras save a picture as the sensor lay, and in EXIF how it was held."""
    with suppress(Exception):  # damaged EXIF says nothing
        if image.getexif().get(Base.Orientation, 1) in range(2, 9):
            turned = ImageOps.exif_transpose(image)
            notes.append("turned as its EXIF says")
            return turned
    return image


def _rgb(image: Image.Image, notes: list[str]) -> Image.Image:
    profile = image.info.get("icc_profile")
    if image.mode in _SIXTEEN_BITS:
        image = _eight_bits(image)
    elif image.mode == "F":
        raise ValueError("it is stored as floating-point numbers")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema()[0] == 255:
            return _in_srgb(image.convert("RGB"), profile, notes)
        notes.append("what is transparent became white")
        over = _in_srgb(image.convert("RGB"), profile, notes)
        over.putalpha(image.getchannel("A"))
        return Image.alpha_composite(Image.new("RGBA", image.size, _WHITE), over).convert("RGB")
    if image.mode in ("CMYK", "LAB", "YCbCr", "HSV"):
        notes.append(f"{image.mode} became RGB")
    return _in_srgb(image, profile, notes)


def _in_srgb(image: Image.Image, profile: bytes | None, notes: list[str]) -> Image.Image:
    """Of a file that says which colours it means, unless those are sRGB's; a broken profile says nothing."""
    if profile:
        with suppress(Exception):  # ImageCms names no errors for broken profiles
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if "srgb" not in ImageCms.getProfileDescription(source).lower():
                if image.mode in ("P", "1", "YCbCr", "HSV"):
                    image = image.convert("RGB")
                target = ImageCms.createProfile("sRGB")
                turned = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
                if turned is not None:
                    notes.append("its colour profile became sRGB")
                    return turned
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.float64)
    return Image.fromarray(np.clip(np.rint(values / 257), 0, 255).astype(np.uint8))


def _kind_of_text(data: bytes) -> str:
    start = data[:1000].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in start:
        return "an SVG, which is a drawing and has no pixels"
    if b"\x00" not in start and start.isascii():
        return "a text and no picture"
    return "no picture that is known"


def _short(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:80]
