"""Thumbnails, previews and contact sheets have the sizes that they promise, and missing pictures are seen as such."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hidream_studio.errors import RequestError
from hidream_studio.image.png import decode_png, encode_png
from hidream_studio.image.preview import encode_preview
from hidream_studio.image.sheet import FONT_FILE, MAX_SHEET_AREA_PX, Cell, contact_sheet, contact_sheet_png
from hidream_studio.image.thumbnail import make_thumbnail


def plain(width: int, height: int, colour: tuple[int, int, int] = (200, 30, 30)) -> np.ndarray:
    return np.full((height, width, 3), colour, dtype=np.uint8)


def opened(webp: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(webp))
    assert image.format == "WEBP"
    return image


@pytest.mark.parametrize(
    ("size", "small"), [((512, 512), (384, 384)), ((768, 320), (384, 160)), ((320, 768), (160, 384))]
)
def test_a_thumbnail_keeps_the_shape_and_the_colour(size: tuple[int, int], small: tuple[int, int]) -> None:
    image = opened(make_thumbnail(encode_png(plain(*size))))

    assert image.size == small
    assert np.abs(np.asarray(image.convert("RGB")).astype(int) - (200, 30, 30)).max() < 6


def test_a_small_picture_is_never_enlarged() -> None:
    assert opened(make_thumbnail(encode_png(plain(256, 256)))).size == (256, 256)
    assert opened(encode_preview(plain(256, 128))).size == (256, 128)


def test_a_preview_is_small_whatever_the_picture() -> None:
    assert opened(encode_preview(plain(2048, 2048))).size == (320, 320)
    assert opened(encode_preview(plain(1056, 448))).size == (320, 136)
    assert opened(encode_preview(plain(352, 640))).size == (176, 320)


def test_a_thumbnail_of_what_is_no_png_is_refused() -> None:
    with pytest.raises(RequestError):
        make_thumbnail(b"no picture")


def test_a_sheet_shows_each_picture_in_its_place_and_what_is_missing(tmp_path: Path) -> None:
    red, blue = encode_png(plain(256, 256)), tmp_path / "blue.png"
    blue.write_bytes(encode_png(plain(256, 128, (20, 20, 220))))
    cells = [
        [Cell(red, "1.2 s"), Cell(blue, "3.4 s")],
        [Cell(None, "failed: out of memory"), Cell(tmp_path / "gone.png")],
    ]

    sheet = contact_sheet(cells, cell_side_px=100)

    pixels = np.asarray(sheet).astype(int)
    gap, line = 4, round(11 * 1.5)
    pitch_x, pitch_y = 100 + gap, 100 + line + gap
    centre = [[pixels[gap + row * pitch_y + 40, gap + column * pitch_x + 50] for column in (0, 1)] for row in (0, 1)]
    assert np.abs(centre[0][0] - (200, 30, 30)).max() < 6
    assert np.abs(centre[0][1] - (20, 20, 220)).max() < 6
    assert all(value > 200 for missing in centre[1] for value in missing)  # pale, as no picture here is
    assert (pixels[gap + pitch_y + 100 : gap + pitch_y + 100 + line] < 150).any()  # the reason is written under it


def test_labels_make_room_for_themselves_and_long_ones_are_cut() -> None:
    cells = [[Cell(None), Cell(None)]]

    bare = contact_sheet(cells, cell_side_px=100)
    labelled = contact_sheet(
        cells,
        row_labels=["steps 20 " * 50],
        column_labels=["guidance 1.0 × é", "5"],
        title="a cat " * 500,
        cell_side_px=100,
    )

    assert bare.width < labelled.width < bare.width + 120
    assert bare.height < labelled.height < bare.height + 80


def test_a_sheet_of_hundreds_gets_smaller_cells_instead_of_a_gigabyte() -> None:
    sheet = contact_sheet([[Cell(None)] * 25] * 20, cell_side_px=2048)

    assert sheet.width * sheet.height <= MAX_SHEET_AREA_PX


def test_a_sheet_can_be_saved_as_one_png() -> None:
    png = contact_sheet_png([[Cell(encode_png(plain(64, 64)))]], title="one", cell_side_px=64)

    assert decode_png(png).shape[2] == 3


@pytest.mark.parametrize("cells", [[], [[]], [[Cell(None)], [Cell(None)] * 2], [[Cell(None)] * 101] * 100])
def test_a_grid_that_is_none_is_refused(cells: list[list[Cell]]) -> None:
    with pytest.raises(RequestError) as refusal:
        contact_sheet(cells)

    assert refusal.value.field == "cells"


def test_labels_are_drawn_in_a_font_that_the_package_brings() -> None:
    assert (FONT_FILE.parent / "DEJAVU-LICENSE.txt").is_file()
    cell = [[Cell(png=None)]]
    empty, missing = (contact_sheet(cell, column_labels=[label]) for label in ("", "\uffff"))
    drawn = {label: contact_sheet(cell, column_labels=[label]).tobytes() for label in ("×", "é", "ł", "→")}
    assert len(set(drawn.values()) | {empty.tobytes(), missing.tobytes()}) == len(drawn) + 2, "a shape for each"
