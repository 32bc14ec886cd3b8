"""Sky and weather: what is behind everything, and what falls in front of it. Knows no places."""

from __future__ import annotations

from o1_tiny.illustrated import parts as p
from o1_tiny.illustrated.canvas import Canvas
from o1_tiny.illustrated.palette import BLACK, WHITE, mix, rgb
from o1_tiny.illustrated.parts import Color
from o1_tiny.illustrated.scene import SLOTS


def sky(c: Canvas, horizon: float) -> None:
    light, scene = c.light, c.scene
    c.add(p.GRADIENT, h=horizon * 0.62, color=light.top, low=light.middle)
    c.add(p.GRADIENT, y=horizon * 0.45, h=horizon * 0.55, color=light.bottom, alpha=0.0, alpha_low=1.0)
    if scene.time == "night" and scene.weather in ("clear", "cloudy"):
        stars(c, horizon * 0.9)
    if scene.orb:
        _orb(c, horizon)
    if scene.weather in ("cloudy", "rainy", "snowy"):
        _clouds(c, horizon)


def stars(c: Canvas, below: float, share: float = 0.6) -> None:
    seed = float(c.scene.variant % 4)
    c.add(p.DOTS, color=rgb(250, 244, 220), alpha=0.85, edge=3, above=below, p=(1 / 8, seed, share, 0.0042))


def _orb(c: Canvas, horizon: float) -> None:
    light, scene = c.light, c.scene
    low = scene.time in ("sunset", "dawn", "dusk")
    x, y = SLOTS[scene.orb], horizon - 0.085 if low else 0.19 * min(horizon / 0.5, 1.1)
    night, faint = scene.time == "night", 0.6 if scene.weather == "foggy" else 1.0
    halo = 0.48 if low else 0.42
    around = rgb(150, 170, 220) if night else light.glow
    c.add(p.GLOW, x=x, y=y, w=halo, h=halo, color=around, alpha=(0.38 if night else 0.6) * faint)
    size = 0.088 if low else 0.07
    c.add(
        p.ELLIPSE, x=x, y=y, w=size, h=size, color=mix(light.glow, WHITE, 0.25), low=light.glow, alpha=faint, care=2.0
    )
    if night and scene.crescent:
        here = mix(mix(light.top, light.middle, min(y / (horizon * 0.62), 1)), around, 0.22)
        c.add(p.ELLIPSE, x=x, y=y, dx=-0.03, dy=-0.016, w=size * 0.9, h=size * 0.9, color=here)
    elif night:
        for dx, dy, q in ((-0.02, -0.015, 0.016), (0.022, 0.006, 0.012), (-0.004, 0.028, 0.01)):
            c.add(
                p.ELLIPSE,
                x=x,
                y=y,
                dx=dx,
                dy=dy,
                w=q,
                h=q,
                color=mix(light.glow, rgb(150, 150, 170), 0.4),
                alpha=0.7 * faint,
            )


def _clouds(c: Canvas, horizon: float) -> None:
    light, time = c.light, c.scene.time
    if c.scene.weather == "rainy":
        tint = mix(light.top, BLACK, 0.14)
    else:
        tint = mix(light.bottom, WHITE, 0.55) if time == "day" else mix(light.bottom, WHITE,
            0.22) if time in ("dawn", "sunset") else mix(light.middle, WHITE, 0.2)  # fmt: skip
    count = {"cloudy": 3, "rainy": 4, "snowy": 2}[c.scene.weather]
    for number in range(count):
        x = (number + c.lot.choice((0.25, 0.5, 0.7))) / count
        cloud(c, x, c.lot.choice((0.1, 0.17, 0.24)) * horizon / 0.55, c.lot.choice((0.75, 1.1)), tint)


def cloud(c: Canvas, x: float, y: float, size: float, tint: Color) -> None:
    low = mix(tint, c.light.middle, 0.45)
    for dx, w, h in ((-0.12, 0.075, 0.045), (0.11, 0.085, 0.05), (-0.035, 0.09, 0.075), (0.045, 0.075, 0.062)):
        c.add(p.ELLIPSE, x=x, y=y, dx=dx * size, w=w * size, h=h * size, k=0.3, color=tint, low=low, alpha=0.95)


def weather_in_front(c: Canvas) -> None:
    haze = c.light.haze
    if c.scene.weather == "rainy":
        c.add(
            p.RAIN,
            h=1 / 8,
            color=mix(haze, WHITE, 0.45),
            alpha=0.36,
            edge=2.5,
            front=True,
            p=(1 / 16, 0.22, 0.0, 0.0019),
        )
    elif c.scene.weather == "snowy":
        c.add(p.DOTS, color=WHITE, alpha=0.92, edge=3.5, front=True, p=(1 / 8, 1.0, 0.85, 0.0085))
        c.add(p.DOTS, x=0.03, y=0.04, color=WHITE, alpha=0.7, edge=3.0, front=True, p=(1 / 8, 3.0, 0.7, 0.005))
    elif c.scene.weather == "foggy":
        c.mist(0.62, 0.3, 0.22, front=True)
