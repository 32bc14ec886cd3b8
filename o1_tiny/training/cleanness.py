"""How clean a model's outlines and plain backgrounds are, in pixels and levels, where an eye sees it first.

A large circle in the middle of a plain background is the hardest thing to draw with patches: its radius should be the
same in every direction, and all patches around it the same colour. Around a small thing the background should be
itself again where the thing's edge ends, also within the patches that it touches. Knows no model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from o1_tiny.world.render import sample

Pixels = npt.NDArray[np.uint8]  # (height, width, 3)

PROMPTS = tuple(
    f"a large {circle} circle in the center, {background} background"
    for circle, background in (
        ("red", "light green"), ("yellow", "dark blue"), ("white", "blue"), ("black", "white"),
        ("blue", "yellow"), ("orange", "purple"), ("green", "pink"), ("purple", "light blue"),
    )
)  # fmt: skip
SMALL_THINGS = tuple(
    f"a small {thing} {place}, {background} background"
    for thing, place, background in (
        ("red heart", "at the top", "dark green"), ("yellow star", "in the center", "dark blue"),
        ("white ring", "at the left", "purple"), ("green circle", "in the bottom right corner", "black"),
        ("orange square", "at the right", "blue"), ("cyan triangle", "in the top left corner", "red"),
        ("pink cross", "at the bottom", "dark gray"), ("blue diamond", "in the center", "yellow"),
        ("purple moon", "in the top right corner", "orange"), ("black star", "at the left", "light green"),
        ("brown heart", "at the top", "cyan"), ("gray circle", "in the bottom left corner", "pink"),
    )
)  # fmt: skip
DIRECTIONS = 720
PATCH = 32
HALO_PX = (6, 40)  # so far around a thing a halo is looked for; its own edge ends before (render.EDGE_PX)
HALO_LEVELS = 8  # of 255, in any channel: an eye sees that
THING_LEVELS = 40  # in some channel two colours that may stand on one another differ by more (palette.MIN_CONTRAST)


@dataclass(frozen=True)
class Cleanness:
    """Of one picture of a large circle in the middle of a plain background."""

    outline_px: float  # standard deviation of the radius over all directions
    bulge_px: float  # the most by which it is off
    grid_levels: float  # standard deviation of the outermost patches' means, of 255; the mean of three channels


def cleanness(picture: Pixels) -> Cleanness | None:
    """None where there is no circle in the middle: in some direction no outline between 0.1 and 0.45 of the side."""
    height, width = picture.shape[:2]
    values = picture.astype(np.float32)
    inside, outside = values[height // 2, width // 2], values[PATCH // 2, PATCH // 2]
    contrast = inside - outside
    share = (values - outside) @ contrast / max(float(contrast @ contrast), 1.0)  # 1 in the circle, 0 outside of it
    radii = _radii(share.astype(np.float32), min(height, width))
    if radii is None:
        return None
    off = radii - radii.mean()
    means = values.reshape(height // PATCH, PATCH, width // PATCH, PATCH, 3).mean(axis=(1, 3))
    ring = np.concatenate((means[0], means[-1], means[1:-1, 0], means[1:-1, -1]))
    return Cleanness(float(off.std()), float(np.abs(off).max()), float(ring.std(axis=0).mean()))


def halo(picture: Pixels) -> float | None:
    """Share of the pixels around what stands on a plain background that are off it by more than HALO_LEVELS.

    None where nothing stands there.
    """
    values = picture.astype(np.float32)
    border = np.concatenate((values[0], values[-1], values[:, 0], values[:, -1]))
    off = np.abs(values - np.median(border, axis=0)).max(axis=-1)
    strongest = np.percentile(off, 99.5)
    if strongest < THING_LEVELS:
        return None
    away = ndimage.distance_transform_edt(off <= 0.5 * strongest)
    around = (away > HALO_PX[0]) & (away <= HALO_PX[1])
    return float((off[around] > HALO_LEVELS).mean())


def _radii(share: npt.NDArray[np.float32], side: int) -> npt.NDArray[np.float64] | None:
    """How far from the middle of its area the circle ends, in px, by direction."""
    rows, columns = np.nonzero(share > 0.5)
    if not len(rows):
        return None
    steps = np.arange(0.1 * side, 0.45 * side, 0.25)
    angles = np.linspace(0, 2 * np.pi, DIRECTIONS, endpoint=False)[:, None]
    along = sample(
        share,
        (columns.mean() + steps * np.cos(angles)).astype(np.float32),
        (rows.mean() + steps * np.sin(angles)).astype(np.float32),
    )
    below = along < 0.5
    first = below.argmax(axis=1)
    if (first == 0).any():
        return None
    of_all = np.arange(DIRECTIONS)
    before, after = along[of_all, first - 1], along[of_all, first]
    radii: npt.NDArray[np.float64] = steps[first - 1] + 0.25 * (before - 0.5) / (before - after)
    return radii
