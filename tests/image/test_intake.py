"""Pictures from outside: what people send becomes upright RGB, what was changed is said, and nothing else passes."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from hidream_studio.errors import RequestError
from hidream_studio.image.intake import conversion, read_picture

PICTURES = Path(__file__).parents[1] / "data" / "golden_ref" / "pictures"
RAMP = np.linspace(0, 255, 40 * 30 * 3).reshape(30, 40, 3).astype(np.uint8)


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_of(width: int, height: int, depth: int = 8, color: int = 2, rows: bytes = b"") -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("file", sorted(PICTURES.glob("*.png")), ids=lambda file: file.stem)
def test_plain_pictures_have_the_values_that_upstream_reads(file: Path) -> None:
    taken = read_picture(file.read_bytes())
    assert np.array_equal(np.asarray(taken.picture), np.asarray(Image.open(file).convert("RGB")))
    assert (taken.media_type, taken.notes) == ("image/png", ())


@pytest.mark.parametrize("mode", ["L", "P", "1"])
@pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF", "BMP"])
def test_grey_and_palettes_have_the_values_that_upstream_reads(mode: str, kind: str) -> None:
    data = saved(Image.fromarray(RAMP).convert(mode), kind)
    taken = read_picture(data)
    assert np.array_equal(np.asarray(taken.picture), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
    assert taken.notes == () and taken.picture.mode == "RGB"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_phones_picture_is_turned(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    taken = read_picture(saved(Image.fromarray(RAMP), "JPEG", exif=exif, quality=95))
    assert taken.picture.size == ((40, 30) if orientation < 5 else (30, 40))
    assert taken.notes == (() if orientation == 1 else ("turned as its EXIF says",))


def test_what_is_transparent_becomes_white_and_what_is_not_stays() -> None:
    image = Image.new("RGBA", (40, 30), (200, 0, 0, 0))
    image.paste((0, 0, 200, 255), (0, 0, 20, 30))
    taken = read_picture(saved(image))
    assert taken.picture.getpixel((30, 10)) == (255, 255, 255) and taken.picture.getpixel((5, 5)) == (0, 0, 200)
    assert taken.notes == ("what is transparent became white",)
    image.putalpha(255)
    assert read_picture(saved(image)).notes == ()


def test_of_many_frames_the_first_is_taken() -> None:
    frames = [Image.new("RGB", (40, 30), (20 * i, 0, 0)) for i in range(4)]
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        taken = read_picture(
            saved(frames[1], kind, save_all=True, append_images=frames[2:] + frames[:1], lossless=True)
        )
        assert taken.picture.getpixel((3, 3)) == (20, 0, 0)
        assert taken.notes == ("first of 4 frames",)


def test_printers_colours_become_the_screens() -> None:
    taken = read_picture(saved(Image.new("CMYK", (40, 30), (0, 255, 255, 0)), "JPEG"))
    assert taken.picture.getpixel((5, 5))[0] > 200 > 60 > taken.picture.getpixel((5, 5))[1]
    assert taken.notes == ("CMYK became RGB",)


def test_sixteen_bits_become_eight_and_not_white() -> None:
    grey = (np.linspace(0, 1, 1200).reshape(30, 40) * 65535).astype(np.uint16)
    taken = read_picture(saved(Image.fromarray(grey)))
    assert abs(np.asarray(taken.picture)[..., 0].astype(int) - np.rint(grey / 257).astype(int)).max() == 0
    assert taken.notes == ("16 bits a value became 8",)
    rows = b"".join(b"\0" + struct.pack(">3H", 0x8000, 0x4000, 0xFFFF) * 20 for _ in range(20))
    deep = read_picture(png_of(20, 20, 16, 2, rows))
    assert deep.picture.getpixel((3, 3)) == (128, 64, 255)
    assert deep.notes == ("16 bits a value became 8",)


def test_a_profile_of_colours_is_followed_and_srgbs_changes_nothing() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    taken = read_picture(saved(Image.fromarray(RAMP), icc_profile=srgb))
    assert taken.notes == () and np.array_equal(np.asarray(taken.picture), RAMP)
    broken = read_picture(saved(Image.fromarray(RAMP), icc_profile=b"no profile at all"))
    assert broken.notes == () and np.array_equal(np.asarray(broken.picture), RAMP)


def test_what_was_changed_is_told_with_what_is_drawn_from_it() -> None:
    (told,) = conversion("references.2", (30, 40), ("turned as its EXIF says", "first of 3 frames"))
    assert (told.field, told.used, told.why) == ("references.2", "30x40", "turned as its EXIF says; first of 3 frames")
    assert conversion("references.0", (30, 40), ()) == ()


WHOLE = saved(Image.fromarray(RAMP))
SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'


@pytest.mark.parametrize(
    ("data", "says", "limited"),
    [
        (b"", "0 bytes", True), (b"just words, named .png", "a text and no picture", True),
        (SVG, "an SVG", True), (b"\x00\x01\x02\x03" * 99, "no picture that is known", True),
        (WHOLE[: len(WHOLE) // 2], "damaged", False), (WHOLE[:20], "damaged", False),
        (saved(Image.fromarray(RAMP), "JPEG")[:400], "damaged", False),
        (png_of(20_000, 10_000), r"(20000×10000|more than 100,000,000 pixels)", True),
        (png_of(12_000, 10_000), "12000×10000 = 120,000,000 px; at most 100,000,000", True),
        (png_of(1, 5000), "1×5000 px; a side must be at least 16", True),
        (b"\x89PNG" + b"\0" * (64 * 2**20), "at most 67,108,864", True),
        (saved(Image.new("F", (40, 30)), "TIFF"), "floating-point", False),
    ],
    ids=["empty", "text", "svg", "bytes", "half", "header", "half jpeg", "200 MP", "120 MP", "thin", "64 MiB",
         "floats"],
)  # fmt: skip
def test_what_is_no_picture_is_refused_in_one_sentence(data: bytes, says: str, limited: bool) -> None:
    with pytest.raises(RequestError, match=says) as refused:
        read_picture(data, field="references.3")
    assert refused.value.field == "references.3" and refused.value.message.startswith("references.3 ")
    assert "\n" not in refused.value.message
    assert (refused.value.limit is not None) == limited


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_file_is_read_or_refused_and_never_more(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"]))
    file = bytearray(saved(Image.fromarray(RAMP), kind))
    for _ in range(data.draw(st.integers(1, 4))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    try:
        taken = read_picture(bytes(file[: data.draw(st.integers(0, len(file)))]))
    except RequestError as error:
        assert error.field == "file" and "\n" not in error.message
    else:
        assert taken.picture.mode == "RGB"
