"""What lies behind the things: one of the world's patterns, and whatever stands out from it. Knows no prompts."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import ndimage

from o1_tiny.sight.colors import Floats, Mask, View, length, opened
from o1_tiny.world.palette import PALETTE
from o1_tiny.world.render import render_values
from o1_tiny.world.scenes import PATTERNS, Background, Pattern, Scene, pack

MAX_DISTANCE = 50.0  # sRGB levels between a pixel and what is expected there
MIN_MATCH = {"plain": 0.93, "gradient": 0.9, "checkerboard": 0.75, "stripes": 0.75}
CERTAIN = 0.995  # of what is seen: no other pattern need be tried
MIN_EXPLAINED = 0.85  # of what is seen, before anything can stand out from a pattern that was not asked for
BLOB_PX = {"plain": 5, "gradient": 5, "checkerboard": 9, "stripes": 9}  # thinner things are edges that lie a bit off
MIN_BLOB_SHARE = 0.004  # of the short side squared


def expected(view: View, background: Background) -> Floats:
    """The grid as that background alone, (rows, columns, 3), in 0 to 255."""
    return np.asarray(_expected(background, *view.names.shape), dtype=np.float32)


@lru_cache(maxsize=16)
def _expected(background: Background, rows: int, columns: int) -> Floats:
    values = render_values(pack(Scene("one", background, (), None, "free")), columns, rows)
    levels: Floats = (values + 1) * np.float32(127.5)
    return levels


def matches(view: View, background: Background) -> Mask:
    """The grid's pixels that are as that background has them."""
    near: Mask = length(view.grid - expected(view, background)) < MAX_DISTANCE
    return near


def main_color(view: View, free: Mask) -> tuple[int, int, int]:
    """The median colour of those pixels, sRGB levels."""
    red, green, blue = (round(float(level)) for level in np.median(view.grid[free], axis=0))
    return red, green, blue


def guess(view: View, free: Mask) -> tuple[Pattern, Mask] | None:
    """The pattern that explains those pixels best, in whatever colours, and which pixels of the grid it explains."""
    found: list[tuple[float, Pattern, Mask]] = []
    for pattern in PATTERNS:
        near = _fitted(view, free, pattern)
        share = float(near[free].mean())
        if share > CERTAIN:
            return pattern, near
        found.append((share, pattern, near))
    share, pattern, near = max(found, key=lambda one: one[0])
    return (pattern, near) if share >= MIN_EXPLAINED else None


def _fitted(view: View, free: Mask, pattern: Pattern) -> Mask:
    """Which pixels two colours in that pattern explain: least squares, again without what stood out."""
    if pattern == "plain":
        levels = np.broadcast_to(np.median(view.grid[free], axis=0), view.grid.shape)
    else:
        black, white = (np.array(PALETTE[name], dtype=np.float32) for name in ("black", "white"))
        share = ((expected(view, Background(pattern, "black", "white")) - black) / (white - black)).mean(axis=-1)
        levels = np.zeros_like(view.grid)
        kept, sparse = free, (slice(None, None, 3), slice(None, None, 3))
        for _ in range(3):
            weights, seen = share[sparse][kept[sparse]], view.grid[sparse][kept[sparse]]
            if not len(weights):
                break
            colors = np.linalg.lstsq(np.stack([1 - weights, weights], axis=1), seen, rcond=None)[0]
            levels = colors[0] + share[..., None] * (colors[1] - colors[0])
            kept = free & (length(view.grid - levels) < 1.5 * MAX_DISTANCE)
    near: Mask = length(view.grid - levels) < MAX_DISTANCE
    return near


def largest_blob(view: View, pixels: Mask, pattern: Pattern) -> float:
    """The area of the largest compact piece of those pixels, as a share of the short side squared."""
    labels, count = ndimage.label(opened(pixels, BLOB_PX[pattern]))
    return float(np.bincount(labels.ravel())[1:].max()) / view.short**2 if count else 0.0
