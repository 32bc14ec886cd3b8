"""What several places are made of: mountains, water, who flies and who stands. Knows no place."""

from __future__ import annotations

from collections.abc import Sequence

from o1_tiny.illustrated import parts as p
from o1_tiny.illustrated.canvas import Canvas
from o1_tiny.illustrated.palette import BLACK, WHITE, mix, rgb
from o1_tiny.illustrated.parts import Color
from o1_tiny.illustrated.scene import FLYING, SLOTS, Thing
from o1_tiny.illustrated.things import HOW, put, sign_place, sign_post

GRASS, DEEP_GRASS = rgb(126, 178, 90), rgb(74, 132, 74)
FIR = rgb(56, 104, 84)
ROCK, PEAK = rgb(104, 98, 104), rgb(88, 94, 130)


def mountain(
    c: Canvas, x: float, base: float, high: float, w: float, color: Color, far: float, snow: float = 0.34
) -> None:
    """A peak with a light and a dark side, and snow on the upper part."""
    dark, light = c.tone(mix(color, rgb(0, 0, 20), 0.28), far), c.tone(mix(color, WHITE, 0.16), far)
    side = 1 if c.scene.orb == "right" else -1
    white, blue = c.tone(rgb(250, 251, 255), far), c.tone(rgb(196, 210, 234), far)

    def both(scale: float, a: Color, b: Color, a_low: Color, b_low: Color) -> None:
        half, dy = high * scale / 2, -high + high * scale / 2
        c.add(p.BOX, x=x, y=base, dy=dy, w=w * scale, h=half, k=0.0, color=a, low=a_low)
        c.add(p.BOX, x=x, y=base, dx=side * w * scale * 0.44, dy=dy, w=w * scale * 0.56, h=half, k=0.0,
            lean=-side * 0.786, color=b, low=b_low)  # fmt: skip

    both(1.0, dark, light, mix(dark, c.light.haze, 0.25), mix(light, c.light.haze, 0.25))
    both(snow, blue, white, blue, white)
    for dx, color_ in ((-0.62, blue if side > 0 else white), (-0.08, white), (0.5, white if side > 0 else blue)):
        c.add(p.BOX, x=x, y=base, dx=dx * w * snow, dy=high * (snow * 1.16 - 1), w=w * snow * 0.34,
            h=high * snow * 0.22,
              k=0.0, turn=3.14159, color=color_)  # fmt: skip


def water(
    c: Canvas, line: float, far: Color, near: Color, alpha: float, alpha_low: float, ripple: float = 0.006
) -> None:
    """Everything painted so far is mirrored below the line; what follows stands in front of it."""
    c.water = (line, 1.0, ripple, 0.0)
    sky_color = c.light.middle
    tint = 0.42 if c.scene.time in ("sunset", "dawn", "dusk") else 0.12
    c.add(p.GRADIENT, y=line, h=1 - line, color=mix(c.tone(far, 0.1), sky_color, tint), low=mix(c.tone(near),
        sky_color, tint * 0.7),
          alpha=alpha, alpha_low=alpha_low, front=True, below=line)  # fmt: skip
    if c.fog:
        c.mist(line, 0.06, 0.6, front=True)
    crest = mix(c.tone(rgb(190, 226, 240)), c.light.haze, 0.35)
    for row in range(4):
        y = line + 0.05 + (1 - line) * row / 4 * 0.95
        for x in ((0.18, 0.66), (0.42, 0.9), (0.1, 0.56))[row % 3]:
            c.add(
                p.ELLIPSE,
                x=x,
                y=y,
                w=0.07 + 0.018 * row,
                h=0.006 + 0.001 * row,
                color=crest,
                alpha=0.28,
                edge=5,
                front=True,
            )
    if c.scene.orb:
        glitter = mix(c.light.glow, WHITE, 0.2)
        strength = 0.3 if c.scene.weather == "foggy" else 0.75
        for row, (dx, w) in enumerate(
            ((0.01, 0.055), (-0.014, 0.085), (0.012, 0.06), (-0.01, 0.1), (0.018, 0.07), (0.0, 0.11))
        ):
            y = line + 0.028 + (1 - line) * row / 6.5 * 0.9
            c.add(p.ELLIPSE, x=SLOTS[c.scene.orb], y=y, dx=dx, w=w, h=0.0095 + 0.001 * row, color=glitter,
                  alpha=strength * (1 - row * 0.1), edge=5, front=True)  # fmt: skip


def flyers(c: Canvas, y: float) -> None:
    for thing in c.scene.things:
        if thing.kind in FLYING:
            size = {"balloon": (0.22, 0.32), "birds": (0.42, 0.6)}[thing.kind][thing.near]
            spot = c.spot(
                SLOTS[thing.slot],
                y + (0.05 if thing.kind == "balloon" and thing.near else 0.0),
                size,
                0.0 if thing.near else 0.2,
                care=2.0,
            )
            HOW[thing.kind](spot, thing)


def standers(
    c: Canvas,
    y_far: float,
    y_near: float,
    far: float = 0.24,
    near: float = 0.38,
    skip: Sequence[str] = (),
    *,
    front: bool = False,
) -> None:
    """The rest of the things, far ones first, and a sign on posts."""
    things = [thing for thing in c.scene.things if thing.kind not in (*FLYING, *skip)]
    for thing in sorted(things, key=lambda thing: thing.near):
        put(c, thing, y_far, y_near, far, near, front=front)
    if c.scene.sign:
        sign_post(c, c.scene.sign, y_near + 0.01)


def free(c: Canvas, x: float, margin: float = 0.2) -> bool:
    """Whether no thing and no sign stands near this share of the width."""
    taken = [SLOTS[thing.slot] for thing in c.scene.things if thing.kind not in FLYING]
    if c.scene.sign:
        taken.append(sign_place(c.scene.sign)[0])
    return all(abs(x - other) >= margin for other in taken)


def afloat(c: Canvas, thing: Thing, y_far: float, y_near: float, far: float, near: float) -> None:
    y, size, away = (y_near, near, 0.0) if thing.near else (y_far, far, 0.15)
    HOW["boat"](c.spot(SLOTS[thing.slot], y, size, away, front=True, care=1.7), thing)


def on_a_rock(c: Canvas, thing: Thing, line: float) -> None:
    x, y = SLOTS[thing.slot], line + (0.2 if thing.near else 0.08)
    size, wide = (0.44, 0.2) if thing.near else (0.34, 0.14)
    top = line + (0.03 if thing.near else -0.01)
    half = (y - top) / 2
    c.add(
        p.ELLIPSE, x=x, y=y, w=wide * 1.25, h=0.02, color=c.tone(rgb(220, 236, 244), 0.1), alpha=0.6, edge=6, front=True
    )
    c.add(
        p.BOX,
        x=x,
        y=y,
        dy=-half,
        w=wide,
        h=half + 0.004,
        k=0.7,
        round_=0.012,
        front=True,
        color=c.tone(mix(ROCK, WHITE, 0.1), 0.05),
        low=c.tone(mix(ROCK, BLACK, 0.25), 0.05),
    )
    c.add(
        p.BOX,
        x=x,
        y=y,
        dy=-half * 2 + 0.008,
        w=wide * 0.7,
        h=0.012,
        round_=0.01,
        front=True,
        color=c.tone(c.earth(rgb(126, 150, 96)), 0.05),
    )
    HOW["lighthouse"](c.spot(x, top + 0.012, size, 0.05, front=True, care=1.7), thing)


def beach(c: Canvas, y: float) -> None:
    c.ridge(y, 0.02, 0.6, rgb(240, 214, 160), 0.0, deep=0.12, low=rgb(214, 178, 124), front=True)
