"""Parts become pixels, with NumPy; looks as shapes.py says. Knows no scenes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from o1_tiny.illustrated.parts import (
    A0,
    A1,
    AX,
    AY,
    BX,
    BY,
    C0,
    C1,
    CARE,
    COS,
    EDGE,
    FRONT,
    HI,
    KIND,
    LEAN,
    LO,
    OX,
    OY,
    P0,
    ROUND,
    SIN,
    SX,
    SY,
    K,
)  # fmt: skip
from o1_tiny.illustrated.shapes import cover, in_numpy, smooth

Floats = npt.NDArray[np.float32]
NO_WATER = 9.0  # a waterline, as a share of the height, that lies below every picture

_cover, _smooth = in_numpy(cover, smooth)


def paint(
    rows: Sequence[Sequence[float]],  # parts, the farthest first
    water: Sequence[float],  # line as a share of the height, squash of what is mirrored, ripple, unused
    width: int,
    height: int,
) -> tuple[Floats, Floats]:  # (height, width, 3) in 0 to 1; (height, width) how much an error counts
    short = min(width, height)
    wide, high = width / short, height / short
    x, y = np.meshgrid((np.arange(width) + 0.5) / short, (np.arange(height) + 0.5) / short)
    x, y = x.astype(np.float32), y.astype(np.float32)
    line, squash, ripple = water[0] * high, water[1], water[2]
    depth = np.maximum(y - line, 0)
    my = np.where(y > line, line - depth * squash, y).astype(np.float32)
    mx = (x + ripple * np.sin(depth * 150 / (1 + 2.5 * depth)) * np.minimum(depth * 12, 1)).astype(np.float32)
    out, cares = np.zeros((height, width, 3), np.float32), np.zeros((height, width), np.float32)
    for r in rows:
        front = r[FRONT] > 0 or water[0] >= NO_WATER
        edge = max(r[EDGE], 0.6 / short)
        cx, cy = r[AX] * wide + r[OX], r[AY] * high + r[OY]
        bx, by = (r[BX] + 2 * edge) * short, (r[BY] + 2 * edge) * short  # an oval's soft edge reaches a little out
        across = slice(max(int(cx * short - bx), 0), max(int(min(cx * short + bx, width)) + 1, 0))
        down = slice(None)
        if front:
            down = slice(max(int(cy * short - by), 0), max(int(min(cy * short + by, height)) + 1, 0))
        if not front and r[BX] < 9 and ripple:
            across = slice(None)
        px, py, real = (x if front else mx)[down, across], (y if front else my)[down, across], y[down, across]
        if px.size == 0:
            continue
        ux, uy = px - cx, py - cy
        found, t = _cover(
            int(r[KIND]), ux * r[COS] + uy * r[SIN], uy * r[COS] - ux * r[SIN], px, r[SX], r[SY], r[K], r[LEAN], edge,
            r[ROUND], *r[P0 : P0 + 4],
        )  # fmt: skip
        found = found * _smooth(0.5 + (real - r[LO] * high) / edge) * _smooth(0.5 - (real - r[HI] * high) / edge)
        found = found * (r[A0] + (r[A1] - r[A0]) * t)
        for channel in range(3):
            first, last = r[C0 + channel], r[C1 + channel]
            plane = out[down, across, channel]
            plane += (first + (last - first) * t - plane) * found
        cares[down, across] += (r[CARE] - cares[down, across]) * found
    return out.clip(0, 1), cares


def to_uint8(pixels: Floats) -> npt.NDArray[np.uint8]:
    return (pixels * 255 + 0.5).astype(np.uint8)
