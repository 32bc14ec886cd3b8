"""Which named colour each pixel has, and which pixels of one colour belong together. Knows no shapes and no prompts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from o1_tiny.world.palette import PALETTE, PALETTE_NAMES, distance, ink_for, palette_levels

Pixels = npt.NDArray[np.uint8]  # (height, width, 3)
Mask = npt.NDArray[np.bool_]  # (height, width)
Floats = npt.NDArray[np.float32]
Names = npt.NDArray[np.int8]  # (height, width), indices in PALETTE_NAMES, -1: none

MAX_COLOR_DISTANCE = 46.0  # sRGB levels; a pixel farther from every named colour has none
COLOR_SLACK = 12.0  # sRGB levels; so much nearer may another name be before a pixel is no longer taken for the first
MAX_FADE_DISTANCE = 60.0  # along the way from a thing's colour to that of its stripes, where both fade into each other
GRID_SHORT_SIDE = 256  # larger pictures are looked at reduced to this
RIM_REACH_PX = 4  # on the grid: within this of a blurred edge lies what is behind it, unmixed
MIN_GROUP_SHARE = 0.0022  # of the short side squared; smaller specks are no things


@dataclass(frozen=True)
class View:
    """A picture as it is looked at: all of it, and reduced to a grid of at most GRID_SHORT_SIDE on its short side."""

    full: Pixels
    grid: Floats  # (rows, columns, 3), in 0 to 255
    names: Names  # of the grid's pixels

    @property
    def short(self) -> int:
        """The grid's shorter side."""
        return int(min(self.names.shape))

    @property
    def scale(self) -> float:
        """Full pixels to one of the grid."""
        return float(min(self.full.shape[:2]) / self.short)


def look(pixels: Pixels) -> View:
    """A picture with its grid, which is reduced by averaging, so that noise is weaker there."""
    height, width = pixels.shape[:2]
    reduced = pixels
    if (short := min(height, width)) > GRID_SHORT_SIDE:
        size = (round(width * GRID_SHORT_SIDE / short), round(height * GRID_SHORT_SIDE / short))
        reduced = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))
    return View(pixels, reduced.astype(np.float32), color_names(reduced))


def color_names(pixels: Pixels) -> Names:
    """For each pixel the index in PALETTE_NAMES of its colour, or -1, (height, width)."""
    names, _ = _color_tables()
    found: Names = names[_reduced(pixels)]
    return found


def _reduced(pixels: Pixels | Floats) -> tuple[npt.NDArray[np.intp], ...]:
    reduced = pixels.astype(np.intp) >> 2
    return reduced[..., 0], reduced[..., 1], reduced[..., 2]


@cache
def _color_tables() -> tuple[Names, Floats]:
    """The nearest named colour of every colour in steps of four levels, and how far it is, (64, 64, 64) each."""
    levels = np.arange(64, dtype=np.float32) * 4 + 2
    cube = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    nearest = np.full(len(cube), -1, dtype=np.int8)
    best = np.full(len(cube), MAX_COLOR_DISTANCE, dtype=np.float32)
    for index, color in enumerate(palette_levels()):
        far = length(cube - color)
        closer = far < best
        nearest[closer], best[closer] = index, far[closer]
    return nearest.reshape(64, 64, 64), best.reshape(64, 64, 64)


def far_from(pixels: Floats, color: str) -> Floats:
    """How far each pixel is from a named colour, in sRGB levels."""
    return length(pixels - np.array(PALETTE[color], dtype=np.float32))


def length(offsets: Floats) -> Floats:
    """Of each vector along the last axis; far quicker for three values than NumPy's own norm."""
    lengths: Floats = np.sqrt(np.einsum("...i,...i->...", offsets, offsets))
    return lengths


def of_color(view: View, color: str) -> Mask:
    """The grid's pixels of that colour, also a little beside it."""
    _, nearest = _color_tables()
    far = far_from(view.grid, color)
    named: Mask = view.names == PALETTE_NAMES.index(color)
    beside: Mask = (far < MAX_COLOR_DISTANCE) & (far < nearest[_reduced(view.grid)] + COLOR_SLACK)
    return named | beside


def is_color(levels: tuple[int, int, int], color: str) -> bool:
    """Whether those sRGB levels may be called by that name: no other is much nearer."""
    pixel = np.array(levels, dtype=np.float32)
    _, nearest = _color_tables()
    return bool(far_from(pixel, color) < nearest[_reduced(pixel)] + COLOR_SLACK)


def ink_share(pixels: Floats, color: str, ink: str) -> tuple[Floats, Floats]:
    """How much ink lies on a colour, from 0 (none) to 1, and how far the pixel is from every mixture of the two."""
    base = np.array(PALETTE[color], dtype=np.float32)
    axis = np.array(PALETTE[ink], dtype=np.float32) - base
    offset = pixels - base
    share: Floats = (offset @ axis / float(axis @ axis)).astype(np.float32)
    return share, length(offset - share[..., None] * axis)


def own_pixels(view: View, color: str, *, textured: bool = False) -> Mask:
    """The pixels in a thing's own colour; where stripes or dots fade into it, those that are more own than other."""
    mask = of_color(view, color)
    if not textured:
        return mask
    share, off = ink_share(view.grid, color, ink_for(color))
    faded: Mask = (share > 0) & (share < min(0.45, MAX_FADE_DISTANCE / distance(color, ink_for(color)))) & (off < 30)
    return mask | faded


def own_or_ink_pixels(view: View, color: str) -> Mask:
    """The pixels in a thing's own colour or in that of its stripes or dots, and all mixtures of the two."""
    share, off = ink_share(view.grid, color, ink_for(color))
    mixed: Mask = (share > -0.15) & (share < 1.15) & (off < 30)
    return mixed | of_color(view, color)


def dilated(mask: Mask, reach: int) -> Mask:
    """A mask and every pixel whose square of `reach` on all sides meets it, by shifts: quicker than SciPy's."""
    for axis in (0, 1):
        grown = mask.copy()
        for shift in range(1, min(reach, mask.shape[axis] - 1) + 1):
            ahead, behind = np.split(mask, [shift], axis)[1], np.split(mask, [-shift], axis)[0]
            np.split(grown, [-shift], axis)[0][...] |= ahead
            np.split(grown, [shift], axis)[1][...] |= behind
        mask = grown
    return mask


def opened(mask: Mask, width: int) -> Mask:
    """A mask less whatever no square of that odd width fits into."""
    reach = width // 2
    return dilated(~dilated(~np.pad(mask, reach), reach), reach)[reach:-reach, reach:-reach]


def without_lines(mask: Mask, width: int) -> Mask:
    """A mask less its lines thinner than `width`: where two colours fade into each other, a third may lie between."""
    kept: Mask = mask & dilated(opened(mask, width), 2)
    return kept


def with_rim(view: View, mask: Mask, color: str) -> Mask:
    """A mask of that colour and its rim: pixels where it fades, but more of it is there than of what lies behind."""
    far = far_from(view.grid, color)
    behind = ndimage.maximum_filter(far, size=2 * RIM_REACH_PX + 1)
    rim: Mask = mask | (dilated(mask, 2) & (far < behind / 2))
    return rim


def groups(mask: Mask, reach: int) -> list[tuple[tuple[slice, slice], Mask]]:
    """Groups of marked pixels, those within `reach` of each other taken as one: bounding box, and mask inside it.

    The largest come first; those smaller than any thing are left out.
    """
    least = MIN_GROUP_SHARE * min(mask.shape) ** 2
    if mask.sum() < least:
        return []
    labels, _ = ndimage.label(dilated(mask, reach // 2), np.ones((3, 3)))
    found = []
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        inside = mask[box] & (labels[box] == number)
        if inside.sum() < least:
            continue
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        cut = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
        at = tuple(slice(outer.start + inner.start, outer.start + inner.stop)
                   for outer, inner in zip(box, cut, strict=True))  # fmt: skip
        found.append(((at[0], at[1]), inside[cut]))
    return sorted(found, key=lambda group: -int(group[1].sum()))
