"""Shapes as signed distances, tabulated once, so that NumPy and a GPU draw from the same numbers. Knows no colours.

Their measures were searched for so that at 512² no patch holds a sliver, of 0.6 to 8.5 px², of a shape or of its ground
(small and medium stars do, and stripes in some circles and hearts): such slivers are lost by a model of patches, and
the shape looks cut.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

SHAPES = ("circle", "square", "triangle", "star", "ring", "heart", "cross", "diamond", "moon")
SPELLINGS = {"circle": ("circle", "disc"), "ring": ("ring", "donut"), "cross": ("cross", "plus sign"),
             "moon": ("moon", "crescent moon")}  # fmt: skip

CORNER, TIP = 0.06, 0.03  # rounding of outer corners, and of hearts' tips, in radii of the shape
TABLE_SIDE = 128  # samples a side
TABLE_REACH = 1.2  # the table covers [-1.2, 1.2]²; a shape of radius 1 fills most of [-1, 1]²


def polygon_distance(x: Floats, y: Floats, corners: list[tuple[float, float]]) -> Floats:
    """Signed distance to a closed polygon, negative inside (Inigo Quilez, "2D distance functions", polygon)."""
    nearest = np.full(x.shape, np.inf)
    inside = np.zeros(x.shape, dtype=bool)
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
        nearest = np.minimum(nearest, segment_distance(x, y, (ax, ay), (bx, by)))
        if ay != by:  # even-odd rule: does a ray to the right cross this edge?
            inside ^= ((ay > y) != (by > y)) & (x < (bx - ax) * (y - ay) / (by - ay) + ax)
    return np.where(inside, -nearest, nearest).astype(np.float32)


def segment_distance(x: Floats, y: Floats, start: tuple[float, float], end: tuple[float, float]) -> Floats:
    """Distance to a line segment, at least 0."""
    (ax, ay), (bx, by) = start, end
    length2 = max((bx - ax) ** 2 + (by - ay) ** 2, 1e-12)
    along = np.clip(((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length2, 0, 1)
    distance: Floats = np.hypot(x - ax - along * (bx - ax), y - ay - along * (by - ay)).astype(np.float32)
    return distance


def _star() -> list[tuple[float, float]]:
    angles = [np.pi * (index / 5 - 0.5) for index in range(10)]
    return [(r * float(np.cos(a)), r * float(np.sin(a)) + 0.06) for a, r in zip(angles, [0.93, 0.39] * 5, strict=True)]


def _heart() -> list[tuple[float, float]]:
    turns = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    x = 16 * np.sin(turns) ** 3
    y = -(13 * np.cos(turns) - 5 * np.cos(2 * turns) - 2 * np.cos(3 * turns) - np.cos(4 * turns))
    return [(float(a) / 17.2, float(b - 0.6) / 17) for a, b in zip(x, y, strict=True)]


def _moon() -> list[tuple[float, float]]:
    """A disc around the origin without what another one covers: along its own arc from tip to tip, and back."""
    radius, cut, middle = 0.912, 1.04, complex(0.583, -0.31)
    away = abs(middle)
    tip_x = (away**2 + radius**2 - cut**2) / (2 * away)  # both tips, with the other disc's middle to the right
    tip = complex(tip_x, (radius**2 - tip_x**2) ** 0.5)
    outer, inner = float(np.angle(tip)), float(np.angle(tip - away))
    back = radius * np.exp(1j * np.linspace(outer, 2 * np.pi - outer, 64))
    bay = away + cut * np.exp(1j * np.linspace(2 * np.pi - inner, inner, 64))
    points = middle / away * np.concatenate((back[:-1], bay[:-1]))
    return [(float(point.real), float(point.imag)) for point in points]


def shape_distance(shape: str, x: Floats, y: Floats) -> Floats:
    """Signed distance to a shape of radius 1 around the origin, y downwards, negative inside."""
    radius: Floats = np.hypot(x, y)
    found: npt.NDArray[np.floating[Any]]
    match shape:
        case "circle":
            found = radius - 0.972
        case "square":
            found = polygon_distance(x, y, [(-0.7, -0.7), (0.7, -0.7), (0.7, 0.7), (-0.7, 0.7)]) - CORNER
        case "triangle":
            found = polygon_distance(x, y, [(0, -0.85), (0.8, 0.74), (-0.8, 0.74)]) - CORNER
        case "star":
            found = polygon_distance(x, y, _star()) - CORNER
        case "ring":
            found = np.abs(radius - 0.736) - 0.236
        case "heart":
            found = polygon_distance(x, y, _heart()) - TIP
        case "cross":
            a, b = 0.27, 0.86
            found = polygon_distance(
                x, y, [(-a, -b), (a, -b), (a, -a), (b, -a), (b, a), (a, a), (a, b), (-a, b), (-a, a), (-b, a), (-b, -a),
                       (-a, -a)]) - CORNER  # fmt: skip
        case "diamond":
            found = polygon_distance(x, y, [(0, -0.9), (0.9, 0), (0, 0.9), (-0.9, 0)]) - CORNER
        case "moon":
            found = polygon_distance(x, y, _moon()) - CORNER
        case _:
            raise ValueError(f"no shape is called {shape!r}; there are {', '.join(SHAPES)}")
    return np.asarray(found, dtype=np.float32)


@cache
def shape_tables() -> Floats:
    """All shapes' distances, (shapes, 128, 128): row j, column i is at ((i, j) / 127 * 2 - 1) * 1.2."""
    line = np.linspace(-TABLE_REACH, TABLE_REACH, TABLE_SIDE, dtype=np.float32)
    x, y = np.meshgrid(line, line)
    tables = np.stack([shape_distance(shape, x, y) for shape in SHAPES])
    tables.setflags(write=False)
    return tables
