"""Plain, striped or dotted: a thing's inside against stripes and dots in every phase. Knows no prompts."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np

from o1_tiny.sight.colors import Floats, View, far_from, ink_share
from o1_tiny.sight.things import Fit, shape_distance
from o1_tiny.world.palette import ink_for
from o1_tiny.world.render import DOT_PITCH, DOT_RADIUS, STRIPE_PERIOD, TEXTURE_RIM
from o1_tiny.world.shapes import SHAPES

SIDE = 56  # samples along a thing's diameter
RIM = TEXTURE_RIM + 0.04  # in radii: what is left out along the outline, where a thing has no texture and fades
MIN_OWN_SHARE = 0.9  # of a plain thing's inside
MAX_OWN_DISTANCE = 50.0  # sRGB levels
MIN_CONTRAST = 0.18  # standard deviation of the ink's share; perfect stripes have 0.38 to 0.48, dots 0.32 to 0.43
MIN_CORRELATION = 0.6  # with stripes or dots; perfect ones have 0.82 to 0.99
MAX_OFF_INK, MIN_INK_SHARE = 70.0, 0.85  # so much of a textured thing lies so near its two colours' mixtures
STRETCHES = (0.88, 0.94, 1.0, 1.06, 1.12)  # of the period


def texture_of(view: View, fit: Fit, color: str) -> str:
    """How the inside of that thing looks: "plain", "striped", "dotted", or "smeared" where it is none of these."""
    x, y = _unit_square()
    column, row = (np.floor(at * fit.radius + middle).astype(np.intp) for at, middle in ((x, fit.x), (y, fit.y)))
    rows, columns = view.names.shape
    inside = shape_distance(SHAPES.index(fit.shape), x, y) < -RIM
    inside &= (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
    if not inside.any():
        return "smeared"
    pixels = view.grid[row[inside], column[inside]]
    if (far_from(pixels, color) < MAX_OWN_DISTANCE).mean() >= MIN_OWN_SHARE:
        return "plain"
    share, off = ink_share(pixels, color, ink_for(color))
    if (off < MAX_OFF_INK).mean() < MIN_INK_SHARE:
        return "smeared"
    share = share.clip(0, 1) - share.clip(0, 1).mean()
    if share.std() < MIN_CONTRAST:
        return "smeared"
    scores = {name: _correlation(share, patterns[:, inside.ravel()]) for name, patterns in _patterns().items()}
    best = max(scores, key=lambda name: scores[name])
    return best if scores[best] >= MIN_CORRELATION else "smeared"


def _correlation(share: Floats, patterns: Floats) -> float:
    """The best correlation of the ink's share, (samples), with any of the patterns, (patterns, samples)."""
    patterns = patterns - patterns.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(patterns, axis=1) * np.linalg.norm(share)
    return float((patterns @ share / np.maximum(norms, 1e-6)).max())


@cache
def _unit_square() -> tuple[Floats, Floats]:
    line = ((np.arange(SIDE, dtype=np.float32) + 0.5) / SIDE * 2 - 1) * np.float32(1.1)
    x, y = (at.astype(np.float32) for at in np.meshgrid(line, line))
    return x, y


@cache
def _patterns() -> dict[str, Floats]:
    """Ink's share in a thing of radius 1 by texture, (phases and stretches, SIDE²)."""
    x, y = (at.ravel() for at in _unit_square())
    stripes = [_bands(y / (STRIPE_PERIOD * stretch) + phase / 12) for stretch, phase in product(STRETCHES, range(12))]
    dots = [
        _dots(x / (DOT_PITCH * stretch) + across / 6, y / (DOT_PITCH * stretch) + down / 6)
        for stretch, across, down in product(STRETCHES, range(6), range(6))
    ]
    return {"striped": np.stack(stripes), "dotted": np.stack(dots)}


def _bands(turns: Floats) -> Floats:
    distance = np.abs(turns - np.floor(turns + 0.5))  # from the own colour's middle, in periods
    return _soft((distance - 0.25) * STRIPE_PERIOD)


def _dots(across: Floats, down: Floats) -> Floats:
    # an endless grid: whether dots near the outline are left out is not judged
    dx, dy = (at - np.floor(at + 0.5) for at in (across, down))
    return _soft(DOT_RADIUS - np.hypot(dx, dy) * DOT_PITCH)


def _soft(depth: Floats) -> Floats:
    cover: Floats = np.clip(0.5 + depth / 0.08, 0, 1).astype(np.float32)
    return cover
