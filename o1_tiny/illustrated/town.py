"""House fronts, shops and lamps of streets and cities. Knows no scenes."""

from __future__ import annotations

from o1_tiny.illustrated import parts as p
from o1_tiny.illustrated.canvas import Canvas
from o1_tiny.illustrated.palette import BLACK, COLORS, WHITE, mix, rgb

FRONTS = (rgb(96, 88, 124), rgb(120, 92, 108), rgb(84, 102, 132), rgb(140, 104, 92), rgb(108, 112, 120))
AWNINGS = (("pink", "cyan"), ("red", "blue"), ("green", "orange"), ("purple", "yellow"))


def building(c: Canvas, x0: float, x1: float, top: float, bottom: float, front: int, far: float, cols: int, rows: int, seed: int, lit: float) -> None:  # fmt: skip
    """A front from x0 to x1 (shares of the width), with windows, some of them lit in the dark."""
    middle, half, high, color = (x0 + x1) / 2, (x1 - x0) / 2, (bottom - top) / 2, FRONTS[front % len(FRONTS)]
    # boxes are sized in shares of the shorter side: twice as wide as needed in pictures that are high, cut by neighbours
    c.add(p.BOX, x=middle, y=(top + bottom) / 2, w=half, h=high, color=c.tone(mix(color, WHITE, 0.05), far), low=c.tone(mix(color, BLACK, 0.12), far))
    window = mix(rgb(255, 208, 112), c.light.haze, far * 0.6) if c.dark else c.tone(rgb(150, 184, 206), far)
    warm = mix(window, rgb(255, 170, 90), 0.25) if c.dark else window
    c.add(p.WINDOWS, x=middle, y=(top + bottom) / 2, dy=-0.02, w=half * 0.86, h=high - 0.03, k=cols, lean=rows, color=window, low=warm,
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
            c.add(p.GLOW, x=x, y=ground + 0.02, dy=-0.32, w=0.13, h=0.13, color=rgb(255, 214, 140), alpha=0.6, front=True)
        lamp = rgb(255, 232, 170) if c.dark else c.tone(rgb(240, 236, 220))
        c.add(p.ELLIPSE, x=x, y=ground + 0.02, dy=-0.32, w=0.022, h=0.022, color=lamp, front=True)
