"""A PNG of ours as JPEG or WebP: its settings come along where they fit, and it is said where they do not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from hidream_studio.errors import RequestError
from hidream_studio.image.convert import Kind, converted, kind_of
from hidream_studio.image.png import encode_png

PIXELS = np.full((64, 96, 3), 200, np.uint8)


def test_a_png_stays_as_it_is() -> None:
    png = encode_png(PIXELS, {"parameters": "x"})
    assert converted(png, "png") == (png, None)


@pytest.mark.parametrize(("kind", "lost"), [("jpeg", True), ("webp", False)])
def test_settings_that_a_file_cannot_carry_are_told_to_be_lost(kind: Kind, lost: bool) -> None:
    file, said = converted(encode_png(PIXELS, {"parameters": "🙂" * 20_000}), kind)
    image = Image.open(io.BytesIO(file))
    assert image.size == (96, 64)
    assert (said is not None, not image.getexif()) == (lost, lost)


def test_a_picture_without_settings_is_written_without() -> None:
    file, said = converted(encode_png(PIXELS), "jpeg")
    assert Image.open(io.BytesIO(file)).format == "JPEG" and said is None


def test_a_suffix_that_is_not_written_is_refused_with_those_that_are() -> None:
    assert (kind_of(""), kind_of(".JPG"), kind_of(".webp")) == ("png", "jpeg", "webp")
    with pytest.raises(RequestError, match=r"not written as \.avif; only as \.png, \.jpg, \.jpeg, \.webp"):
        kind_of(".avif")
