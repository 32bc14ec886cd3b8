"""Boards and what is written on them, letter by letter, by template correlation. Knows no prompts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
from PIL import Image
from scipy import ndimage

from o1_tiny.sight.colors import Floats, View, groups, of_color, without_lines
from o1_tiny.world.glyphs import (
    ADVANCE,
    CHARACTERS,
    HALF_STROKE,
    LETTER_HEIGHT,
    SAMPLES,
    glyph_tables,
    text_width,
)  # fmt: skip
from o1_tiny.world.palette import PALETTE, PALETTE_NAMES
from o1_tiny.world.scenes import BOARD_PAD_X, BOARD_PAD_Y, MAX_CHARACTERS

MIN_BOARD_FILL = 0.85  # of its bounding box, once its letters are filled in
MAX_BOARD_SHARE = 0.8  # of the picture's height and width; what is larger is the background
BOARD_LINE_PX = (3, 5)  # lines so thin belong to no board; the second where the first left none
MIN_BOARD_HEIGHT = 0.1  # of the short side
BOARD_REACH = 0.012  # of the short side: pieces of one board lie closer together than this


@dataclass(frozen=True)
class Reading:
    """A board and what it says."""

    board: str
    text: str
    score: float  # mean correlation with the letters' templates
    in_ink: bool  # in the ink that was asked for
    fill: float  # of the bounding box, 0 to 1
    box: tuple[slice, slice]  # of the grid

    @property
    def middle(self) -> tuple[float, float]:
        """Of the grid, in pixels: x, y."""
        rows, columns = self.box
        return (columns.start + columns.stop) / 2, (rows.start + rows.stop) / 2


def read_signs(view: View, board: str | None, ink: str | None, hoped: str) -> list[Reading]:
    """Every board of that colour (of any, where it is None) with what it says, the likeliest sign first.

    A letter that could as well be that of the `hoped` text is read so.
    """
    boards = [board] if board else [PALETTE_NAMES[index] for index in np.unique(view.names) if index >= 0]
    found = []
    for color in boards:
        for fill, box in _board_boxes(view, color):
            full = tuple(slice(round(side.start * view.scale), round(side.stop * view.scale)) for side in box)
            crop = view.full[full].astype(np.float32)
            found.append(Reading(color, *read_text(crop, color, ink, hoped), fill, box))
    return sorted(found, key=lambda reading: -(reading.score + reading.fill))


def _board_boxes(view: View, board: str) -> list[tuple[float, tuple[slice, slice]]]:
    """Groups of that colour that are rectangles once their letters are filled in, with how well they fit."""
    found = []
    rows_in_all, columns_in_all = view.names.shape
    mask = of_color(view, board)
    for line in BOARD_LINE_PX:
        for (rows, columns), piece in groups(without_lines(mask, line), round(BOARD_REACH * view.short)):
            high, wide = rows.stop - rows.start, columns.stop - columns.start
            if high > MAX_BOARD_SHARE * rows_in_all and wide > MAX_BOARD_SHARE * columns_in_all:
                continue
            fill = float(ndimage.binary_fill_holes(piece).mean())
            if fill > MIN_BOARD_FILL and high > MIN_BOARD_HEIGHT * view.short:
                found.append((fill, (rows, columns)))
        if found:
            break
    return found


CELL_WIDTH, CELL_HEIGHT = 5.2, LETTER_HEIGHT + 0.8  # what is compared of a letter, in units
READ_SAMPLES = 4  # a unit
MIN_LETTER = 0.7  # correlation under which a letter cannot be read; warped or blurred ones keep 0.85
LETTER_SLACK = 0.025  # the two letters most alike, G and 6, correlate by 0.91: a perfect one leads by 0.09
MAX_OFF_INK = 50.0  # sRGB levels: so far may the letters be from every mixture of board and ink
SLACK = 3  # how far a letter may be off, in samples
STRETCHES = (0.93, 1.0, 1.07)  # of its width and of its height


@cache
def _letter_templates() -> Floats:
    """Coverage of all letters, (characters, rows * columns) at READ_SAMPLES a unit, each with mean 0 and norm 1."""
    every = SAMPLES // READ_SAMPLES
    left, top = -HALF_STROKE - (CELL_WIDTH - 4 - 2 * HALF_STROKE) / 2, -HALF_STROKE - 0.4
    columns = np.round((left + 1.0 + (np.arange(round(CELL_WIDTH * READ_SAMPLES)) + 0.5) / READ_SAMPLES) * SAMPLES)
    rows = np.round((top + 1.5 + (np.arange(round(CELL_HEIGHT * READ_SAMPLES)) + 0.5) / READ_SAMPLES) * SAMPLES)
    distance = glyph_tables()[:, rows.astype(int)][:, :, columns.astype(int)]
    cover = np.clip(0.5 - distance * READ_SAMPLES / every, 0, 1)
    cover = cover - cover.mean(axis=(1, 2), keepdims=True)
    letters: Floats = (cover / np.linalg.norm(cover, axis=(1, 2), keepdims=True)).astype(np.float32)
    return letters.reshape(len(letters), -1)


def read_text(crop: Floats, board: str, ink: str | None, hoped: str) -> tuple[str, float, bool]:
    """What a board's pixels, (rows, columns, 3), read, the letters' mean correlation, and whether the ink is that."""
    offset = crop - np.array(PALETTE[board], dtype=np.float32)
    axis, in_ink = _ink_axis(offset, board, ink)
    contrast = np.clip(offset @ axis / max(float(axis @ axis), 1.0), 0, 1).astype(np.float32)
    unit = crop.shape[0] / (LETTER_HEIGHT + 2 * BOARD_PAD_Y)
    count = round((crop.shape[1] / unit - 2 * BOARD_PAD_X - 4 - 2 * HALF_STROKE) / ADVANCE) + 1
    count = min(max(count, 1), MAX_CHARACTERS + 2)
    width, height = text_width(count) + 2 * BOARD_PAD_X, LETTER_HEIGHT + 2 * BOARD_PAD_Y
    evens = [
        (Image.fromarray(contrast).resize(
            (round(width * READ_SAMPLES * wider), round(height * READ_SAMPLES * taller)), Image.Resampling.BILINEAR
        ), wider, taller)
        for wider, taller in product(STRETCHES, STRETCHES)
    ]  # fmt: skip
    text = ""
    scores: list[float] = []
    for index in range(count):
        middle_x, middle_y = BOARD_PAD_X + index * ADVANCE + HALF_STROKE + 2, height / 2
        windows = np.concatenate([
            _windows(np.asarray(even), middle_x * wider, middle_y * taller) for even, wider, taller in evens
        ])  # fmt: skip
        fit = (windows @ _letter_templates().T).max(axis=0)
        text, scores = text + _letter(fit, hoped[index] if len(hoped) == count else ""), [*scores, float(fit.max())]
    return text, float(np.mean(scores)), in_ink


def _letter(fit: Floats, hoped: str) -> str:
    """The character that fits best, or the hoped one where it fits as well; "~" where none does."""
    if fit.max() < MIN_LETTER:
        return "~"
    if hoped and fit[CHARACTERS.index(hoped)] > fit.max() - LETTER_SLACK:
        return hoped
    return CHARACTERS[int(fit.argmax())]


def _ink_axis(offset: Floats, board: str, ink: str | None) -> tuple[Floats, bool]:
    """From the board's colour to the letters', as it is seen, and whether that is the way to the colour `ink`."""
    rows, columns = (slice(side // 5, side - side // 5) for side in offset.shape[:2])
    middle = offset[rows, columns].reshape(-1, 3)
    strength = np.linalg.norm(middle, axis=1)
    seen: Floats = np.median(middle[strength >= np.quantile(strength, 0.9) * 0.8], axis=0).astype(np.float32)
    if ink is None:
        return seen, True
    axis = np.subtract(PALETTE[ink], PALETTE[board]).astype(np.float32)
    share = float(seen @ axis / max(float(axis @ axis), 1.0))
    return seen, 0.5 < share < 1.5 and float(np.linalg.norm(seen - share * axis)) < MAX_OFF_INK


def _windows(even: Floats, middle_x: float, middle_y: float) -> Floats:
    """What lies around that point of an evenly sampled board, given in units, also a little off in all directions.

    Each of the (windows, rows * columns) has mean 0 and norm 1.
    """
    rows, columns = round(CELL_HEIGHT * READ_SAMPLES), round(CELL_WIDTH * READ_SAMPLES)
    padded = np.pad(even, rows)
    top, left = round(middle_y * READ_SAMPLES - rows / 2) + rows, round(middle_x * READ_SAMPLES - columns / 2) + rows
    around = padded[top - SLACK : top + SLACK + rows, left - SLACK : left + SLACK + columns]
    windows = np.lib.stride_tricks.sliding_window_view(around, (rows, columns)).reshape(-1, rows * columns)
    windows = windows - windows.mean(axis=1, keepdims=True)
    normed: Floats = windows / np.maximum(np.linalg.norm(windows, axis=1, keepdims=True), 1e-3)
    return normed
