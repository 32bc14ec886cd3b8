"""Scene values in, patches out, batched on the GPU: `o1_tiny.world.render` again, in torch.

Pixels are computed in the patches' own layout, (B, N, 3072), so that nothing is permuted. A test sees that both
renderers agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from o1_tiny.world import glyphs, render, scenes, shapes

PATCH = 32
DISTANCE_POINTS = 3  # along each side of a patch
FAR_PX = 64.0  # further from an outline does not count


@dataclass(frozen=True)
class Tables:
    """The signed distances that everything is drawn from, flat."""

    shapes: Tensor  # (shapes * 128 * 128,)
    glyphs: Tensor  # (characters * 73 * 49,)

    @classmethod
    def on(cls, device: torch.device) -> Tables:
        return cls(
            torch.tensor(shapes.shape_tables(), device=device).flatten(),
            torch.tensor(glyphs.glyph_tables(), device=device).flatten(),
        )


def grid(rows: int, cols: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Pixel centres in px, in the patches' layout: x and y, each (1, N, 1024)."""
    inner = torch.arange(PATCH, device=device, dtype=torch.float32) + 0.5
    top = torch.arange(rows, device=device, dtype=torch.float32) * PATCH
    left = torch.arange(cols, device=device, dtype=torch.float32) * PATCH
    y = (top[:, None, None, None] + inner[None, None, :, None]).expand(rows, cols, PATCH, PATCH)
    x = (left[None, :, None, None] + inner[None, None, None, :]).expand(rows, cols, PATCH, PATCH)
    return x.reshape(1, rows * cols, -1), y.reshape(1, rows * cols, -1)


def coverages(
    values: Tensor,  # (B, SCENE_VALUES)
    x: Tensor,  # (1, N, 1024) px
    y: Tensor,
    size: Tensor,  # (3,) float32: width, height, the shorter of both, px
    shape_table: Tensor,
    glyph_table: Tensor,
) -> list[Tensor]:
    """How much each layer covers each pixel: background, then texture and outline of each thing, board, letters.

    Each is (B, N, 1024), 0 to 1.
    """
    width, height, short = size.unbind()
    v = values[:, :, None, None].unbind(1)  # each (B, 1, 1)
    layers = [_background(v, x, y, width, height, short)]
    u, w = x / short, y / short
    for index in range(scenes.MAX_THINGS):
        layers += _thing(
            v[scenes.BACKGROUND_VALUES + index * scenes.THING_VALUES :], u, w, width, height, short, shape_table
        )
    layers += _sign(v[scenes.BACKGROUND_VALUES + scenes.MAX_THINGS * scenes.THING_VALUES :], u, w, width, height, short,
                    glyph_table)  # fmt: skip
    return layers


def mix(
    values: Tensor,  # (B, SCENE_VALUES)
    layers: list[Tensor],  # of `coverages`
) -> Tensor:  # (B, N, 3, 1024) float32 in [-1, 1]
    """The layers in their colours, one over the other."""

    def color(start: int) -> Tensor:
        return values[:, None, start : start + 3, None]

    cover = [layer[:, :, None].float() for layer in layers]
    pixels = color(1) + (color(4) - color(1)) * cover[0]
    for index in range(scenes.MAX_THINGS):
        start = scenes.BACKGROUND_VALUES + index * scenes.THING_VALUES
        texture, outline = cover[1 + 2 * index], cover[2 + 2 * index]
        painted = color(start + 5) + (color(start + 8) - color(start + 5)) * texture
        pixels = pixels + (painted - pixels) * outline
    start = scenes.BACKGROUND_VALUES + scenes.MAX_THINGS * scenes.THING_VALUES
    pixels = pixels + (color(start + 4) - pixels) * cover[-2]
    return pixels + (color(start + 7) - pixels) * cover[-1]


def render_patches(values: Tensor, rows: int, cols: int, tables: Tables) -> Tensor:
    """Pictures of B scenes as patches, (B, N, 3072) float32 in [-1, 1]."""
    x, y = grid(rows, cols, values.device)
    width, height = cols * PATCH, rows * PATCH
    size = torch.tensor([width, height, min(width, height)], dtype=torch.float32, device=values.device)
    return mix(values, coverages(values, x, y, size, tables.shapes, tables.glyphs)).flatten(2)


def outline_distances(
    values: Tensor,  # (B, SCENE_VALUES)
    rows: int,
    cols: int,
    tables: Tables,
) -> Tensor:  # (B, N, 2, DISTANCE_POINTS**2), px, at most FAR_PX
    """How far a grid of points in each patch is from outlines: of things and boards, and of letters; negative within.

    The points reach from border to border, so that neighbours share those between them. Near an outline a distance is
    that to the nearest one; further away it is up to a fifth too long, since the way to a thing's table is added.
    """
    device, width, height = values.device, cols * PATCH, rows * PATCH
    inner = torch.linspace(0, PATCH, DISTANCE_POINTS, device=device)
    y, x = (
        (torch.arange(count, device=device)[:, None] * PATCH + inner).view(*shape)
        for count, shape in ((rows, (rows, 1, -1, 1)), (cols, (1, cols, 1, DISTANCE_POINTS)))
    )
    short = torch.full((), float(min(width, height)), device=device)
    u, w = (
        (at.expand(rows, cols, DISTANCE_POINTS, DISTANCE_POINTS).reshape(1, rows * cols, -1) / short) for at in (x, y)
    )
    sides = (short.new_full((), float(width)), short.new_full((), float(height)), short)
    v = values[:, :, None, None].unbind(1)
    nearest = torch.full((len(values), *u.shape[1:]), FAR_PX, device=device)
    for index in range(scenes.MAX_THINGS):
        thing = v[scenes.BACKGROUND_VALUES + index * scenes.THING_VALUES :]
        at_x, at_y, px = _of_thing(thing, u, w, *sides)
        distance = _from_outline(thing[0], at_x, at_y, tables.shapes) * px
        nearest = torch.where(thing[0] >= 0, torch.minimum(nearest, distance), nearest)
    sign = v[scenes.BACKGROUND_VALUES + scenes.MAX_THINGS * scenes.THING_VALUES :]
    board, letters = _from_board_and_letters(sign, u, w, *sides, tables.glyphs)
    nearest = torch.where(sign[0] > 0, torch.minimum(nearest, board), nearest)
    letters = torch.where(sign[0] > 0, letters.clamp(max=FAR_PX), torch.full_like(letters, FAR_PX))
    return torch.stack((nearest, letters), dim=2)


def _coverage(distance_px: Tensor, edge_px: float = render.EDGE_PX) -> Tensor:
    share = (0.5 - distance_px / edge_px).clamp(0, 1)
    return share * share * (3 - 2 * share)


def _waves(position: Tensor, period: float, share: float, px: Tensor, edge_px: float = render.EDGE_PX) -> Tensor:
    phase = position / period
    nearest = (phase - torch.floor(phase + 0.5)).abs() * period
    return _coverage((nearest - share * period / 2) * px, edge_px)


def _background(v: tuple[Tensor, ...], x: Tensor, y: Tensor, width: Tensor, height: Tensor, short: Tensor) -> Tensor:
    pattern = v[0]
    across, down = _checks(x, width, short), _checks(y, height, short)
    checks = across + down - 2 * across * down
    patterned = torch.where(pattern == 1, y / height, torch.where(pattern == 2, checks, down))
    return torch.where(pattern == 0, torch.zeros_like(patterned), patterned).half()


def _checks(position: Tensor, side: Tensor, short: Tensor) -> Tensor:
    px = short / render.CHECKS
    half = side / 2 / px
    middle = torch.where((half - torch.floor(half + 0.5)).abs() < 0.25, 0.0, 0.5)
    return _waves(position / px - half - middle, 2.0, 0.5, px, render.PATTERN_EDGE_PX)


def _thing(
    v: tuple[Tensor, ...], u: Tensor, w: Tensor, width: Tensor, height: Tensor, short: Tensor, table: Tensor
) -> list[Tensor]:
    shape, texture = v[0], v[4]
    x, y, px = _of_thing(v, u, w, width, height, short)
    striped = 1 - _waves(y, render.STRIPE_PERIOD, render.STRIPE_SHARE, px)
    dotted = _coverage(_dots_distance(shape, x, y, table) * px)
    distance = _from_outline(shape, x, y, table)
    striped = striped * _coverage((distance + render.TEXTURE_RIM) * px)
    painted = torch.where(texture == 1, striped, torch.where(texture == 2, dotted, torch.zeros_like(dotted)))
    outline = torch.where(shape >= 0, _coverage(distance * px), torch.zeros_like(distance))
    return [painted.half(), outline.half()]


def _of_thing(
    v: tuple[Tensor, ...], u: Tensor, w: Tensor, width: Tensor, height: Tensor, short: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Points seen from a thing's centre, in its radii, and how many pixels one of those is."""
    center_x, center_y, radius = v[1:4]
    return (u - center_x * width / short) / radius, (w - center_y * height / short) / radius, radius * short


def _dots_distance(shape: Tensor, x: Tensor, y: Tensor, table: Tensor) -> Tensor:
    """Signed distances in radii to the nearest dot, beyond all dots where that one is left out."""
    across, down = (torch.floor(at / render.DOT_PITCH + 0.5) * render.DOT_PITCH for at in (x, y))
    whole = _from_outline(shape, across, down, table) < -(render.DOT_RADIUS + render.DOT_RIM)
    distance = torch.sqrt((x - across).square() + (y - down).square()) - render.DOT_RADIUS
    return torch.where(whole, distance, torch.ones_like(distance))


def _from_outline(shape: Tensor, x: Tensor, y: Tensor, table: Tensor) -> Tensor:
    """Signed distances in radii, negative within."""
    scale = (shapes.TABLE_SIDE - 1) / (2 * shapes.TABLE_REACH)
    column, row = (x + shapes.TABLE_REACH) * scale, (y + shapes.TABLE_REACH) * scale
    start = shape.clamp(min=0).int() * (shapes.TABLE_SIDE * shapes.TABLE_SIDE)
    return _distance(table, column, row, start, shapes.TABLE_SIDE, shapes.TABLE_SIDE, scale)


def _sign(
    v: tuple[Tensor, ...], u: Tensor, w: Tensor, width: Tensor, height: Tensor, short: Tensor, table: Tensor
) -> list[Tensor]:
    board, letters = _from_board_and_letters(v, u, w, width, height, short, table)
    shown, none = v[0] > 0, torch.zeros_like(letters)
    return [torch.where(shown, _coverage(distance), none).half() for distance in (board, letters)]


def _from_board_and_letters(
    v: tuple[Tensor, ...], u: Tensor, w: Tensor, width: Tensor, height: Tensor, short: Tensor, table: Tensor
) -> tuple[Tensor, Tensor]:
    """Signed distances in px, negative within; a letter's in its own cell. Of a sign that is not there, some."""
    count, center_x, center_y, letter_height = v[:4]
    unit = letter_height / glyphs.LETTER_HEIGHT
    x, y = (u - center_x * width / short) / unit, (w - center_y * height / short) / unit
    half_text = (glyphs.ADVANCE * (count - 1) + 4) / 2 + glyphs.HALF_STROKE
    out_x = x.abs() - (half_text + scenes.BOARD_PAD_X - scenes.BOARD_CORNER)
    out_y = y.abs() - (glyphs.LETTER_HEIGHT / 2 + scenes.BOARD_PAD_Y - scenes.BOARD_CORNER)
    over_x, over_y = out_x.clamp(min=0), out_y.clamp(min=0)
    board = (
        torch.sqrt(over_x * over_x + over_y * over_y) + torch.maximum(out_x, out_y).clamp(max=0) - scenes.BOARD_CORNER
    )
    letter_x = x + half_text - glyphs.HALF_STROKE
    letter_y = y + glyphs.LETTER_HEIGHT / 2 - glyphs.HALF_STROKE
    which = torch.floor((letter_x + 1) / glyphs.ADVANCE).clamp(min=0)
    which = torch.minimum(which, (count - 1).clamp(min=0))
    character = v[10]
    for index in range(1, scenes.MAX_CHARACTERS):
        character = torch.where(which == index, v[10 + index], character)
    start = character.int() * (glyphs.CELL_ROWS * glyphs.CELL_COLUMNS)
    column = (letter_x - which * glyphs.ADVANCE - glyphs.CELL_LEFT) * glyphs.SAMPLES
    row = (letter_y - glyphs.CELL_TOP) * glyphs.SAMPLES
    letters = _distance(table, column, row, start, glyphs.CELL_COLUMNS, glyphs.CELL_ROWS, glyphs.SAMPLES)
    px = unit * short
    return board * px, letters * px


def _distance(
    table: Tensor, column: Tensor, row: Tensor, start: Tensor, columns: int, rows: int, samples: float
) -> Tensor:
    """The flat table of signed distances at fractional columns and rows, bilinear; `start` chooses the part.

    Beyond a part's border the way to it is added; so many `samples` are one unit of distance.
    """
    over_x, over_y = column - column.clamp(0, columns - 1), row - row.clamp(0, rows - 1)
    column, row = column.clamp(0, columns - 1.001), row.clamp(0, rows - 1.001)
    left, top = column.int(), row.int()
    u, v = column - left, row - top
    at = start + top * columns + left
    upper = table[at] * (1 - u) + table[at + 1] * u
    lower = table[at + columns] * (1 - u) + table[at + columns + 1] * u
    return upper * (1 - v) + lower * v + torch.sqrt(over_x * over_x + over_y * over_y) / samples
