"""How each place looks, from the sky to what stands in front. To add one: a function here, its row in scene.PLACES."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from o1_tiny.illustrated import parts as p
from o1_tiny.illustrated.canvas import Canvas, Spot
from o1_tiny.illustrated.palette import BLACK, COLORS, SNOW, WHITE, is_light, mix, rgb
from o1_tiny.illustrated.parts import Color
from o1_tiny.illustrated.scene import FLYING, SLOTS, Scene, Thing
from o1_tiny.illustrated.sky import sky, stars, weather_in_front
from o1_tiny.illustrated.things import HOW, hung_sign, pine, put, sign_place, sign_post
from o1_tiny.illustrated.town import building, streets_lamps, streets_shops

GRASS, DEEP_GRASS = rgb(126, 178, 90), rgb(74, 132, 74)
FIR, LEAVES = rgb(56, 104, 84), rgb(78, 142, 84)
ROCK, PEAK = rgb(104, 98, 104), rgb(88, 94, 130)


# --- what several places share


def mountain(c: Canvas, x: float, base: float, high: float, w: float, color: Color, far: float, snow: float = 0.34) -> None:
    """A peak with a light and a dark side, and snow on the upper part."""
    dark, light = c.tone(mix(color, rgb(0, 0, 20), 0.28), far), c.tone(mix(color, WHITE, 0.16), far)
    side = 1 if c.scene.orb == "right" else -1
    white, blue = c.tone(rgb(250, 251, 255), far), c.tone(rgb(196, 210, 234), far)

    def both(scale: float, a: Color, b: Color, a_low: Color, b_low: Color) -> None:
        half, dy = high * scale / 2, -high + high * scale / 2
        c.add(p.BOX, x=x, y=base, dy=dy, w=w * scale, h=half, k=0.0, color=a, low=a_low)
        c.add(p.BOX, x=x, y=base, dx=side * w * scale * 0.44, dy=dy, w=w * scale * 0.56, h=half, k=0.0, lean=-side * 0.786, color=b, low=b_low)  # fmt: skip

    both(1.0, dark, light, mix(dark, c.light.haze, 0.25), mix(light, c.light.haze, 0.25))
    both(snow, blue, white, blue, white)
    for dx, color_ in ((-0.62, blue if side > 0 else white), (-0.08, white), (0.5, white if side > 0 else blue)):
        c.add(p.BOX, x=x, y=base, dx=dx * w * snow, dy=high * (snow * 1.16 - 1), w=w * snow * 0.34, h=high * snow * 0.22,
              k=0.0, turn=3.14159, color=color_)  # fmt: skip


def water(c: Canvas, line: float, far: Color, near: Color, alpha: float, alpha_low: float, ripple: float = 0.006) -> None:
    """Everything painted so far is mirrored below the line; what follows stands in front of it."""
    c.water = (line, 1.0, ripple, 0.0)
    sky_color = c.light.middle
    tint = 0.42 if c.scene.time in ("sunset", "dawn", "dusk") else 0.12
    c.add(p.GRADIENT, y=line, h=1 - line, color=mix(c.tone(far, 0.1), sky_color, tint), low=mix(c.tone(near), sky_color, tint * 0.7),
          alpha=alpha, alpha_low=alpha_low, front=True, below=line)  # fmt: skip
    if c.fog:
        c.mist(line, 0.06, 0.6, front=True)
    crest = mix(c.tone(rgb(190, 226, 240)), c.light.haze, 0.35)
    for row in range(4):
        y = line + 0.05 + (1 - line) * row / 4 * 0.95
        for x in ((0.18, 0.66), (0.42, 0.9), (0.1, 0.56))[row % 3]:
            c.add(p.ELLIPSE, x=x, y=y, w=0.07 + 0.018 * row, h=0.006 + 0.001 * row, color=crest, alpha=0.28, edge=5, front=True)
    if c.scene.orb:
        glitter = mix(c.light.glow, WHITE, 0.2)
        strength = 0.3 if c.scene.weather == "foggy" else 0.75
        for row, (dx, w) in enumerate(((0.01, 0.055), (-0.014, 0.085), (0.012, 0.06), (-0.01, 0.1), (0.018, 0.07), (0.0, 0.11))):
            y = line + 0.028 + (1 - line) * row / 6.5 * 0.9
            c.add(p.ELLIPSE, x=SLOTS[c.scene.orb], y=y, dx=dx, w=w, h=0.0095 + 0.001 * row, color=glitter,
                  alpha=strength * (1 - row * 0.1), edge=5, front=True)  # fmt: skip


def flyers(c: Canvas, y: float) -> None:
    for thing in c.scene.things:
        if thing.kind in FLYING:
            size = {"balloon": (0.22, 0.32), "birds": (0.42, 0.6)}[thing.kind][thing.near]
            spot = c.spot(SLOTS[thing.slot], y + (0.05 if thing.kind == "balloon" and thing.near else 0.0), size, 0.0 if thing.near else 0.2, care=2.0)
            HOW[thing.kind](spot, thing)


def standers(c: Canvas, y_far: float, y_near: float, far: float = 0.24, near: float = 0.38, skip: Sequence[str] = (), *, front: bool = False) -> None:  # fmt: skip
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


# --- the places


def mountains(c: Canvas) -> None:
    sky(c, 0.62)
    for x, high, w in ((0.1, 0.3, 0.3), (0.86, 0.32, 0.34)):
        mountain(c, x, 0.68, high, w, rgb(104, 114, 150), 0.42)
    mountain(c, c.lot.choice((0.36, 0.5, 0.62)), 0.7, c.lot.choice((0.42, 0.48)), 0.44, PEAK, 0.2, 0.36)
    c.mist(0.68, 0.06, 0.35 + c.fog)
    flyers(c, 0.2)
    c.ridge(0.71, 0.012, 0.9, c.earth(FIR), 0.2, fine=0.035, fine_waves=13, firs=True)
    c.ridge(0.77, 0.015, 0.6, c.earth(GRASS), 0.04, low=c.earth(DEEP_GRASS))
    for x in (0.06, 0.94):
        if free(c, x, 0.15):
            pine(c.spot(x, 0.93, 0.3), 0, 1)
    standers(c, 0.8, 0.92)


def hills(c: Canvas) -> None:
    sky(c, 0.58)
    flyers(c, 0.2)
    c.ridge(0.56, 0.04, 0.8, c.earth(rgb(132, 172, 150)), 0.55)
    c.ridge(0.63, 0.035, 0.7, c.earth(rgb(122, 176, 112)), 0.3)
    if c.fog:
        c.mist(0.64, 0.05, 0.5)
    for dx in (0.0, 0.11, 0.22) if c.scene.variant % 2 and free(c, 0.85, 0.24) else ():
        spot = c.spot(0.78, 0.685, 0.15, 0.3)
        spot.box(dx / 0.15, 0.2, 0.04, 0.22, rgb(110, 80, 60))
        spot.oval(dx / 0.15, 0.58, 0.26, 0.3, c.earth(rgb(96, 156, 100)), c.earth(rgb(70, 128, 84)))
    c.ridge(0.72, 0.03, 0.55, c.earth(rgb(126, 184, 92)), 0.1, low=c.earth(rgb(96, 160, 84)))
    c.ridge(0.84, 0.02, 0.6, c.earth(rgb(104, 168, 78)), 0.0, low=c.earth(rgb(60, 120, 66)))
    standers(c, 0.76, 0.9)


def forest(c: Canvas) -> None:
    sky(c, 0.56)
    flyers(c, 0.16)
    c.ridge(0.5, 0.02, 0.9, c.earth(rgb(84, 130, 112)), 0.6, fine=0.06, fine_waves=9, firs=True)
    c.mist(0.58, 0.05, 0.25 + c.fog)
    c.ridge(0.57, 0.015, 0.9, c.earth(rgb(62, 112, 90)), 0.35, fine=0.075, fine_waves=7, firs=True)
    if c.fog:
        c.mist(0.66, 0.05, 0.5)
    c.ridge(0.72, 0.012, 0.6, c.earth(rgb(106, 156, 84)), 0.06, low=c.earth(rgb(58, 108, 66)))
    for x, size, y in ((0.16, 0.5, 0.78), (0.3, 0.36, 0.76), (0.84, 0.5, 0.78), (0.7, 0.36, 0.76)):
        if free(c, x, 0.2):
            pine(c.spot(x, y, size, 0.1), 0, 1)
    for x in (0.02, 0.98):
        pine(c.spot(x, 0.95, 0.62), 0, 1)
    standers(c, 0.8, 0.92)


def desert(c: Canvas) -> None:
    sky(c, 0.6)
    sand, low = rgb(238, 186, 112), rgb(206, 142, 84)
    kind = c.scene.variant % 3
    if kind == 0:
        for x, w, high in ((0.2, 0.15, 0.2), (0.82, 0.18, 0.26)):
            c.add(p.BOX, x=x, y=0.62, dy=-high / 2, w=w, h=high / 2, k=0.78, color=c.tone(rgb(196, 104, 74), 0.3), low=c.tone(rgb(150, 78, 66), 0.3), round_=0.01)
            c.add(p.BOX, x=x, y=0.62, dx=w * 0.5, dy=-high / 2, w=w * 0.4, h=high / 2, k=0.78, color=c.tone(rgb(160, 84, 70), 0.3), low=c.tone(rgb(130, 70, 64), 0.3))
    elif kind == 1:
        for x, w, high in ((0.3, 0.22, 0.24), (0.7, 0.26, 0.29)):
            c.add(p.BOX, x=x, y=0.64, dy=-high / 2, w=w, h=high / 2, k=0.0, color=c.tone(rgb(228, 176, 110), 0.2), low=c.tone(rgb(214, 160, 100), 0.25))
            c.add(p.BOX, x=x, y=0.64, dx=w * 0.5, dy=-high / 2, w=w * 0.5, h=high / 2, k=0.0, lean=-1.0, color=c.tone(rgb(166, 116, 82), 0.2), low=c.tone(rgb(170, 120, 86), 0.25))
    flyers(c, 0.2)
    c.ridge(0.62, 0.025, 0.7, sand, 0.28, low=low)
    if c.fog:
        c.mist(0.64, 0.05, 0.5)
    c.ridge(0.72, 0.035, 0.55, mix(sand, low, 0.3), 0.08, low=low)
    c.ridge(0.86, 0.025, 0.5, mix(sand, low, 0.6), 0.0, low=mix(low, BLACK, 0.2))
    standers(c, 0.76, 0.91)


def sea(c: Canvas) -> None:
    line = (0.5, 0.5625, 0.5625, 0.5625)[c.scene.variant % 4]
    sky(c, line)
    if c.scene.variant % 2:
        c.ridge(line - 0.015, 0.02, 0.9, rgb(110, 136, 150), 0.5, fine=0.012, fine_waves=2.2, above=line)
    flyers(c, 0.22)
    water(c, line, rgb(84, 172, 204), rgb(28, 94, 150), 0.45, 0.94)
    for thing in sorted(c.scene.things, key=lambda thing: thing.near):
        if thing.kind == "boat":
            _afloat(c, thing, line + 0.05, line + 0.24, 0.22, 0.4)
        elif thing.kind == "lighthouse":
            _on_a_rock(c, thing, line)
    if c.scene.variant == 3:
        beach(c, 0.93)


def _afloat(c: Canvas, thing: Thing, y_far: float, y_near: float, far: float, near: float) -> None:
    y, size, away = (y_near, near, 0.0) if thing.near else (y_far, far, 0.15)
    HOW["boat"](c.spot(SLOTS[thing.slot], y, size, away, front=True, care=1.7), thing)


def _on_a_rock(c: Canvas, thing: Thing, line: float) -> None:
    x, y = SLOTS[thing.slot], line + (0.2 if thing.near else 0.08)
    size, wide = (0.44, 0.2) if thing.near else (0.34, 0.14)
    top = line + (0.03 if thing.near else -0.01)
    half = (y - top) / 2
    c.add(p.ELLIPSE, x=x, y=y, w=wide * 1.25, h=0.02, color=c.tone(rgb(220, 236, 244), 0.1), alpha=0.6, edge=6, front=True)
    c.add(p.BOX, x=x, y=y, dy=-half, w=wide, h=half + 0.004, k=0.7, round_=0.012, front=True, color=c.tone(mix(ROCK, WHITE, 0.1), 0.05), low=c.tone(mix(ROCK, BLACK, 0.25), 0.05))
    c.add(p.BOX, x=x, y=y, dy=-half * 2 + 0.008, w=wide * 0.7, h=0.012, round_=0.01, front=True, color=c.tone(c.earth(rgb(126, 150, 96)), 0.05))
    HOW["lighthouse"](c.spot(x, top + 0.012, size, 0.05, front=True, care=1.7), thing)


def beach(c: Canvas, y: float) -> None:
    c.ridge(y, 0.02, 0.6, rgb(240, 214, 160), 0.0, deep=0.12, low=rgb(214, 178, 124), front=True)


def lake(c: Canvas) -> None:
    line = 0.5625
    sky(c, line)
    if c.scene.variant % 4 < 3:
        mountain(c, 0.14, line, 0.26, 0.3, rgb(104, 114, 150), 0.4, 0.32)
        mountain(c, 0.86, line, 0.28, 0.32, rgb(100, 110, 148), 0.38, 0.32)
        mountain(c, c.lot.choice((0.4, 0.5, 0.6)), line, c.lot.choice((0.34, 0.4)), 0.36, PEAK, 0.2, 0.36)
    else:
        c.ridge(line - 0.1, 0.05, 0.8, c.earth(rgb(116, 150, 140)), 0.5)
        c.ridge(line - 0.05, 0.04, 0.9, c.earth(rgb(100, 150, 110)), 0.3)
    c.mist(line - 0.02, 0.05, 0.3 + c.fog)
    c.ridge(line - 0.03, 0.01, 0.9, c.earth(rgb(60, 108, 90)), 0.22, fine=0.03, fine_waves=14, firs=True)
    flyers(c, 0.18)
    for thing in c.scene.things:
        if thing.kind not in (*FLYING, "boat"):
            c.add(p.ELLIPSE, x=SLOTS[thing.slot], y=line + 0.004, w=0.2, h=0.03, color=c.tone(c.earth(rgb(110, 150, 86)), 0.1))
            put(c, thing, line - 0.005, line, 0.24, 0.31)
    water(c, line, rgb(112, 170, 190), rgb(38, 92, 132), 0.3, 0.72)
    for thing in c.scene.things:
        if thing.kind == "boat":
            _afloat(c, thing, line + 0.07, line + 0.22, 0.24, 0.38)
    c.ridge(0.95, 0.02, 0.7, c.earth(rgb(84, 134, 80)), 0.0, low=c.earth(rgb(52, 92, 64)), deep=0.1, front=True)


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
            HOW["house"](c.spot(x, 0.745 + 0.012 * (number % 2), 0.16, 0.14), Thing("house", c.lot.choice(("white", "yellow", "orange", "pink")), roof, "left"))
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
    for number, (x, top) in enumerate(zip((0.36, 0.45, 0.545, 0.64), c.lot.choice(((0.44, 0.36, 0.48, 0.4), (0.4, 0.48, 0.34, 0.46))), strict=True)):
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
    c.add(p.GRADIENT, y=ground, h=1 - ground, color=c.tone(mix(road, BLACK, 0.1), 0.12), low=c.tone(mix(road, BLACK, 0.4)), alpha=alpha, alpha_low=alpha_low, front=True, below=ground)
    c.add(p.BOX, x=0.5, y=ground, w=1.6, h=0.008, color=c.tone(mix(road, WHITE, 0.15), 0.1), alpha=0.8, front=True)
    if not wet and not scene.snow:
        for number, (y, w) in enumerate(((0.79, 0.012), (0.85, 0.02), (0.94, 0.03))):
            c.add(p.BOX, x=0.5, y=y, w=w, h=0.014 + 0.008 * number, k=0.75, color=c.tone(rgb(236, 222, 170)), alpha=0.75, front=True)
    streets_lamps(c, ground)
    for thing in sorted(scene.things, key=lambda thing: thing.near):
        put(c, thing, 0.84, 0.94, 0.3, 0.48, front=True)


def city(c: Canvas) -> None:
    line = 0.6875
    sky(c, line)
    for number in range(8):
        x = (number + 0.5) / 8
        building(c, x - 0.06, x + 0.06, line - c.lot.choice((0.16, 0.22, 0.3)), line, number + c.scene.variant, 0.55, 3, 6, number % 4, 0.45)
    c.mist(line - 0.1, 0.12, 0.15 + c.fog * 0.8)
    flyers(c, 0.17)
    for number in range(6):
        x = (number + 0.5) / 6 + c.lot.choice((-0.02, 0.02))
        building(c, x - 0.066, x + 0.066, line - c.lot.choice((0.12, 0.2, 0.28, 0.36)), line, 2 * number + c.scene.variant, 0.16, 3, 7, number % 4, 0.55)
    water(c, line, rgb(96, 150, 180), rgb(30, 74, 118), 0.32, 0.75, 0.007)
    for thing in c.scene.things:
        if thing.kind == "boat":
            _afloat(c, thing, line + 0.06, line + 0.18, 0.22, 0.34)


def flowers(c: Canvas) -> None:
    sky(c, 0.52)
    flyers(c, 0.18)
    c.ridge(0.5, 0.035, 0.8, rgb(132, 172, 150), 0.5)
    c.ridge(0.57, 0.02, 0.7, rgb(112, 166, 104), 0.25)
    if c.fog:
        c.mist(0.6, 0.05, 0.45)
    standers_far = [thing for thing in c.scene.things if not thing.near and thing.kind not in FLYING]
    for thing in standers_far:
        put(c, thing, 0.63, 0.63, 0.26, 0.26)
    c.add(p.GRADIENT, y=0.62, h=0.38, color=c.tone(rgb(104, 164, 88), 0.08), low=c.tone(rgb(58, 118, 66)), below=0.62)
    rows = (("pink", "yellow", "red"), ("purple", "white", "pink"), ("red", "orange", "yellow"), ("blue", "purple", "white"))[c.scene.variant % 4]
    for number, (y, high) in enumerate(((0.665, 0.016), (0.72, 0.024), (0.8, 0.034), (0.905, 0.046))):
        color = COLORS[rows[number % 3]]
        c.ridge(y - high * 0.7, 0.0, 1.0, rgb(70, 132, 74), 0.04, deep=0.1, above=y + high)
        c.ridge(y - high, 0.0, 1.0, mix(color, WHITE, 0.12), 0.06 - 0.02 * number, fine=high * 0.22, fine_waves=(30, 20, 14, 10)[number], low=mix(color, BLACK, 0.12), deep=high * 2, above=y + high * 0.35)
    near = [thing for thing in c.scene.things if thing.near and thing.kind not in FLYING]
    for thing in near:
        put(c, thing, 0.9, 0.93, 0.38, 0.38)
    if c.scene.sign:
        sign_post(c, c.scene.sign, 0.95)


def island(c: Canvas) -> None:
    line = 0.5625
    sky(c, line)
    flyers(c, 0.18)
    water(c, line, rgb(96, 208, 208), rgb(30, 130, 170), 0.45, 0.92)
    for thing in c.scene.things:
        if thing.kind == "boat" and not thing.near:
            _afloat(c, thing, line + 0.04, 0, 0.2, 0)
    sand = rgb(246, 220, 164)
    c.add(p.ELLIPSE, x=0.5, y=0.78, w=0.46, h=0.1, color=c.tone(rgb(214, 244, 240), 0.05), alpha=0.7, edge=8, front=True)
    c.add(p.ELLIPSE, x=0.5, y=0.765, w=0.42, h=0.085, color=c.tone(sand), low=c.tone(mix(sand, BLACK, 0.15)), front=True)
    c.add(p.ELLIPSE, x=0.5, y=0.735, w=0.3, h=0.045, color=c.tone(rgb(120, 190, 100)), low=c.tone(rgb(84, 156, 84)), front=True)
    for thing in c.scene.things:
        if thing.kind not in (*FLYING, "boat"):
            put(c, thing, 0.75, 0.77, 0.32, 0.42, front=True)
    if not any(thing.kind == "palm" for thing in c.scene.things):
        HOW["palm"](c.spot(0.6 if free(c, 0.62, 0.13) else 0.38, 0.745, 0.3, front=True), Thing("palm", "green", "", "right"))
    for thing in c.scene.things:
        if thing.kind == "boat" and thing.near:
            _afloat(c, thing, 0, 0.94, 0, 0.36)


def space(c: Canvas) -> None:
    top, low = ((rgb(14, 10, 40), rgb(58, 34, 96)), (rgb(8, 16, 44), rgb(24, 62, 104)))[c.scene.look]
    c.add(p.GRADIENT, h=0.8, color=top, low=low)
    c.add(p.GLOW, x=0.3, y=0.3, w=0.6, h=0.3, color=mix(low, rgb(220, 90, 160), 0.5), alpha=0.35)
    stars(c, 0.72, 0.8)
    x, y, planet = ((0.78, 0.22, "orange"), (0.2, 0.24, "cyan"), (0.8, 0.26, "purple"), (0.24, 0.2, "pink"))[c.scene.variant % 4]
    s = c.spot(x, y, 0.11)
    s.glow(0, 0, 2.2, 2.2, COLORS[planet], 0.35)
    s.oval(0, 0, 1, 1, mix(COLORS[planet], WHITE, 0.25), mix(COLORS[planet], BLACK, 0.25), plain=True)
    s.oval(0, -0.05, 1.75, 0.2, mix(COLORS[planet], WHITE, 0.6), plain=True, alpha=0.85, turn=-0.3)
    s.oval(0, 0, 1, 1, mix(COLORS[planet], WHITE, 0.25), mix(COLORS[planet], WHITE, 0.1), plain=True, k=-0.06)
    for ridge_y, high, far in ((0.72, 0.02, 0.45), (0.8, 0.02, 0.1)):
        gray = mix(rgb(158, 156, 176), low, far)
        c.add(p.RIDGE, y=ridge_y, w=high, h=0.3, k=0.7, lean=c.lot.random(), color=gray, low=mix(gray, BLACK, 0.35), p=(0.006, 2.3, c.lot.random(), 0.0))
    for x, y, w in ((0.16, 0.86, 0.09), (0.84, 0.9, 0.11), (0.5, 0.8, 0.06)):
        c.add(p.ELLIPSE, x=x, y=y, w=w, h=w * 0.3, color=rgb(84, 82, 104), low=rgb(120, 118, 138))
        c.add(p.ELLIPSE, x=x, y=y, dy=0.008, w=w * 0.85, h=w * 0.22, color=rgb(100, 98, 120), low=rgb(134, 132, 152))
    for thing in c.scene.things:
        put(c, thing, 0.82, 0.93, 0.26, 0.46, front=True)


def poster(c: Canvas) -> None:
    scene, ground = c.scene, COLORS[c.scene.ground]
    c.add(p.GRADIENT, color=mix(ground, WHITE, 0.06), low=ground)
    if scene.sign:
        color = COLORS[scene.sign.color]
        unit = (1 / 4 if scene.sign.large else 3 / 16) / 6
        half = (6 * (len(scene.sign.text) - 1) + 8.2) / 2 * unit
        c.add(p.BOX, x=0.5, y=0.5, w=half, h=5.2 * unit, round_=0.03, color=color, care=1.5)
        c.write(0.5, 0.5, scene.sign.text, unit, rgb(24, 24, 30) if is_light(color) else WHITE)
    size = 0.28 if len(scene.things) == 1 else 0.125
    for thing in scene.things:
        x = 0.5 if thing.slot == "center" else 0.2 if thing.slot == "left" else 0.8
        x = {0.2: 0.27, 0.8: 0.73}.get(x, x) if len(scene.things) == 2 else x
        s, color = c.spot(x, 0.5, size), COLORS[thing.color]
        if thing.kind == "circle":
            s.oval(0, 0, 1, 1, color, plain=True)
        elif thing.kind == "square":
            s.box(0, 0, 0.88, 0.88, color, plain=True, round_=0.06)
        elif thing.kind == "triangle":
            s.box(0, 0, 1, 0.87, color, plain=True, k=0.0)
        else:
            star(s, color)


def star(s: Spot, color: Color) -> None:
    for point in range(5):
        a = point * 2 * math.pi / 5
        s.box(math.sin(a) * 0.52, math.cos(a) * 0.52, 0.36, 0.5, color, plain=True, k=0.0, turn=a)
    s.oval(0, 0, 0.36, 0.36, color, plain=True)


HOW_PLACES: dict[str, Callable[[Canvas], None]] = {
    "mountains": mountains, "hills": hills, "forest": forest, "desert": desert, "sea": sea, "lake": lake,
    "village": village, "street": street, "city": city, "flowers": flowers, "island": island, "space": space,
    "poster": poster,
}  # fmt: skip


def painted(scene: Scene) -> Canvas:
    """All parts of a scene, and where its letters are."""
    canvas = Canvas(scene)
    HOW_PLACES[scene.place](canvas)
    if scene.place not in ("poster", "space"):
        weather_in_front(canvas)
    if len(canvas.rows) > p.MAX_PARTS:
        raise ValueError(f"{scene} has {len(canvas.rows)} parts; at most {p.MAX_PARTS} are painted")
    return canvas
