"""How each place looks, from sky to foreground. To add one: a function, its row here and in scene.PLACES."""

from __future__ import annotations

from collections.abc import Callable

from o1_tiny.illustrated import parts as p
from o1_tiny.illustrated.canvas import Canvas
from o1_tiny.illustrated.elsewhere import flowers, island, poster, space
from o1_tiny.illustrated.land import (
    DEEP_GRASS,
    FIR,
    GRASS,
    PEAK,
    afloat,
    beach,
    flyers,
    free,
    mountain,
    on_a_rock,
    standers,
    water,
)
from o1_tiny.illustrated.palette import BLACK, mix, rgb
from o1_tiny.illustrated.scene import FLYING, SLOTS, Scene
from o1_tiny.illustrated.sky import sky, weather_in_front
from o1_tiny.illustrated.things import pine, put
from o1_tiny.illustrated.town import city, street, village


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
            c.add(
                p.BOX,
                x=x,
                y=0.62,
                dy=-high / 2,
                w=w,
                h=high / 2,
                k=0.78,
                color=c.tone(rgb(196, 104, 74), 0.3),
                low=c.tone(rgb(150, 78, 66), 0.3),
                round_=0.01,
            )
            c.add(
                p.BOX,
                x=x,
                y=0.62,
                dx=w * 0.5,
                dy=-high / 2,
                w=w * 0.4,
                h=high / 2,
                k=0.78,
                color=c.tone(rgb(160, 84, 70), 0.3),
                low=c.tone(rgb(130, 70, 64), 0.3),
            )
    elif kind == 1:
        for x, w, high in ((0.3, 0.22, 0.24), (0.7, 0.26, 0.29)):
            c.add(
                p.BOX,
                x=x,
                y=0.64,
                dy=-high / 2,
                w=w,
                h=high / 2,
                k=0.0,
                color=c.tone(rgb(228, 176, 110), 0.2),
                low=c.tone(rgb(214, 160, 100), 0.25),
            )
            c.add(
                p.BOX,
                x=x,
                y=0.64,
                dx=w * 0.5,
                dy=-high / 2,
                w=w * 0.5,
                h=high / 2,
                k=0.0,
                lean=-1.0,
                color=c.tone(rgb(166, 116, 82), 0.2),
                low=c.tone(rgb(170, 120, 86), 0.25),
            )
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
            afloat(c, thing, line + 0.05, line + 0.24, 0.22, 0.4)
        elif thing.kind == "lighthouse":
            on_a_rock(c, thing, line)
    if c.scene.variant == 3:
        beach(c, 0.93)


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
            c.add(
                p.ELLIPSE,
                x=SLOTS[thing.slot],
                y=line + 0.004,
                w=0.2,
                h=0.03,
                color=c.tone(c.earth(rgb(110, 150, 86)), 0.1),
            )
            put(c, thing, line - 0.005, line, 0.24, 0.31)
    water(c, line, rgb(112, 170, 190), rgb(38, 92, 132), 0.3, 0.72)
    for thing in c.scene.things:
        if thing.kind == "boat":
            afloat(c, thing, line + 0.07, line + 0.22, 0.24, 0.38)
    c.ridge(0.95, 0.02, 0.7, c.earth(rgb(84, 134, 80)), 0.0, low=c.earth(rgb(52, 92, 64)), deep=0.1, front=True)


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
