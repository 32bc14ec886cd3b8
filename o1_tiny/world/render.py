"""Scene values in, pixels out, in NumPy: the definition that the GPU renderer of the training must agree with."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from o1_tiny.world.glyphs import (
    ADVANCE,
    CELL_COLUMNS,
    CELL_LEFT,
    CELL_ROWS,
    CELL_TOP,
    HALF_STROKE,
    LETTER_HEIGHT,
    SAMPLES,
    glyph_tables,
    text_width,
)  # fmt: skip
from o1_tiny.world.scenes import (
    BACKGROUND_VALUES,
    BOARD_CORNER,
    BOARD_PAD_X,
    BOARD_PAD_Y,
    MAX_THINGS,
    THING_VALUES,
    Scene,
    pack,
)  # fmt: skip
from o1_tiny.world.shapes import TABLE_REACH, TABLE_SIDE, shape_tables

Floats = npt.NDArray[np.float32]
AnyFloats = npt.NDArray[np.floating[Any]]

EDGE_PX = 5.5  # an edge fades over so many pixels
# those of checks and stripes behind things do not: at 256² and 512² they lie between patches, and one that fades would
# put a second colour into all patches beside it
PATTERN_EDGE_PX = 1.0
CHECKS = 4  # checks, and stripes, that the shorter side is long
STRIPE_PERIOD, STRIPE_SHARE = 5 / 12, 0.5  # of a striped thing, in radii; the share in the thing's own colour
DOT_PITCH, DOT_RADIUS = 5 / 12, 0.122  # of a dotted thing, in radii: nine in a circle or a square
TEXTURE_RIM = 0.11  # in radii: so far from its outline a striped thing is all in its own colour
DOT_RIM = 0.093  # in radii: dots that would come nearer to the outline are left out


def coverage(distance_px: AnyFloats, edge_px: float = EDGE_PX) -> Floats:
    """How much of a pixel lies inside, 0 to 1, from its signed distance in px: a smooth step `edge_px` wide."""
    share = np.clip(0.5 - distance_px / edge_px, 0, 1)
    smooth: Floats = (share * share * (3 - 2 * share)).astype(np.float32)
    return smooth


def sample(table: Floats, column: Floats, row: Floats) -> Floats:
    """A table at fractional columns and rows, bilinear, clamped at its border."""
    rows, columns = table.shape
    column, row = np.clip(column, 0, columns - 1.001), np.clip(row, 0, rows - 1.001)
    left, top = column.astype(int), row.astype(int)
    u, v = column - left, row - top
    upper = table[top, left] * (1 - u) + table[top, left + 1] * u
    lower = table[top + 1, left] * (1 - u) + table[top + 1, left + 1] * u
    found: Floats = upper * (1 - v) + lower * v
    return found


def shape_table_distance(shape: int, x: Floats, y: Floats) -> Floats:
    """Signed distance to the shape of that number and radius 1, from the table."""
    scale = (TABLE_SIDE - 1) / (2 * TABLE_REACH)
    return sample(shape_tables()[shape], (x + TABLE_REACH) * scale, (y + TABLE_REACH) * scale)


def dots_distance(shape: int, x: Floats, y: Floats, phase: float = 0.0) -> Floats:
    """Signed distance in radii to the nearest dot of a dotted thing; beyond all dots where that one is left out.

    `phase`, in pitches, moves the dots; a thing has one in its middle.
    """
    across, down = (((np.floor(at / DOT_PITCH + phase + 0.5) - phase) * DOT_PITCH).astype(np.float32) for at in (x, y))
    whole = shape_table_distance(shape, across, down) < -(DOT_RADIUS + DOT_RIM)
    return np.where(whole, np.hypot(x - across, y - down) - DOT_RADIUS, 1.0).astype(np.float32)


def text_distance(x: Floats, y: Floats, characters: list[int]) -> Floats:
    """Signed distance in grid units to a line of characters centred on the origin."""
    x = x + text_width(len(characters)) / 2 - HALF_STROKE
    y = y + LETTER_HEIGHT / 2 - HALF_STROKE
    which = np.clip(np.floor((x + 1) / ADVANCE), 0, len(characters) - 1).astype(int)
    column = (x - which * ADVANCE - CELL_LEFT) * SAMPLES
    row = (y - CELL_TOP) * SAMPLES
    # one tall table of all letters: a letter is chosen by an offset in rows
    tables = glyph_tables().reshape(-1, CELL_COLUMNS)
    start = np.array(characters)[which] * CELL_ROWS
    inside_column, inside_row = np.clip(column, 0, CELL_COLUMNS - 1.001), np.clip(row, 0, CELL_ROWS - 1.001)
    beyond = np.hypot(column - inside_column, row - inside_row) / SAMPLES  # of a cell: the way to it is added
    found: Floats = sample(tables, inside_column, inside_row + start) + beyond
    return found


def render(scene: Scene, width: int, height: int) -> npt.NDArray[np.uint8]:
    """The picture of a scene, (height, width, 3), as the training shows it."""
    pixels = render_values(pack(scene), width, height)
    levels: npt.NDArray[np.uint8] = np.round((pixels + 1) * 127.5).clip(0, 255).astype(np.uint8)
    return levels


def render_values(values: Floats, width: int, height: int) -> Floats:  # (height, width, 3) in [-1, 1]
    short = min(width, height)
    columns, rows = (np.arange(side, dtype=np.float32) + np.float32(0.5) for side in (width, height))
    column, row = np.meshgrid(columns, rows)
    pixels = _background(values, column, row, width, height)
    for index in range(MAX_THINGS):
        thing = values[BACKGROUND_VALUES + index * THING_VALUES :][:THING_VALUES]
        if thing[0] >= 0:
            pixels = _draw_thing(pixels, thing, column / short, row / short, width, height)
    sign = values[BACKGROUND_VALUES + MAX_THINGS * THING_VALUES :]
    if sign[0] > 0:
        pixels = _draw_sign(pixels, sign, column / short, row / short, width, height)
    return pixels


def _mix(under: Floats, over: Floats, share: AnyFloats) -> Floats:
    mixed: Floats = (under + (over - under) * share[..., None]).astype(np.float32)
    return mixed


def _waves(position: AnyFloats, period: float, share: float, px: float, edge_px: float = EDGE_PX) -> Floats:
    """Coverage of bands of `share` of each `period`, the first centred on 0; `px` pixels are one unit of position."""
    phase = position / period
    nearest = np.abs(phase - np.floor(phase + 0.5)) * period
    return coverage((nearest - share * period / 2) * px, edge_px)


def _background(values: Floats, column: Floats, row: Floats, width: int, height: int) -> Floats:
    first, second = values[1:4], values[4:7]
    flat = np.broadcast_to(first, (*row.shape, 3)).astype(np.float32)
    match int(values[0]):
        case 1:
            return _mix(flat, second, row / height)
        case 2:
            across, down = _checks(column, width, min(width, height)), _checks(row, height, min(width, height))
            return _mix(flat, second, across + down - 2 * across * down)
        case 3:
            return _mix(flat, second, _checks(row, height, min(width, height)))
    return flat


def _checks(position: Floats, side: int, short: int) -> Floats:
    """Every second check along a side, out of its middle; none ends within a quarter of one from the picture's edge."""
    px = short / CHECKS
    half = side / 2 / px
    middle = 0.0 if abs(half - np.floor(half + 0.5)) < 0.25 else 0.5  # a check's own middle, or its end
    return _waves(position / px - half - middle, 2.0, 0.5, px, PATTERN_EDGE_PX)


def _draw_thing(pixels: Floats, thing: Floats, x: Floats, y: Floats, width: int, height: int) -> Floats:
    short = min(width, height)
    shape, center_x, center_y, radius, texture = thing[:5]
    px = radius * short
    u, v = (x - center_x * width / short) / radius, (y - center_y * height / short) / radius
    color: Floats = np.broadcast_to(thing[5:8], pixels.shape)
    distance = shape_table_distance(int(shape), u, v)
    if texture == 1:
        inside = coverage((distance + TEXTURE_RIM) * px)
        color = _mix(color, thing[8:11], inside * (1 - _waves(v, STRIPE_PERIOD, STRIPE_SHARE, px)))
    elif texture == 2:
        color = _mix(color, thing[8:11], coverage(dots_distance(int(shape), u, v) * px))
    return _mix(pixels, color, coverage(distance * px))


def _draw_sign(pixels: Floats, sign: Floats, x: Floats, y: Floats, width: int, height: int) -> Floats:
    short = min(width, height)
    count, center_x, center_y, letter_height = int(sign[0]), *sign[1:4]
    unit = letter_height / LETTER_HEIGHT
    u, v = (x - center_x * width / short) / unit, (y - center_y * height / short) / unit
    half_w = text_width(count) / 2 + BOARD_PAD_X - BOARD_CORNER
    half_h = LETTER_HEIGHT / 2 + BOARD_PAD_Y - BOARD_CORNER
    out_x, out_y = np.abs(u) - half_w, np.abs(v) - half_h
    board = (
        np.hypot(np.maximum(out_x, 0), np.maximum(out_y, 0)) + np.minimum(np.maximum(out_x, out_y), 0) - BOARD_CORNER
    )
    pixels = _mix(pixels, sign[4:7], coverage(board * unit * short))
    letters = text_distance(u, v, [int(index) for index in sign[10 : 10 + count]])
    return _mix(pixels, sign[7:10], coverage(letters * unit * short))
