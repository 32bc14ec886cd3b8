"""How each thing looks, from where it stands. To add one: a function, its row in `HOW`, its colours in scene.py."""

from __future__ import annotations

import math
from collections.abc import Callable

from o1_tiny.illustrated import parts as p
from o1_tiny.illustrated.canvas import Canvas, Spot
from o1_tiny.illustrated.palette import BLACK, COLORS, SNOW, WHITE, is_light, mix, rgb
from o1_tiny.illustrated.scene import SLOTS, Sign, Thing

SHADE, NAVY = rgb(26, 16, 52), rgb(0, 0, 24)
WOOD, DOOR, SKIN, HAIR, DARK = rgb(104, 70, 50), rgb(96, 60, 44), rgb(236, 188, 152), rgb(78, 46, 38), rgb(48, 42, 56)


def house(s: Spot, t: Thing) -> None:
    wall, roof = COLORS[t.color], COLORS[t.second]
    top, low = (SNOW, mix(roof, SNOW, 0.55)) if s.snowy else (mix(roof, WHITE, 0.1), mix(roof, BLACK, 0.15))
    s.box(0.26, 0.86, 0.055, 0.17, rgb(120, 76, 64))
    s.box(0, 0.28, 0.46, 0.28, wall)
    s.box(0.3, 0.28, 0.16, 0.28, mix(wall, SHADE, 0.28))
    s.box(0, 0.76, 0.56, 0.22, top, low, k=0.42)
    s.box(-0.02, 0.16, 0.075, 0.16, DOOR)
    s.window(-0.27, 0.33, 0.085, 0.09)
    s.window(0.29, 0.33, 0.075, 0.09)


def lighthouse(s: Spot, t: Thing) -> None:
    lamp = s.canvas.dark or s.canvas.scene.weather in ("foggy", "rainy")
    c, stripe = s.canvas, COLORS[t.second]
    if lamp:
        side = -1 if t.slot == "right" else 1
        for way, alpha in ((side, 0.62), (-side, 0.3)):
            c.add(p.BOX, x=s.x, y=s.y, dx=way * 0.62, dy=-0.91 * s.size, w=0.13, h=0.6, k=0.12, turn=-way * math.pi / 2,
                  color=rgb(255, 236, 170), alpha=alpha, alpha_low=0.0, edge=14, front=s.front)  # fmt: skip
    s.box(0, 0.4, 0.155, 0.42, rgb(250, 248, 242), rgb(222, 222, 226), k=0.66)
    for up in (0.16, 0.5):
        s.box(0, up, 0.158 * (0.66 + 0.34 * (0.82 - up) / 0.84), 0.085, stripe, k=0.94)
    s.box(0, 0.835, 0.15, 0.022, rgb(60, 62, 72))
    s.box(0, 0.91, 0.075, 0.065, rgb(255, 232, 145), plain=lamp)
    s.box(0, 1.02, 0.12, 0.055, stripe, k=0.1)
    if lamp:
        s.glow(0, 0.91, 0.3, 0.3, rgb(255, 240, 180), 0.75)


def windmill(s: Spot, t: Thing) -> None:
    wall, sail = COLORS[t.color], rgb(246, 238, 220)
    s.box(0, 0.38, 0.23, 0.38, wall, mix(wall, SHADE, 0.22), k=0.62)
    s.oval(0, 0.74, 0.22, 0.3, COLORS[t.second], k=0.05)  # high enough to be seen behind the sails
    s.box(0, 0.12, 0.06, 0.12, DOOR)
    s.window(0, 0.46, 0.04, 0.05)
    for quarter in range(4):
        a = math.radians(38 + 90 * quarter)
        s.box(
            math.sin(a) * 0.3,
            0.78 + math.cos(a) * 0.3,
            0.062,
            0.25,
            sail,
            k=1.25,
            turn=a,
            lift=0.25 if s.canvas.dark else 0,
        )
    s.oval(0, 0.78, 0.04, 0.04, rgb(96, 66, 52))


def castle(s: Spot, t: Thing) -> None:
    wall, roof = COLORS[t.color], COLORS[t.second]
    shade = mix(wall, SHADE, 0.25)
    for dx, w, high, color in ((0.0, 0.15, 0.82, shade), (-0.36, 0.13, 0.62, wall), (0.36, 0.13, 0.62, shade)):
        s.box(dx, high / 2, w, high / 2, color)
        s.box(dx, high + 0.14, w * 1.25, 0.15, roof, k=0.0)
        s.window(dx, high - 0.13, 0.034, 0.05)
    s.box(0, 0.2, 0.36, 0.2, wall)
    for dx in (-0.24, -0.08, 0.08, 0.24):
        s.box(dx, 0.42, 0.045, 0.045, wall)
    s.oval(0, 0.1, 0.1, 0.14, rgb(70, 46, 40), k=0.72)


def tower(s: Spot, t: Thing) -> None:
    wall = COLORS[t.color]
    s.box(0, 0.4, 0.15, 0.4, wall, mix(wall, SHADE, 0.3), k=0.9)
    s.box(0, 0.8, 0.19, 0.06, mix(wall, BLACK, 0.15))
    s.box(0, 0.98, 0.21, 0.15, COLORS[t.second], k=0.0)
    s.window(0, 0.56, 0.035, 0.06)


def church(s: Spot, t: Thing) -> None:
    wall, roof = COLORS[t.color], COLORS[t.second]
    s.box(0.22, 0.22, 0.34, 0.22, mix(wall, SHADE, 0.2))
    s.box(0.22, 0.57, 0.4, 0.15, SNOW if s.snowy else roof, k=0.6)
    s.box(-0.22, 0.42, 0.15, 0.42, wall)
    s.box(-0.22, 1.08, 0.19, 0.27, roof, k=0.0)
    s.window(-0.22, 0.6, 0.05, 0.08)
    for dx in (0.08, 0.3):
        s.window(dx, 0.24, 0.05, 0.09)


def boat(s: Spot, t: Thing) -> None:
    hull, sail = COLORS[t.second], COLORS[t.color]
    parts = (  # dx, up, w, h, k, lean, colours
        (0.0, 0.09, 0.3, 0.09, 1.42, 0.0, mix(hull, WHITE, 0.12), mix(hull, BLACK, 0.15)),
        (0.0, 0.6, 0.018, 0.44, 1.0, 0.0, WOOD, WOOD),
        (0.19, 0.62, 0.17, 0.38, 0.0, -1.0, sail, mix(sail, WHITE, 0.12)),
        (-0.15, 0.55, 0.13, 0.3, 0.0, 0.95, mix(sail, WHITE, 0.35), mix(sail, WHITE, 0.35)),
    )
    for dx, up, w, h, k, lean, color, low in parts:  # in the water
        s.box(dx, -up * 0.8, w, h * 0.8, color, low, k=k, lean=-lean, turn=math.pi, alpha=0.34, edge=8, lift=0.15)
    for dx, up, w, h, k, lean, color, low in parts:
        s.box(dx, up, w, h, color, low, k=k, lean=lean, lift=0.15)


def balloon(s: Spot, t: Thing) -> None:
    silk, stripe = COLORS[t.color], mix(COLORS[t.color], COLORS[t.second], 0.75)
    lift = 0.55 if s.canvas.dark else 0.15
    if s.canvas.dark:
        s.glow(0, 0, 0.8, 0.8, rgb(255, 200, 120), 0.35)
    low = mix(silk, SHADE, 0.2)
    s.box(0, -0.42, 0.07, 0.06, rgb(122, 82, 54), k=1.12)
    s.box(0, -0.24, 0.07, 0.16, silk, low, k=4.1, lift=lift)
    s.oval(0, 0.06, 0.33, 0.33, mix(silk, WHITE, 0.12), mix(silk, low, 0.6), lift=lift)
    s.oval(0, 0.05, 0.12, 0.325, mix(stripe, WHITE, 0.1), stripe, lift=lift)


def woman(s: Spot, t: Thing) -> None:
    coat = COLORS[t.color]
    _legs(s, SKIN if not s.snowy else DARK)
    s.oval(-0.015, 0.8, 0.1, 0.15, HAIR, lift=0.2)
    s.box(0, 0.46, 0.185, 0.25, coat, mix(coat, NAVY, 0.25), k=0.48, round_=0.01, lift=0.2)
    s.oval(0.012, 0.84, 0.068, 0.085, SKIN, lift=0.4)
    s.oval(-0.005, 0.885, 0.086, 0.07, HAIR, k=0.1, lift=0.2)
    _umbrella(s, t)


def man(s: Spot, t: Thing) -> None:
    coat = COLORS[t.color]
    _legs(s, DARK)
    s.box(0, 0.5, 0.135, 0.26, coat, mix(coat, NAVY, 0.25), k=1.05, round_=0.03, lift=0.2)
    s.oval(0, 0.86, 0.072, 0.088, SKIN, lift=0.4)
    s.box(0, 0.92, 0.13, 0.014, DARK)
    s.box(0, 0.965, 0.078, 0.045, DARK, k=0.85)
    _umbrella(s, t)


def _legs(s: Spot, color: p.Color) -> None:
    s.shadow(0.24)
    for dx in (-0.055, 0.055):
        s.box(dx, 0.14, 0.036, 0.15, color, lift=0.2)
        s.oval(dx + 0.01, 0.012, 0.05, 0.028, DARK)


def _umbrella(s: Spot, t: Thing) -> None:
    if not t.second:
        return
    silk = COLORS[t.second]
    s.box(0.16, 0.84, 0.014, 0.3, DARK)
    s.box(0.12, 0.58, 0.075, 0.035, mix(COLORS[t.color], NAVY, 0.25))
    s.oval(0.12, 1.02, 0.4, 0.25, mix(silk, WHITE, 0.12), mix(silk, NAVY, 0.18), k=0.0, lift=0.4)
    s.oval(0.12, 1.02, 0.14, 0.25, mix(silk, WHITE, 0.28), silk, k=0.0, lift=0.4)


def cat(s: Spot, t: Thing) -> None:
    fur, lift = COLORS[t.color], 0.25 if t.color != "black" else 0.0
    s.shadow(0.42)
    s.oval(0.34, 0.2, 0.07, 0.26, fur, turn=0.45, lift=lift)
    s.oval(0.02, 0.3, 0.27, 0.33, fur, mix(fur, BLACK, 0.15), k=0.9, lift=lift)
    for dx in (-0.22, 0.02):
        s.box(dx, 0.93, 0.085, 0.11, fur, k=0.0, lift=lift)
    s.oval(-0.1, 0.72, 0.21, 0.185, fur, lift=lift)
    for dx in (-0.18, -0.02):
        s.oval(
            dx, 0.74, 0.036, 0.044, rgb(90, 160, 90) if t.color == "orange" else rgb(250, 220, 90), plain=True, edge=3
        )


def birds(s: Spot, t: Thing) -> None:
    for dx, up, q in ((0.0, 0.0, 1.0), (0.26, 0.1, 0.8), (-0.24, 0.13, 0.7)):
        for side in (-1, 1):
            s.box(dx + side * 0.066 * q, up, 0.022 * q, 0.084 * q, rgb(38, 40, 54), k=0.2, turn=side * 1.17)


def pine(s: Spot, dx: float, size: float) -> None:
    green = rgb(46, 104, 78)
    top = mix(green, SNOW, 0.75) if s.snowy else mix(green, WHITE, 0.14)
    s.box(dx, 0.06 * size, 0.045 * size, 0.07 * size, rgb(92, 62, 46))
    for up, w, h in ((0.28, 0.26, 0.34), (0.5, 0.2, 0.3), (0.72, 0.145, 0.28)):
        s.box(dx, up * size, w * size, h * size / 2, top, mix(green, BLACK, 0.25), k=0.0)


def pines(s: Spot, t: Thing) -> None:
    for dx, size in ((0, 1.2), (-0.34, 0.85), (0.36, 0.95)):
        pine(s, dx, size)


def tree(s: Spot, t: Thing) -> None:
    leaves = rgb(86, 158, 84) if t.color == "green" else COLORS[t.color]
    top = mix(leaves, SNOW, 0.6) if s.snowy else mix(leaves, WHITE, 0.15)
    s.box(0, 0.2, 0.06, 0.22, WOOD, k=0.6)
    for dx, up, q in ((-0.15, 0.5, 0.2), (0.16, 0.52, 0.19), (0.0, 0.7, 0.25)):
        s.oval(dx, up, q, q * 0.95, top, mix(leaves, BLACK, 0.25))


def palm(s: Spot, t: Thing) -> None:
    for step in range(4):
        s.box(
            0.02 + 0.045 * step,
            0.1 + 0.2 * step,
            0.045,
            0.115,
            mix(rgb(150, 108, 70), BLACK, 0.1 * (step % 2)),
            k=0.85,
            turn=0.2,
        )
    for angle, q in ((-1.9, 0.36), (-1.2, 0.4), (-0.5, 0.34), (0.45, 0.34), (1.15, 0.4), (1.85, 0.36)):
        s.oval(
            0.18 + math.sin(angle) * q * 0.8,
            0.86 + math.cos(angle) * q * 0.6,
            q * 0.2,
            q,
            rgb(62, 158, 88),
            rgb(34, 112, 74),
            turn=angle,
        )
    for dx in (0.13, 0.22):
        s.oval(dx, 0.82, 0.045, 0.045, rgb(122, 78, 46))


def cactus(s: Spot, t: Thing) -> None:
    light, low = rgb(70, 150, 92), rgb(44, 108, 74)
    for dx, start, end, w in ((0.0, 0.0, 1.0, 0.11), (-0.27, 0.38, 0.74, 0.075), (0.27, 0.3, 0.64, 0.075)):
        s.box(dx, (start + end) / 2, w, (end - start) / 2, light, low, round_=w * 0.9)
    for dx, up in ((-0.16, 0.42), (0.16, 0.34)):
        s.box(dx, up, 0.13, 0.06, low)


def tent(s: Spot, t: Thing) -> None:
    cloth = COLORS[t.color]
    s.box(0, 0.32, 0.52, 0.34, cloth, mix(cloth, BLACK, 0.12), k=0.0)
    s.box(0.2, 0.32, 0.32, 0.34, mix(cloth, SHADE, 0.3), k=0.0, lean=-0.62)
    if s.canvas.dark:
        s.glow(-0.12, 0.16, 0.4, 0.36, rgb(255, 200, 110), 0.4)
    s.box(-0.12, 0.2, 0.15, 0.21, rgb(255, 216, 130) if s.canvas.dark else DARK, k=0.0, lean=0.7, plain=s.canvas.dark)


def rocket(s: Spot, t: Thing) -> None:
    body, fins = COLORS[t.color], COLORS[t.second]
    s.glow(0, -0.02, 0.4, 0.3, rgb(255, 180, 90), 0.6)
    s.box(0, -0.02, 0.09, 0.12, rgb(255, 214, 110), rgb(244, 120, 60), k=1.6, plain=True)
    for side in (-1, 1):
        s.box(side * 0.2, 0.2, 0.11, 0.17, fins, mix(fins, BLACK, 0.2), k=0.2, lean=-side * 0.8, lift=0.5)
    s.oval(0, 0.52, 0.18, 0.46, mix(body, WHITE, 0.15), mix(body, SHADE, 0.25), k=0.85, lift=0.5)
    s.oval(0, 0.66, 0.08, 0.08, rgb(70, 90, 120))
    s.oval(0, 0.66, 0.055, 0.055, rgb(150, 220, 240), plain=True)
    s.box(0, 0.93, 0.085, 0.09, fins, k=0.0, lift=0.5)


HOW: dict[str, Callable[[Spot, Thing], None]] = {
    "house": house, "lighthouse": lighthouse, "windmill": windmill, "castle": castle, "tower": tower, "church": church,
    "boat": boat, "balloon": balloon, "woman": woman, "man": man, "cat": cat, "birds": birds, "pines": pines,
        "tree": tree,
    "palm": palm, "cactus": cactus, "tent": tent, "rocket": rocket,
}  # fmt: skip
SIZES = {  # of a near thing in units of what the place gives it
    "house": 0.8, "castle": 1.0, "tower": 1.1, "church": 0.85, "windmill": 1.05, "tree": 1.25, "cactus": 0.9,
        "woman": 0.95,
    "man": 0.95, "cat": 0.68, "tent": 0.75, "palm": 1.1, "rocket": 1.15,
}  # fmt: skip
CARES = {"woman": 2.5, "man": 2.5, "cat": 3.0, "birds": 3.0}
USUAL_CARE = 1.7


def put(
    canvas: Canvas,
    thing: Thing,
    y_far: float,
    y_near: float,
    far: float = 0.2,
    near: float = 0.34,
    *,
    front: bool = False,
) -> None:
    """A thing on the ground: at `y_far` of size `far`, or at `y_near` of size `near`."""
    y, size, away = (y_near, near, 0.0) if thing.near else (y_far, far, 0.12)
    size *= SIZES.get(thing.kind, 1.0)
    care = CARES.get(thing.kind, USUAL_CARE)
    HOW[thing.kind](canvas.spot(SLOTS[thing.slot], y, size, away, front=front, care=care), thing)


LETTER_CELL = {False: 1 / 8, True: 3 / 16}  # shares of the shorter side, from letter to letter; small and large signs


def sign_place(sign: Sign) -> tuple[float, float, float]:
    """x as a share of the width, half width, and the letters' grid unit."""
    unit = LETTER_CELL[sign.large] / 6
    count = len(sign.text)
    half = (6 * (count - 1) + 8.4) / 2 * unit
    wide = half > 0.2
    return {"left": 5 / 16 if wide else 0.25, "center": 0.5, "right": 11 / 16 if wide else 0.75}[sign.slot], half, unit


def hung_sign(canvas: Canvas, sign: Sign, y: float) -> None:
    """A board on a wall, lit where it is neon."""
    x, half, unit = sign_place(sign)
    color = COLORS[sign.color]
    more = {"x": x, "y": y, "care": 2.0}
    if not sign.neon:
        canvas.add(p.BOX, w=half, h=5.4 * unit, round_=0.02, color=canvas.tone(color), **more)
        canvas.write(x, y, sign.text, unit, rgb(30, 30, 40) if is_light(color) else WHITE)
        return
    canvas.add(p.GLOW, w=half * 1.7, h=10 * unit, color=color, alpha=0.55, x=x, y=y)
    canvas.add(p.BOX, w=half + 0.012, h=5.6 * unit, round_=0.03, color=mix(color, WHITE, 0.3), **more)
    canvas.add(p.BOX, w=half, h=5.6 * unit - 0.012, round_=0.022, color=mix(rgb(18, 14, 34), color, 0.1), **more)
    canvas.write(x, y, sign.text, unit, mix(rgb(18, 14, 34), color, 0.5), wide=1.7)
    canvas.write(x, y, sign.text, unit, mix(color, WHITE, 0.55))


def sign_post(canvas: Canvas, sign: Sign, y: float) -> None:
    """A board on two posts in the ground."""
    x, half, unit = sign_place(sign)
    color, wood = mix(canvas.tone(COLORS[sign.color]), COLORS[sign.color], 0.25), canvas.tone(rgb(110, 74, 52))
    for side in (-0.55, 0.55):
        canvas.add(p.BOX, x=x, y=y, dx=side * half, dy=-0.07, w=0.014, h=0.08, color=wood, front=True)
    canvas.add(
        p.BOX,
        x=x,
        y=y,
        dy=-0.22,
        w=half,
        h=5.2 * unit,
        round_=0.02,
        color=mix(color, WHITE, 0.06),
        low=color,
        front=True,
        care=2.0,
    )
    ink = (
        canvas.tone(rgb(30, 30, 40))
        if is_light(COLORS[sign.color])
        else mix(canvas.tone(rgb(250, 250, 245)), WHITE, 0.3)
    )
    canvas.write(x, y, sign.text, unit, ink, dy=-0.22, front=True)
