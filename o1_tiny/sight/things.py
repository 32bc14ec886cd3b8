"""Which shape stands where: groups of one colour against templates of every shape. Knows no prompts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
import numpy.typing as npt

from o1_tiny.sight.colors import (
    Floats,
    Mask,
    View,
    groups,
    own_or_ink_pixels,
    own_pixels,
    with_rim,
    without_lines,
)
from o1_tiny.world.render import (
    STRIPE_PERIOD,
    STRIPE_SHARE,
    TEXTURE_RIM,
    dots_distance,
    shape_table_distance,
)
from o1_tiny.world.shapes import SHAPES

FRAME_SIDE, FRAME_REACH = 56, 2.3  # groups are compared in a frame of so many spreads around their middle
COARSE_STEP, FINE_STEPS = (
    0.07,
    (0.035, 0.035, 0.0175),
)  # how far a template is moved (in spreads) and scaled to fit better
HOPELESS = 0.15  # so far behind the best, a shape is not fitted more closely
TABLE_SIDE, TABLE_REACH = 481, 1.2  # of the finer tables of the shapes
THING_REACH, TEXTURED_REACH = 0.012, 0.09  # of the short side: pieces of one thing lie closer together than this
LINE_PX = (3, 7)  # lines so thin are no things; the second where the first was not enough
GOOD_IOU = 0.85  # as good as a thing that stands free; below, a second look may be better
MIN_OWN_SHARE = 0.3  # of a striped or dotted thing; of stripes 0.60 and more is its own colour, of dots 0.81
MAX_GROUPS = 6  # of one colour, the largest, that are looked at


@dataclass(frozen=True)
class Fit:
    """One shape laid over a group of pixels as well as it goes."""

    shape: str
    iou: float  # of the pixels in the thing's own colour, 0 to 1
    x: float  # of the grid, in pixels
    y: float
    radius: float


@dataclass(frozen=True)
class _Template:
    """A shape of radius 1, or its part between stripes or dots."""

    shape: int
    texture: str
    phase: float  # 0 or 0.5: where its stripes or dots lie, in periods
    middle_x: float
    middle_y: float
    spread: float  # root mean square distance from the middle


def own_part(shape: int, texture: str, distance: Floats, x: Floats, y: Floats, phase: float = 0.0) -> Mask:
    """Where a thing of radius 1 and that signed distance shows its own colour, not that of its stripes or dots."""
    inside: Mask = distance < 0
    if texture == "plain":
        return inside
    if texture == "striped":
        turns = y / STRIPE_PERIOD + phase
        own: Mask = (np.abs(turns - np.floor(turns + 0.5)) < STRIPE_SHARE / 2) | (distance > -TEXTURE_RIM)
    else:
        own = dots_distance(shape, x, y, phase) > 0
    own_inside: Mask = inside & own
    return own_inside


@cache
def _tables() -> Floats:
    """All shapes' signed distances, (shapes, 481, 481), fine enough to look up the nearest sample."""
    line = np.linspace(-TABLE_REACH, TABLE_REACH, TABLE_SIDE, dtype=np.float32)
    x, y = np.meshgrid(line, line)
    return np.stack([shape_table_distance(number, x, y) for number in range(len(SHAPES))])


def shape_distance(shape: int, x: Floats, y: Floats) -> Floats:
    """Signed distance to a shape of radius 1, of the nearest sample."""
    scale = (TABLE_SIDE - 1) / (2 * TABLE_REACH)
    column, row = (np.clip(at * scale + (TABLE_SIDE // 2 + 0.5), 0, TABLE_SIDE - 1).astype(np.intp) for at in (x, y))
    found: Floats = _tables()[shape][row, column]
    return found


@cache
def _templates(textured: bool) -> tuple[_Template, ...]:
    line = np.linspace(-TABLE_REACH, TABLE_REACH, TABLE_SIDE, dtype=np.float32)
    x, y = np.meshgrid(line, line)
    looks = product(("striped", "dotted"), (0.0, 0.5)) if textured else [("plain", 0.0)]
    found = []
    for (texture, phase), shape in product(looks, range(len(SHAPES))):
        own = own_part(shape, texture, _tables()[shape], x, y, phase)
        found.append(_Template(shape, texture, phase, *_moments(x[own], y[own])))
    return tuple(found)


def _moments(x: Floats, y: Floats) -> tuple[float, float, float]:
    middle_x, middle_y = float(x.mean()), float(y.mean())
    return middle_x, middle_y, float(np.sqrt(np.mean((x - middle_x) ** 2 + (y - middle_y) ** 2)))


@cache
def _frame() -> tuple[Floats, Floats]:
    line = ((np.arange(FRAME_SIDE, dtype=np.float32) + 0.5) / FRAME_SIDE * 2 - 1) * FRAME_REACH
    across, down = (at.astype(np.float32) for at in np.meshgrid(line, line))
    return across, down


Move = tuple[float, float, float]  # scale, shift to the right and down in spreads


def _moves(around: Move, step: float) -> list[Move]:
    scale, across, down = around
    steps = (-step, 0.0, step)
    return [(scale * (1 + grow), across + right, down + lower) for grow, right, lower in product(steps, steps, steps)]


def _axis_moves(around: Move, step: float) -> list[Move]:
    """The move itself, and six that differ from it in one respect."""
    scale, across, down = around
    return [around, (scale * (1 + step), across, down), (scale * (1 - step), across, down),
            (scale, across + step, down), (scale, across - step, down),
            (scale, across, down + step), (scale, across, down - step)]  # fmt: skip


def _drawn(template: _Template, moves: list[Move]) -> npt.NDArray[np.float32]:
    """The template in the frame, moved in each way, (moves, FRAME_SIDE²), 0 or 1."""
    across, down = (at.ravel() for at in _frame())
    scale, right, lower = (np.array(values, dtype=np.float32)[:, None] for values in zip(*moves, strict=True))
    x = template.middle_x + (across - right) * template.spread / scale
    y = template.middle_y + (down - lower) * template.spread / scale
    distance = shape_distance(template.shape, x, y)
    drawn = own_part(template.shape, template.texture, distance, x, y, template.phase)
    return drawn.astype(np.float32)


@cache
def _stack(textured: bool) -> tuple[Floats, Floats]:
    """All templates in all coarse moves, (templates * moves, FRAME_SIDE²), and their areas."""
    moves = _moves((1.0, 0.0, 0.0), COARSE_STEP)
    stack = np.concatenate([_drawn(template, moves) for template in _templates(textured)])
    return stack, stack.sum(axis=1)


def _ious(drawn: Floats, areas: Floats, seen: Floats) -> Floats:
    common = drawn @ seen
    ious: Floats = common / np.maximum(areas + seen.sum() - common, 1)
    return ious


def fits(box: tuple[slice, slice], piece: Mask, *, textured: bool) -> list[Fit]:
    """Every shape laid over a group, the best first; those that may be meant are fitted closely."""
    rows, columns = np.nonzero(piece)
    middle_x, middle_y, spread = _moments(columns.astype(np.float32) + 0.5, rows.astype(np.float32) + 0.5)
    spread = max(spread, 1.0)
    across, down = _frame()
    column, row = (
        np.floor(at * spread + middle).astype(np.intp) for at, middle in ((across, middle_x), (down, middle_y))
    )
    inside = (row >= 0) & (row < piece.shape[0]) & (column >= 0) & (column < piece.shape[1])
    frame = np.zeros(across.shape, dtype=np.float32)
    frame[inside] = piece[row[inside], column[inside]]
    seen: Floats = frame.ravel()

    templates, moves = _templates(textured), _moves((1.0, 0.0, 0.0), COARSE_STEP)
    ious = _ious(*_stack(textured), seen).reshape(len(templates), len(moves))
    best: dict[int, tuple[float, _Template, Move]] = {}
    for template, row_of_ious in zip(templates, ious, strict=True):
        which = int(row_of_ious.argmax())
        if template.shape not in best or row_of_ious[which] > best[template.shape][0]:
            best[template.shape] = (float(row_of_ious[which]), template, moves[which])
    found: list[Fit] = []
    for iou, template, move in sorted(best.values(), key=lambda one: -one[0]):
        if not found or iou > found[0].iou - HOPELESS:
            iou, move = _closer(template, move, iou, seen)
        radius = spread * move[0] / template.spread
        x = box[1].start + middle_x + spread * move[1] - template.middle_x * radius
        y = box[0].start + middle_y + spread * move[2] - template.middle_y * radius
        found.append(Fit(SHAPES[template.shape], iou, x, y, radius))
    return sorted(found, key=lambda fit: -fit.iou)


def _closer(template: _Template, move: Move, iou: float, seen: Floats) -> tuple[float, Move]:
    for step in FINE_STEPS:
        moves = _axis_moves(move, step)
        drawn = _drawn(template, moves)
        ious = _ious(drawn, drawn.sum(axis=1), seen)
        which = int(ious.argmax())
        if ious[which] > iou:
            iou, move = float(ious[which]), moves[which]
    return iou, move


def find(view: View, color: str, *, textured: bool) -> list[list[Fit]]:
    """Each group of that colour with every shape laid over it, the best first."""
    if not textured:
        return _search(own_pixels(view, color), view, LINE_PX, THING_REACH, rim_of=color)
    # where stripes and dots differ from what is behind, they and the thing's own colour are one solid shape
    own = own_pixels(view, color, textured=True)
    found = _search(own_or_ink_pixels(view, color), view, LINE_PX[:1], THING_REACH, own=own)
    if any(fits[0].iou >= GOOD_IOU for fits in found):
        return found
    return found + _search(own, view, LINE_PX[:1], TEXTURED_REACH, textured=True, rim_of=color)


def _search(
    mask: Mask, view: View, lines: tuple[int, ...], reach: float, *, textured: bool = False, own: Mask | None = None,
    rim_of: str | None = None,
) -> list[list[Fit]]:  # fmt: skip
    """The fits of every group that may be a thing: not the whole picture, nor, given `own`, stripes or dots alone."""
    found: list[list[Fit]] = []
    for line in lines:
        kept = without_lines(mask, line)
        kept = kept if rim_of is None else with_rim(view, kept, rim_of)
        pieces = groups(kept, round(reach * view.short))[:MAX_GROUPS]
        for box, piece in pieces:
            if piece.shape != mask.shape and (own is None or own[box][piece].mean() > MIN_OWN_SHARE):
                found.append(fits(box, piece, textured=textured))
        if any(one[0].iou >= GOOD_IOU for one in found):
            break
    return found


def silhouette(view: View, fit: Fit, grow_px: float = 0.0) -> Mask:
    """Where the grid shows that thing, or what lies within `grow_px` of it."""
    rows, columns = view.names.shape
    x, y = np.meshgrid(np.arange(columns, dtype=np.float32) + 0.5, np.arange(rows, dtype=np.float32) + 0.5)
    distance = shape_distance(SHAPES.index(fit.shape), (x - fit.x) / fit.radius, (y - fit.y) / fit.radius)
    covered: Mask = distance * fit.radius < grow_px
    return covered
