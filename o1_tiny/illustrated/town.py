"""Streets, villages and cities: house fronts, shops, lamps. Knows no other place."""

from __future__ import annotations

from o1_tiny.illustrated import parts as p
from o1_tiny.illustrated.canvas import Canvas
from o1_tiny.illustrated.land import (
    DEEP_GRASS,
    GRASS,
    afloat,
    flyers,
    mountain,
    standers,
    water,
)
from o1_tiny.illustrated.palette import BLACK, COLORS, WHITE, mix, rgb
from o1_tiny.illustrated.scene import FLYING, SLOTS, Thing
from o1_tiny.illustrated.sky import sky
from o1_tiny.illustrated.things import HOW, hung_sign, put, sign_place

FRONTS = (rgb(96, 88, 124), rgb(120, 92, 108), rgb(84, 102, 132), rgb(140, 104, 92), rgb(108, 112, 120))
AWNINGS = (("pink", "cyan"), ("red", "blue"), ("green", "orange"), ("purple", "yellow"))


def building(
    c: Canvas,
    x0: float,
    x1: float,
    top: float,
    bottom: float,
    front: int,
    far: float,
    cols: int,
    rows: int,
    seed: int,
    lit: float,
) -> None:
    """A front from x0 to x1 (shares of the width), with windows, some of them lit in the dark."""
    middle, half, high, color = (x0 + x1) / 2, (x1 - x0) / 2, (bottom - top) / 2, FRONTS[front % len(FRONTS)]
    c.add(
        p.BOX,
        x=middle,
        y=(top + bottom) / 2,
        w=half,
        h=high,
        color=c.tone(mix(color, WHITE, 0.05), far),
        low=c.tone(mix(color, BLACK, 0.12), far),
    )
    window = mix(rgb(255, 208, 112), c.light.haze, far * 0.6) if c.dark else c.tone(rgb(150, 184, 206), far)
    warm = mix(window, rgb(255, 170, 90), 0.25) if c.dark else window
    c.add(p.WINDOWS, x=middle, y=(top + bottom) / 2, dy=-0.02, w=half * 0.86, h=high - 0.03, k=cols, lean=rows,
        color=window, low=warm,
          alpha=0.92, edge=3, p=(0.54, 0.5, lit if c.dark else 0.92, float(seed)))  # fmt: skip


def streets_shops(c: Canvas, ground: float) -> None:
    for x, name in zip((0.1, 0.9), AWNINGS[c.scene.variant % 4], strict=True):
        light = rgb(255, 214, 130) if c.dark else c.tone(rgb(190, 210, 220))
        c.add(p.BOX, x=x, y=ground, dy=-0.045, w=0.09, h=0.062, color=light, low=mix(light, rgb(255, 153, 76), 0.2))
        awning = mix(c.tone(COLORS[name]), COLORS[name], 0.6 if c.dark else 0.0)
        c.add(p.BOX, x=x, y=ground, dy=-0.125, w=0.115, h=0.025, k=0.86, color=awning, low=mix(awning, BLACK, 0.15))
        if c.dark:
            c.add(p.GLOW, x=x, y=ground, dy=-0.06, w=0.2, h=0.16, color=rgb(255, 190, 110), alpha=0.35)
            tube = 0.225 if x < 0.5 else 0.775
            c.add(p.GLOW, x=tube, y=0.52, w=0.1, h=0.16, color=COLORS[name], alpha=0.5)
            c.add(p.BOX, x=tube, y=0.52, w=0.017, h=0.08, round_=0.012, color=mix(COLORS[name], WHITE, 0.45))


def streets_lamps(c: Canvas, ground: float) -> None:
    for x in (0.29, 0.71) if c.scene.variant % 2 else (0.29,):
        c.add(p.BOX, x=x, y=ground + 0.02, dy=-0.15, w=0.007, h=0.16, color=c.tone(rgb(40, 42, 54)), front=True)
        if c.dark:
            c.add(
                p.GLOW, x=x, y=ground + 0.02, dy=-0.32, w=0.13, h=0.13, color=rgb(255, 214, 140), alpha=0.6, front=True
            )
        lamp = rgb(255, 232, 170) if c.dark else c.tone(rgb(240, 236, 220))
        c.add(p.ELLIPSE, x=x, y=ground + 0.02, dy=-0.32, w=0.022, h=0.022, color=lamp, front=True)


def village(c: Canvas) -> None:
    sky(c, 0.6)
    if c.scene.variant % 2 == 0:
        mountain(c, 0.22, 0.66, 0.36, 0.36, rgb(96, 104, 142), 0.35, 0.4)
        mountain(c, 0.76, 0.66, 0.42, 0.42, rgb(92, 100, 138), 0.28, 0.4)
        c.mist(0.64, 0.06, 0.35 + c.fog)
        c.ridge(0.6, 0.02, 0.8, c.earth(rgb(98, 146, 102)), 0.28, fine=0.03, fine_waves=12, firs=True)
    else:
        c.ridge(0.52, 0.05, 0.75, c.earth(rgb(124, 160, 150)), 0.5)
        c.ridge(0.6, 0.02, 0.8, c.earth(rgb(98, 146, 102)), 0.28)
    flyers(c, 0.2)
    c.ridge(0.7, 0.01, 0.6, c.earth(GRASS), 0.1, low=c.earth(DEEP_GRASS))
    large = [thing for thing in c.scene.things if thing.kind in ("church", "windmill")]
    for number, x in enumerate((0.08, 0.28, 0.5, 0.72, 0.92)):
        roof = c.lot.choice(("red", "brown", "blue"))
        if all(abs(x - SLOTS[thing.slot]) >= 0.11 for thing in large):
            HOW["house"](
                c.spot(x, 0.745 + 0.012 * (number % 2), 0.16, 0.14),
                Thing("house", c.lot.choice(("white", "yellow", "orange", "pink")), roof, "left"),
            )
    for thing in large:
        put(c, thing, 0.75, 0.76, 0.32, 0.38)
    c.ridge(0.79, 0.012, 0.6, c.earth(rgb(112, 166, 86)), 0.02, low=c.earth(rgb(64, 122, 74)))
    for number, x in enumerate((0.14, 0.5, 0.84) if c.scene.variant % 4 < 2 else (0.17, 0.83)):
        color, roof = c.lot.choice(("white", "yellow", "orange")), c.lot.choice(("red", "brown", "blue"))
        clear = [thing for thing in c.scene.things if thing not in large and thing.kind not in FLYING]
        taken = [SLOTS[thing.slot] for thing in clear] + ([sign_place(c.scene.sign)[0]] if c.scene.sign else [])
        if all(abs(x - other) >= 0.22 for other in taken):
            HOW["house"](c.spot(x, 0.9 + 0.02 * (number % 2), 0.28), Thing("house", color, roof, "left"))
    standers(c, 0.9, 0.95, 0.28, 0.38, skip=("church", "windmill"))


def street(c: Canvas) -> None:
    ground, scene = 0.75, c.scene
    sky(c, 0.7)
    if c.dark:
        c.add(p.GLOW, x=0.5, y=0.66, w=0.5, h=0.36, color=mix(c.light.bottom, rgb(226, 120, 170), 0.5), alpha=0.6)
    for number, (x, top) in enumerate(
        zip((0.36, 0.45, 0.545, 0.64), c.lot.choice(((0.44, 0.36, 0.48, 0.4), (0.4, 0.48, 0.34, 0.46))), strict=True)
    ):
        building(c, x - 0.052, x + 0.052, top, ground, number + scene.variant, 0.5, 3, 7, number, 0.5)
    if c.fog:
        c.mist(0.62, 0.12, 0.3 + c.fog * 0.7)
    start = c.lot.randrange(5)
    building(c, 0.2, 0.33, 0.24, ground, start, 0.16, 3, 8, 1, 0.55)
    building(c, 0.67, 0.8, 0.2, ground, start + 1, 0.16, 3, 8, 2, 0.55)
    building(c, -0.04, 0.215, 0.06, ground + 0.03, start + 2, 0.02, 4, 7, 3, 0.5)
    building(c, 0.785, 1.04, 0.04, ground + 0.03, start + 3, 0.02, 4, 7, 4, 0.5)
    streets_shops(c, ground)
    if scene.sign:
        hung_sign(c, scene.sign, 0.25)
    road, wet = c.earth(rgb(92, 92, 108)), scene.weather == "rainy"
    c.water = (ground, 0.9 if wet else 1.0, 0.007 if wet else 0.0, 0.0)
    alpha, alpha_low = (0.28, 0.62) if wet else (0.62, 0.9) if c.dark else (0.93, 1.0)
    c.add(
        p.GRADIENT,
        y=ground,
        h=1 - ground,
        color=c.tone(mix(road, BLACK, 0.1), 0.12),
        low=c.tone(mix(road, BLACK, 0.4)),
        alpha=alpha,
        alpha_low=alpha_low,
        front=True,
        below=ground,
    )
    c.add(p.BOX, x=0.5, y=ground, w=1.6, h=0.008, color=c.tone(mix(road, WHITE, 0.15), 0.1), alpha=0.8, front=True)
    if not wet and not scene.snow:
        for number, (y, w) in enumerate(((0.79, 0.012), (0.85, 0.02), (0.94, 0.03))):
            c.add(
                p.BOX,
                x=0.5,
                y=y,
                w=w,
                h=0.014 + 0.008 * number,
                k=0.75,
                color=c.tone(rgb(236, 222, 170)),
                alpha=0.75,
                front=True,
            )
    streets_lamps(c, ground)
    for thing in sorted(scene.things, key=lambda thing: thing.near):
        put(c, thing, 0.84, 0.94, 0.3, 0.48, front=True)


def city(c: Canvas) -> None:
    line = 0.6875
    sky(c, line)
    for number in range(8):
        x = (number + 0.5) / 8
        building(
            c,
            x - 0.06,
            x + 0.06,
            line - c.lot.choice((0.16, 0.22, 0.3)),
            line,
            number + c.scene.variant,
            0.55,
            3,
            6,
            number % 4,
            0.45,
        )
    c.mist(line - 0.1, 0.12, 0.15 + c.fog * 0.8)
    flyers(c, 0.17)
    for number in range(6):
        x = (number + 0.5) / 6 + c.lot.choice((-0.02, 0.02))
        building(
            c,
            x - 0.066,
            x + 0.066,
            line - c.lot.choice((0.12, 0.2, 0.28, 0.36)),
            line,
            2 * number + c.scene.variant,
            0.16,
            3,
            7,
            number % 4,
            0.55,
        )
    water(c, line, rgb(96, 150, 180), rgb(30, 74, 118), 0.32, 0.75, 0.007)
    for thing in c.scene.things:
        if thing.kind == "boat":
            afloat(c, thing, line + 0.06, line + 0.18, 0.22, 0.34)
