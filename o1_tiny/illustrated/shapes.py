"""How each kind of part looks: written once, run by Triton on a GPU and by NumPy elsewhere. Knows no scenes.

The functions here are in Triton's language; `in_numpy` gives the same functions over NumPy arrays. A kernel may only
branch on single numbers, so `kind` is one, and everything else may be an array of points.
"""

from __future__ import annotations

from types import FunctionType, SimpleNamespace
from typing import Any

import numpy as np

try:
    import triton
    import triton.language as tl

    jit = triton.jit
except ImportError:  # a machine without a GPU
    tl = SimpleNamespace()

    def jit(function: Any) -> Any:
        return function


NUMPY = SimpleNamespace(
    where=np.where, minimum=np.minimum, maximum=np.maximum, abs=np.abs, floor=np.floor, sqrt=np.sqrt, exp=np.exp,
    sin=np.sin,
)  # fmt: skip


@jit
def smooth(v):  # type: ignore[no-untyped-def]
    """0 up to 0, 1 from 1 on, without a corner."""
    v = tl.minimum(tl.maximum(v, 0.0), 1.0)
    return v * v * (3 - 2 * v)


@jit
def teeth(v):  # type: ignore[no-untyped-def]
    """1 at whole numbers, -1 between, straight lines."""
    return 1 - 4 * tl.abs(v - tl.floor(v + 0.5))


@jit
def lot(i, j, s):  # type: ignore[no-untyped-def]
    """A number in 0 to 1 for each cell, that looks like chance; whole numbers below some fifty, so float32 is exact."""
    v = i * i * 0.3719 + j * j * 0.1931 + i * j * 0.5171 + (s + 1) * (i * 0.731 + j * 0.417 + 0.173)
    v = v - tl.floor(v)
    v = v * 17.17 + i * 0.37 + j * 0.71
    return v - tl.floor(v)


@jit
def cover(kind, lx, ly, px, w, h, k, lean, edge, rnd, p0, p1, p2, p3):  # type: ignore[no-untyped-def]
    """How much of each point a part covers, 0 to 1, and how far down the part the point lies, 0 to 1.

    lx, ly are from the part's middle, turned with it; px is the point's own x. Ellipse: w, h half axes, nothing below
    k · h. Box: w, h half sides, k the top's width in units of the bottom's, lean the top's shift in units of w, rnd the
    corners' radius. Ridge: everything below a wave, w high, with k waves a unit from lean on, and a finer one (p0 high,
    p1 waves, from p2; p3 2: pointed like fir trees, 1: both pointed). Glow, gradient (h long),
        band (h high). Windows: k columns and lean rows in a box, p0, p1
    their share of a cell, p2 how many are lit, p3 which. Rain: p0 apart, p1 aslant, h long,
        p3 half as thick. Dots: cells
    of p0, p3 in radius, p2 the share of cells that have one, p1 which.
    """
    t = lx * 0.0
    cov = lx * 0.0
    if kind == 1:
        q = tl.sqrt((lx / w) * (lx / w) + (ly / h) * (ly / h))
        gx = lx / (w * w)
        gy = ly / (h * h)
        d = tl.where(q < 0.05, -tl.minimum(w, h), q * (q - 1) / (tl.sqrt(gx * gx + gy * gy) + 1e-6))
        d = tl.maximum(d, ly - k * h)
        cov = smooth(0.5 - d / edge)
        t = (ly + h) / (2 * h)
    elif kind == 2:
        t = (ly + h) / (2 * h)
        half = w * (k + (1 - k) * t)
        xx = lx - lean * w * (1 - t)
        slope = tl.abs(w * (1 - k) / (2 * h)) + tl.abs(lean * w / (2 * h))
        ax = (tl.abs(xx) - half) / tl.sqrt(1 + slope * slope) + rnd
        ay = tl.abs(ly) - h + rnd
        ex = tl.maximum(ax, 0.0)
        ey = tl.maximum(ay, 0.0)
        d = tl.sqrt(ex * ex + ey * ey) + tl.minimum(tl.maximum(ax, ay), 0.0) - rnd
        cov = smooth(0.5 - d / edge)
    elif kind == 3:
        big = k * px + lean
        a = w * tl.where(p3 == 1, teeth(big), tl.sin(6.2831853 * (big - tl.floor(big))))
        small = p1 * px + p2
        firs = teeth(small) * (0.55 + 0.45 * lot(tl.floor(small + 0.5), 0.0, 3.0))
        a += p0 * tl.where(p3 == 2, firs, tl.sin(6.2831853 * (small - tl.floor(small))))
        cov = smooth(0.5 + (ly + a) / edge * 0.9)
        t = (ly + a) / h
    elif kind == 4:
        q = (lx / w) * (lx / w) + (ly / h) * (ly / h)
        cov = tl.maximum(tl.exp(-2.5 * q) - 0.0098, 0.0)
    elif kind == 5:
        cov = lx * 0.0 + 1.0
        t = smooth(ly / h)
    elif kind == 6:
        cov = tl.exp(-(ly / h) * (ly / h))
    elif kind == 7:
        f = (lx + w) / (2 * w) * k
        g = (ly + h) / (2 * h) * lean
        i = tl.floor(f)
        j = tl.floor(g)
        d = tl.maximum((tl.abs(f - i - 0.5) - p0 / 2) * (2 * w / k), (tl.abs(g - j - 0.5) - p1 / 2) * (2 * h / lean))
        lit = (lot(i, j, p3) < p2) & (f > 0) & (f < k) & (g > 0) & (g < lean)
        cov = tl.where(lit, smooth(0.5 - d / edge), 0.0)
        t = g / lean
    elif kind == 8:
        xx = lx + p1 * ly
        i = tl.floor(xx / p0)
        yy = ly / h + 0.5 * (i - 2 * tl.floor(i / 2)) + 0.27 * (i - 4 * tl.floor(i / 4))
        ax = tl.abs(xx / p0 - i - 0.5) * p0 - p3
        ay = tl.abs(yy - tl.floor(yy) - 0.5) - 0.28
        cov = smooth(0.5 - ax / edge) * smooth(-ay * 6)
    else:
        i = tl.floor(lx / p0)
        j = tl.floor(ly / p0)
        ax = lx - (i + 0.2 + 0.6 * lot(i, j, p1)) * p0
        ay = ly - (j + 0.2 + 0.6 * lot(i, j, p1 + 1)) * p0
        radius = p3 * (0.6 + 0.8 * lot(i, j, p1 + 2))
        dot = smooth(0.5 - (tl.sqrt(ax * ax + ay * ay) - radius) / edge)
        cov = tl.where(lot(i, j, p1 + 3) < p2, dot, 0.0)
    return cov, tl.minimum(tl.maximum(t, 0.0), 1.0)


def in_numpy(*functions: Any) -> list[Any]:
    """The same functions over NumPy arrays."""
    names: dict[str, Any] = {"tl": NUMPY}
    for function in (smooth, teeth, lot, cover, *functions):
        plain = getattr(function, "fn", function)
        names[plain.__name__] = FunctionType(plain.__code__, names, plain.__name__)
    return [names[getattr(function, "fn", function).__name__] for function in functions]
