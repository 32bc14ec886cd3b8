"""What a picture is made of: soft parts, painted one over the other, as flat rows of numbers. Knows no scenes.

Anchors are shares of the picture's width and height; everything else is in shares of its shorter side, y downwards.
"""

from __future__ import annotations

import math

MAX_PARTS = 224
FIELDS = 32
EVERYWHERE = 1e6
GLOW_REACH = 1.36  # a glow's coverage is 0 from here on, in units of its size
EDGE_PX = 4.0  # of a picture of 512 px: edges fade over so much
Color = tuple[float, float, float]

# kinds
ELLIPSE, BOX, RIDGE, GLOW, GRADIENT, BAND, WINDOWS, RAIN, DOTS = range(1, 10)
# fields; shapes.py says what each kind makes of them
(KIND, AX, AY, OX, OY, SX, SY, K, LEAN, COS, SIN, C0) = range(12)
C1 = 14
A0, A1, EDGE, ROUND, FRONT, LO, HI, P0, P1, P2, P3, BX, BY, CARE = range(17, 31)


def part(
    kind: int,
    *,
    x: float = 0.0,  # anchor, shares of width and height
    y: float = 0.0,
    dx: float = 0.0,  # away from the anchor
    dy: float = 0.0,
    w: float = 1.0,  # half sizes
    h: float = 1.0,
    k: float = 1.0,
    lean: float = 0.0,
    turn: float = 0.0,  # radians, clockwise
    color: Color = (0.0, 0.0, 0.0),  # at the top, red, green and blue in 0 to 1
    low: Color | None = None,  # at the bottom
    alpha: float = 1.0,
    alpha_low: float | None = None,
    edge: float = EDGE_PX,
    round_: float = 0.0,
    front: bool = False,  # in front of the water: not mirrored in it
    below: float = -9.0,  # drawn only below this share of the height
    above: float = 9.0,  # and above this one
    p: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0),
    care: float = 1.0,  # how much an error here counts while training
) -> list[float]:
    low = color if low is None else low
    alpha_low = alpha if alpha_low is None else alpha_low
    across, down = _reach(kind, w, h, k, lean, turn)
    return [
        float(kind), x, y, dx, dy, w, h, k, lean, math.cos(turn), math.sin(turn), *color, *low, alpha, alpha_low,
        edge / 512, round_, float(front), below, above, *p, across, down, care, 0.0,
    ]  # fmt: skip


def _reach(kind: int, w: float, h: float, k: float, lean: float, turn: float) -> tuple[float, float]:
    """Half width and height of the box that a part lies in."""
    if kind == BOX:
        w = w * (max(1.0, k) + abs(lean))
    elif kind == GLOW:
        w, h = w * GLOW_REACH, h * GLOW_REACH
    elif kind not in (ELLIPSE, WINDOWS):
        return EVERYWHERE, EVERYWHERE
    cos, sin = abs(math.cos(turn)), abs(math.sin(turn))
    return w * cos + h * sin, w * sin + h * cos
