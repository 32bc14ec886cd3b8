"""Fields of flowers, an island, space and posters. Knows no other place."""

from __future__ import annotations

import math

from o1_tiny.illustrated import parts as p
from o1_tiny.illustrated.canvas import Canvas, Spot
from o1_tiny.illustrated.land import (
    afloat,
    flyers,
    free,
    water,
)
from o1_tiny.illustrated.palette import BLACK, COLORS, WHITE, is_light, mix, rgb
from o1_tiny.illustrated.parts import Color
from o1_tiny.illustrated.scene import FLYING, Thing
from o1_tiny.illustrated.sky import sky, stars
from o1_tiny.illustrated.things import HOW, put, sign_post


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
    rows = (
        ("pink", "yellow", "red"),
        ("purple", "white", "pink"),
        ("red", "orange", "yellow"),
        ("blue", "purple", "white"),
    )[c.scene.variant % 4]
    for number, (y, high) in enumerate(((0.665, 0.016), (0.72, 0.024), (0.8, 0.034), (0.905, 0.046))):
        color = COLORS[rows[number % 3]]
        c.ridge(y - high * 0.7, 0.0, 1.0, rgb(70, 132, 74), 0.04, deep=0.1, above=y + high)
        c.ridge(
            y - high,
            0.0,
            1.0,
            mix(color, WHITE, 0.12),
            0.06 - 0.02 * number,
            fine=high * 0.22,
            fine_waves=(30, 20, 14, 10)[number],
            low=mix(color, BLACK, 0.12),
            deep=high * 2,
            above=y + high * 0.35,
        )
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
            afloat(c, thing, line + 0.04, 0, 0.2, 0)
    sand = rgb(246, 220, 164)
    c.add(
        p.ELLIPSE, x=0.5, y=0.78, w=0.46, h=0.1, color=c.tone(rgb(214, 244, 240), 0.05), alpha=0.7, edge=8, front=True
    )
    c.add(
        p.ELLIPSE, x=0.5, y=0.765, w=0.42, h=0.085, color=c.tone(sand), low=c.tone(mix(sand, BLACK, 0.15)), front=True
    )
    c.add(
        p.ELLIPSE,
        x=0.5,
        y=0.735,
        w=0.3,
        h=0.045,
        color=c.tone(rgb(120, 190, 100)),
        low=c.tone(rgb(84, 156, 84)),
        front=True,
    )
    for thing in c.scene.things:
        if thing.kind not in (*FLYING, "boat"):
            put(c, thing, 0.75, 0.77, 0.32, 0.42, front=True)
    if not any(thing.kind == "palm" for thing in c.scene.things):
        HOW["palm"](
            c.spot(0.6 if free(c, 0.62, 0.13) else 0.38, 0.745, 0.3, front=True), Thing("palm", "green", "", "right")
        )
    for thing in c.scene.things:
        if thing.kind == "boat" and thing.near:
            afloat(c, thing, 0, 0.94, 0, 0.36)


def space(c: Canvas) -> None:
    top, low = ((rgb(14, 10, 40), rgb(58, 34, 96)), (rgb(8, 16, 44), rgb(24, 62, 104)))[c.scene.look]
    c.add(p.GRADIENT, h=0.8, color=top, low=low)
    c.add(p.GLOW, x=0.3, y=0.3, w=0.6, h=0.3, color=mix(low, rgb(220, 90, 160), 0.5), alpha=0.35)
    stars(c, 0.72, 0.8)
    x, y, planet = ((0.78, 0.22, "orange"), (0.2, 0.24, "cyan"), (0.8, 0.26, "purple"), (0.24, 0.2, "pink"))[
        c.scene.variant % 4
    ]
    s = c.spot(x, y, 0.11)
    s.glow(0, 0, 2.2, 2.2, COLORS[planet], 0.35)
    s.oval(0, 0, 1, 1, mix(COLORS[planet], WHITE, 0.25), mix(COLORS[planet], BLACK, 0.25), plain=True)
    s.oval(0, -0.05, 1.75, 0.2, mix(COLORS[planet], WHITE, 0.6), plain=True, alpha=0.85, turn=-0.3)
    s.oval(0, 0, 1, 1, mix(COLORS[planet], WHITE, 0.25), mix(COLORS[planet], WHITE, 0.1), plain=True, k=-0.06)
    for ridge_y, high, far in ((0.72, 0.02, 0.45), (0.8, 0.02, 0.1)):
        gray = mix(rgb(158, 156, 176), low, far)
        c.add(
            p.RIDGE,
            y=ridge_y,
            w=high,
            h=0.3,
            k=0.7,
            lean=c.lot.random(),
            color=gray,
            low=mix(gray, BLACK, 0.35),
            p=(0.006, 2.3, c.lot.random(), 0.0),
        )
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
