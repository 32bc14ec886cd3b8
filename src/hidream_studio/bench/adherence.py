"""Does a picture show what its prompt asks for? Knows o1-tiny's small world by its templates; needs no learned model.

Pixels are named by the nearest colour of the palette; what has one colour is grouped, and each group is compared with
the templates of all shapes and textures; signs are read letter by letter. Whatever a prompt leaves out may be drawn in
any way.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from hidream_studio.bench.world.captions import Asked, AskedSign, AskedThing
from hidream_studio.bench.world.glyphs import (
    ADVANCE,
    CHARACTERS,
    HALF_STROKE,
    LETTER_HEIGHT,
    SAMPLES,
    glyph_tables,
    text_width,
)  # fmt: skip
from hidream_studio.bench.world.palette import PALETTE, PALETTE_NAMES, ink_for, palette_levels
from hidream_studio.bench.world.render import (
    DOT_PITCH,
    DOT_RADIUS,
    STRIPE_PERIOD,
    STRIPE_SHARE,
    render_values,
    shape_table_distance,
)  # fmt: skip
from hidream_studio.bench.world.scenes import (
    BOARD_PAD_X,
    BOARD_PAD_Y,
    MAX_CHARACTERS,
    PLACES,
    TEXTURES,
    Background,
    Scene,
    pack,
)  # fmt: skip
from hidream_studio.bench.world.shapes import SHAPES

Pixels = npt.NDArray[np.uint8]  # (height, width, 3)
Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

MAX_COLOR_DISTANCE = 46.0  # sRGB levels; a pixel farther from every named colour has none
GRID_SHORT_SIDE = 200  # groups are looked for on a grid about so fine
TEMPLATE_SIDE = 48
MIN_IOU, MIN_TEXTURED_IOU = 0.74, 0.66
MIN_GROUP_SHARE = 0.0022  # of the short side squared; smaller specks are no things
GROUP_REACH = 0.05  # of the short side: stripes of one thing lie closer together than this, twice
PLACE_TOLERANCE = 0.145
SIZE_LIMITS = {"small": (0.0, 0.146), "medium": (0.112, 0.235), "large": (0.185, 1.0)}
MAX_UNEXPLAINED = 0.012  # share of a plain background that may be something else
MIN_BACKGROUND_MATCH = 0.9


@dataclass(frozen=True)
class Found:
    """Something seen in the picture."""

    shape: str
    color: str
    texture: str
    iou: float
    x: float  # of the width
    y: float  # of the height
    radius: float  # of the shorter side
    box: tuple[slice, slice]  # on the coarse grid: rows, columns


@dataclass(frozen=True)
class Verdict:
    """What is wrong, in words; nothing wrong means that the picture shows what was asked."""

    wrong: tuple[str, ...]
    things: tuple[Found | None, ...]  # as asked, in order
    text: str | None  # what the sign reads

    @property
    def right(self) -> bool:
        return not self.wrong


def check(pixels: Pixels, asked: Asked) -> Verdict:
    """Compare a picture with everything that its prompt says."""
    names = color_names(pixels)
    short = min(names.shape)
    step = max(1, round(short / GRID_SHORT_SIDE))
    coarse, coarse_pixels = names[step // 2 :: step, step // 2 :: step], pixels[step // 2 :: step, step // 2 :: step]
    wrong: list[str] = []
    boxes: list[tuple[slice, slice]] = []
    things = _things(coarse_pixels, coarse, asked.things, wrong, boxes)
    text, sign_at = None, None
    if asked.sign is not None:
        text, sign_at = _sign(pixels, names, asked.sign, wrong, boxes, step)
    _relation(asked.relation, things, sign_at, wrong)
    _surroundings(coarse_pixels, coarse, asked.background, boxes, wrong)
    return Verdict(tuple(wrong), things, text)


def color_names(pixels: Pixels) -> npt.NDArray[np.int8]:
    """For each pixel the index in PALETTE_NAMES of its colour, or -1, (height, width)."""
    reduced = pixels >> 2
    names: npt.NDArray[np.int8] = _color_table()[reduced[..., 0], reduced[..., 1], reduced[..., 2]]
    return names


@cache
def _color_table() -> npt.NDArray[np.int8]:
    levels = np.arange(64, dtype=np.float32) * 4 + 2
    cube = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    nearest = np.full(len(cube), -1, dtype=np.int8)
    best = np.full(len(cube), MAX_COLOR_DISTANCE, dtype=np.float32)
    for index, color in enumerate(palette_levels()):
        distance = np.linalg.norm(cube - color, axis=1)
        closer = distance < best
        nearest[closer], best[closer] = index, distance[closer]
    return nearest.reshape(64, 64, 64)


@dataclass(frozen=True)
class _Template:
    shape: str
    texture: str
    mask: Mask  # (48, 48), the part in the thing's own colour, cut to its bounding box
    left: float  # the bounding box, in radii from the centre
    top: float
    width: float
    height: float


def _own_part(texture: str, x: Floats, y: Floats) -> Mask:
    """Where a thing of radius 1 shows its own colour, not that of its stripes or dots."""
    if texture == "striped":
        own: Mask = np.abs(y / STRIPE_PERIOD - np.floor(y / STRIPE_PERIOD + 0.5)) < STRIPE_SHARE / 2
        return own
    if texture == "dotted":
        dx, dy = ((at - np.floor(at / DOT_PITCH + 0.5) * DOT_PITCH) for at in (x, y))
        outside_dots: Mask = np.hypot(dx, dy) > DOT_RADIUS
        return outside_dots
    return np.ones(x.shape, dtype=bool)


@cache
def _templates() -> tuple[_Template, ...]:
    side = 481
    line = np.linspace(-1.2, 1.2, side, dtype=np.float32)
    x, y = np.meshgrid(line, line)
    found = []
    for number, shape in enumerate(SHAPES):
        inside = shape_table_distance(number, x, y) < 0
        for texture in TEXTURES:
            mask = inside & _own_part(texture, x, y)
            rows, columns = _bounds(mask)
            unit = 2.4 / (side - 1)
            found.append(_Template(
                shape, texture, _resize(mask[rows, columns]), float(line[columns.start]), float(line[rows.start]),
                (columns.stop - columns.start) * unit, (rows.stop - rows.start) * unit,
            ))  # fmt: skip
    return tuple(found)


def _bounds(mask: Mask) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _resize(mask: Mask) -> Mask:
    picture = Image.fromarray(mask.astype(np.uint8) * 255).resize((TEMPLATE_SIDE, TEMPLATE_SIDE), Image.Resampling.BOX)
    inside: Mask = np.asarray(picture) > 127
    return inside


def groups(mask: Mask) -> list[tuple[tuple[slice, slice], Mask]]:
    """Each group of marked pixels, pieces that lie close together taken as one: bounding box and mask inside it."""
    short = min(mask.shape)
    if mask.sum() < MIN_GROUP_SHARE * short * short:
        return []
    reach = max(1, round(GROUP_REACH * short))
    near = ndimage.distance_transform_edt(~mask) <= reach
    labels, _ = ndimage.label(near)
    found = []
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        inside = mask[box] & (labels[box] == number)
        if inside.sum() < MIN_GROUP_SHARE * short * short:
            continue
        inside = _without_specks(inside)
        rows, columns = _bounds(inside)
        start_row, start_column = box[0].start, box[1].start
        at = (slice(rows.start + start_row, rows.stop + start_row),
              slice(columns.start + start_column, columns.stop + start_column))  # fmt: skip
        found.append((at, inside[rows, columns]))
    return found


def _without_specks(mask: Mask) -> Mask:
    """Without pieces that are tiny beside the whole: faded edges can look like another colour for a pixel."""
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    if count < 2:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    keep = sizes >= max(3, 0.006 * sizes.sum())
    kept: Mask = keep[labels]
    return kept if kept.any() else mask


def _own(pixels: Pixels, names: npt.NDArray[np.int8], color: str, texture: str) -> Mask:
    """The pixels in a thing's own colour; where stripes or dots fade into it, those that are more own than other."""
    mask: Mask = names == PALETTE_NAMES.index(color)
    if texture != "plain":
        own = np.array(PALETTE[color], dtype=np.float32)
        axis = np.array(PALETTE[ink_for(color)], dtype=np.float32) - own
        offset = pixels - own
        share = (offset @ axis / (axis @ axis)).clip(0, None)
        mask = mask | ((share < 0.45) & (np.linalg.norm(offset - share[..., None] * axis, axis=-1) < 30))
    return mask


def find(mask: Mask, color: str) -> list[Found]:
    """All things in a mask of that colour on the grid, each as the shape and texture that it resembles most."""
    height, width = mask.shape
    short = min(height, width)
    found = []
    for (rows, columns), piece in groups(mask):
        box_height, box_width = rows.stop - rows.start, columns.stop - columns.start
        small = _resize(piece)
        best: Found | None = None
        for template in _templates():
            radius = 0.5 * (box_height / template.height + box_width / template.width)
            stretch = (box_height / template.height) / (box_width / template.width)
            iou = (small & template.mask).sum() / max((small | template.mask).sum(), 1)
            iou *= 1 - min(1.0, max(0.0, abs(np.log(stretch)) - 0.06))
            if best is None or iou > best.iou:
                x = (columns.start - template.left * radius) / width
                y = (rows.start - template.top * radius) / height
                box = (rows, columns)
                best = Found(template.shape, color, template.texture, float(iou), x, y, radius / short, box)
        if best is not None:
            found.append(best)
    return found


def _refine(mask: Mask, found: Found, thing: AskedThing) -> Found:
    """`found`, or the asked thing a little off where that fits: a missing tip of a striped star moves its whole box."""
    if (found.shape, found.texture) == (thing.shape, thing.texture) and found.iou >= MIN_IOU:
        return found
    height, width = mask.shape
    short = min(height, width)
    rows, columns = found.box
    template = next(t for t in _templates() if (t.shape, t.texture) == (thing.shape, thing.texture))
    guess = max((rows.stop - rows.start) / template.height, (columns.stop - columns.start) / template.width)
    middle_x, middle_y = (columns.start + columns.stop) / 2, (rows.start + rows.stop) / 2
    margin = round(0.15 * guess) + 1
    area = (
        slice(max(rows.start - margin, 0), rows.stop + margin),
        slice(max(columns.start - margin, 0), columns.stop + margin),
    )
    seen = mask[area]
    y, x = np.mgrid[area[0].start : area[0].start + seen.shape[0], area[1].start : area[1].start + seen.shape[1]] + 0.5
    best = found
    for radius in guess * np.array([0.9, 0.95, 1.0, 1.05, 1.1, 1.15]):
        center_x = middle_x - (template.left + template.width / 2) * radius
        for shift in np.array([-0.12, -0.08, -0.04, 0, 0.04, 0.08, 0.12]) * radius:
            center_y = middle_y - (template.top + template.height / 2) * radius + shift
            u, v = ((x - center_x) / radius).astype(np.float32), ((y - center_y) / radius).astype(np.float32)
            drawn = (shape_table_distance(SHAPES.index(thing.shape), u, v) < 0) & _own_part(thing.texture, u, v)
            iou = float((drawn & seen).sum() / max((drawn | seen).sum(), 1))
            if iou > best.iou:
                best = Found(thing.shape, thing.color, thing.texture, iou, center_x / width, center_y / height,
                             radius / short, found.box)  # fmt: skip
    return best


def _things(
    pixels: Pixels,
    names: npt.NDArray[np.int8],
    asked: tuple[AskedThing, ...],
    wrong: list[str],
    boxes: list[tuple[slice, slice]],
) -> tuple[Found | None, ...]:
    seen: dict[tuple[str, bool], list[Found]] = {}
    chosen: list[Found | None] = []
    for thing in asked:
        kind = (thing.color, thing.texture == "plain")
        if kind not in seen:
            seen[kind] = find(_own(pixels, names, thing.color, thing.texture), thing.color)
        fit = [found for found in seen[kind] if found not in chosen]
        if thing.texture != "plain":
            mask = _own(pixels, names, thing.color, thing.texture)
            fit = [_refine(mask, found, thing) for found in fit]
        least = MIN_IOU if thing.texture == "plain" else MIN_TEXTURED_IOU
        same = [found for found in fit if found.shape == thing.shape and found.iou >= least]
        what = f"{thing.color} {thing.shape}"
        if not same:
            chosen.append(None)
            others = ", ".join(f"{f.texture} {f.shape} {f.iou:.2f}" for f in fit)
            wrong.append(f"no {what}" + (f", but in {thing.color}: {others}" if others else ""))
            continue
        best = max(same, key=lambda found: (_placed(found, thing.place), found.texture == thing.texture, found.iou))
        chosen.append(best)
        boxes.append(best.box)
        if best.texture != thing.texture:
            wrong.append(f"the {what} is {best.texture}, not {thing.texture}")
        if not _placed(best, thing.place):
            wrong.append(f"the {what} is at ({best.x:.2f}, {best.y:.2f}), not {thing.place}")
        if thing.size is not None:
            low, high = SIZE_LIMITS[thing.size]
            if not low <= best.radius <= high:
                wrong.append(f"the {what} has radius {best.radius:.3f}: not {thing.size}")
    return tuple(chosen)


def _placed(found: Found, place: str | None) -> bool:
    return place is None or _at(found.x, found.y, place)


def _at(x: float, y: float, place: str) -> bool:
    center_x, center_y = PLACES[place]
    return abs(x - center_x) <= PLACE_TOLERANCE and abs(y - center_y) <= PLACE_TOLERANCE


def _relation(
    relation: str | None, things: tuple[Found | None, ...], sign_at: tuple[float, float] | None, wrong: list[str]
) -> None:
    if relation is None or not things or things[0] is None:
        return
    second = things[1] if len(things) > 1 else None
    other = sign_at if second is None else (second.x, second.y)
    if other is None:
        return
    x, y = other[0] - things[0].x, other[1] - things[0].y
    along, across = {"left of": (x, y), "right of": (-x, y), "above": (y, x), "below": (-y, x)}[relation]
    if along < 0.08 or abs(across) > 0.8 * along:
        wrong.append(f"the first is not {relation} the second: ({x:.2f}, {y:.2f}) apart")


def _surroundings(
    pixels: Pixels, names: npt.NDArray[np.int8], background: Background | None, boxes: list[tuple[slice, slice]],
    wrong: list[str],
) -> None:  # fmt: skip
    """The background where it was said; and that nothing else is there where it is plain."""
    height, width = names.shape
    free = np.ones(names.shape, dtype=bool)
    grow = round(0.02 * min(height, width)) + 1
    for rows, columns in boxes:
        free[max(rows.start - grow, 0) : rows.stop + grow, max(columns.start - grow, 0) : columns.stop + grow] = False
    if not free.any():
        return
    if background is not None:
        # drawn as the definition draws it, at the coarse grid's size; edges of checks and stripes are left out
        scene = Scene("one", background, (), None, "free")
        expected = np.round((render_values(pack(scene), width, height) + 1) * 127.5)
        near = np.linalg.norm(pixels.astype(np.float32) - expected, axis=-1) < MAX_COLOR_DISTANCE
        needed = MIN_BACKGROUND_MATCH if background.pattern in ("plain", "gradient") else 0.72
        if near[free].mean() < needed:
            wrong.append(f"the background is {near[free].mean():.0%} {background.color} {background.pattern}")
        plain = background.pattern == "plain"
    else:
        counts = np.bincount(names[free].astype(np.int64) + 1, minlength=len(PALETTE_NAMES) + 1)[1:]
        plain = bool(counts.max() > 0.97 * free.sum())
        near = names == int(counts.argmax())
    if plain:
        # the largest piece, so that a faint edge somewhere is no thing
        labels, count = ndimage.label(free & ~near)
        largest = np.bincount(labels.ravel())[1:].max() if count else 0
        if largest > MAX_UNEXPLAINED * free.size:
            wrong.append(f"something else covers {largest / free.size:.1%} of the background")


def _sign(
    pixels: Pixels, names: npt.NDArray[np.int8], asked: AskedSign, wrong: list[str], boxes: list[tuple[slice, slice]],
    step: int,
) -> tuple[str | None, tuple[float, float] | None]:  # fmt: skip
    boards = [asked.board] if asked.board else [PALETTE_NAMES[index] for index in np.unique(names) if index >= 0]
    coarse = names[step // 2 :: step, step // 2 :: step]
    candidates = [(fit, board, box) for board in boards for fit, box in _board_boxes(coarse, board)]
    readings = [
        (read_sign(pixels, board, _fine(box, step), asked.ink), fit, board, box) for fit, board, box in candidates
    ]
    if not readings:
        wrong.append(f"no {asked.board or 'sign'} board")
        return None, None
    (text, score), _, board, (rows, columns) = max(readings, key=lambda reading: reading[0][1] + reading[1])
    boxes.append((rows, columns))
    height, width = coarse.shape
    x, y = (columns.start + columns.stop) / 2 / width, (rows.start + rows.stop) / 2 / height
    if text != asked.text:
        wrong.append(f"the {board} sign reads {text!r} ({score:.2f}), not {asked.text!r}")
    if asked.place is not None and not _at(x, y, asked.place):
        wrong.append(f"the sign is at ({x:.2f}, {y:.2f}), not {asked.place}")
    return text, (x, y)


def _fine(box: tuple[slice, slice], step: int) -> tuple[slice, slice]:
    rows, columns = box
    return slice(rows.start * step, rows.stop * step), slice(columns.start * step, columns.stop * step)


def _board_boxes(names: npt.NDArray[np.int8], board: str) -> list[tuple[float, tuple[slice, slice]]]:
    """Groups of that colour that are rectangles once their letters are filled in, with how well they fit."""
    found = []
    height, width = names.shape
    for (rows, columns), mask in groups(names == PALETTE_NAMES.index(board)):
        if rows.stop - rows.start > 0.8 * height and columns.stop - columns.start > 0.8 * width:
            continue  # that is the background
        share = float(ndimage.binary_fill_holes(mask).mean())
        if share > 0.85:
            found.append((share, (rows, columns)))
    return found


CELL_WIDTH, CELL_HEIGHT = 5.2, LETTER_HEIGHT + 0.8  # what is compared of a letter, in units
READ_SAMPLES = 4  # a unit
SLACK = 2  # how far a letter may be off, in samples


@cache
def _letter_templates() -> Floats:
    """Coverage of all letters, (characters, rows, columns) at READ_SAMPLES a unit, each with mean 0 and norm 1."""
    every = SAMPLES // READ_SAMPLES
    left, top = -HALF_STROKE - (CELL_WIDTH - 4 - 2 * HALF_STROKE) / 2, -HALF_STROKE - 0.4
    columns = np.round((left + 1.0 + (np.arange(round(CELL_WIDTH * READ_SAMPLES)) + 0.5) / READ_SAMPLES) * SAMPLES)
    rows = np.round((top + 1.5 + (np.arange(round(CELL_HEIGHT * READ_SAMPLES)) + 0.5) / READ_SAMPLES) * SAMPLES)
    distance = glyph_tables()[:, rows.astype(int)][:, :, columns.astype(int)]
    cover = np.clip(0.5 - distance * READ_SAMPLES / every, 0, 1)
    cover = cover - cover.mean(axis=(1, 2), keepdims=True)
    letters: Floats = (cover / np.linalg.norm(cover, axis=(1, 2), keepdims=True)).astype(np.float32)
    return letters


def read_sign(pixels: Pixels, board: str, box: tuple[slice, slice], ink: str | None) -> tuple[str, float]:
    """What the sign in that box reads, and how sure that is: the mean correlation with the letters' templates."""
    crop = pixels[box].astype(np.float32)
    contrast = _ink_share(crop, board, ink)
    unit = crop.shape[0] / (LETTER_HEIGHT + 2 * BOARD_PAD_Y)
    count = round((crop.shape[1] / unit - 2 * BOARD_PAD_X - 4 - 2 * HALF_STROKE) / ADVANCE) + 1
    count = min(max(count, 1), MAX_CHARACTERS + 2)
    width, height = text_width(count) + 2 * BOARD_PAD_X, LETTER_HEIGHT + 2 * BOARD_PAD_Y
    size = (round(width * READ_SAMPLES), round(height * READ_SAMPLES))
    even = np.asarray(Image.fromarray(contrast).resize(size, Image.Resampling.BILINEAR))
    text = ""
    scores: list[float] = []
    for index in range(count):
        character, score = _read_letter(even, BOARD_PAD_X + index * ADVANCE + HALF_STROKE)
        text, scores = text + character, [*scores, score]
    return text, float(np.mean(scores))


def _ink_share(crop: Floats, board: str, ink: str | None) -> Floats:
    """How much of each pixel is ink, 0 to 1, (rows, columns)."""
    base = np.array(PALETTE[board], dtype=np.float32)
    offset = crop - base
    if ink is not None:
        axis = np.array(PALETTE[ink], dtype=np.float32) - base
    else:
        rows, columns = (slice(side // 5, side - side // 5) for side in crop.shape[:2])
        middle = offset[rows, columns].reshape(-1, 3)
        strength = np.linalg.norm(middle, axis=1)
        axis = (
            np.median(middle[strength >= max(np.quantile(strength, 0.9) * 0.8, 1.0)], axis=0)
            if strength.max() > 20
            else base + 1
        )
    share: Floats = np.clip(offset @ axis / max(float(axis @ axis), 1.0), 0, 1).astype(np.float32)
    return share


def _read_letter(even: Floats, letter_left: float) -> tuple[str, float]:
    """The letter whose left end on the grid lies at `letter_left` units, tried a little off in all directions."""
    templates = _letter_templates()
    _, rows, columns = templates.shape
    top = round((BOARD_PAD_Y - 0.4) * READ_SAMPLES)
    left = round((letter_left - HALF_STROKE - (CELL_WIDTH - 4 - 2 * HALF_STROKE) / 2) * READ_SAMPLES)
    best, best_score = "?", -1.0
    for down in range(-SLACK, SLACK + 1):
        for across in range(-SLACK, SLACK + 1):
            start_row, start_column = top + down, left + across
            if start_row < 0 or start_column < 0:
                continue
            window = even[start_row : start_row + rows, start_column : start_column + columns]
            if window.shape != (rows, columns):
                continue
            window = window - window.mean()
            scores = np.tensordot(templates, window, axes=2) / max(float(np.linalg.norm(window)), 1e-3)
            which = int(scores.argmax())
            if scores[which] > best_score:
                best, best_score = CHARACTERS[which], float(scores[which])
    return best, best_score
