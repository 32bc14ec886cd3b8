"""What is painted with: the scene's light, and brushes that know where they stand. Knows no things."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from random import Random
from typing import Any

from o1_tiny.illustrated import parts as p
from o1_tiny.illustrated.letters import ADVANCE, HALF_STROKE, segments
from o1_tiny.illustrated.paint import NO_WATER
from o1_tiny.illustrated.palette import FOG, SNOW, Light, light_of, mix, rgb
from o1_tiny.illustrated.parts import Color
from o1_tiny.illustrated.scene import Scene

LETTER_CARE = 4.0
LEAST_LIFT = 0.12  # so much of its own colour a thing keeps in any light, so that its name still fits


@dataclass
class Canvas:
    """The parts of one scene, the farthest first."""

    scene: Scene
    light: Light = field(init=False)
    fog: float = field(init=False)
    dark: bool = field(init=False)
    water: tuple[float, float, float, float] = (NO_WATER, 1.0, 0.0, 0.0)
    rows: list[list[float]] = field(default_factory=list)
    letters: list[tuple[float, float, float, float]] = field(default_factory=list)  # x, y anchors, y offset, grid unit

    def __post_init__(self) -> None:
        scene = self.scene
        self.light = light_of(scene.time, scene.weather, scene.look)
        self.fog = FOG[scene.weather]
        self.dark = scene.time in ("night", "dusk")
        self.lot = Random(f"{scene.place} {scene.variant}")  # the land's own: the same land for equal variants

    def tone(self, color: Color, far: float = 0.0) -> Color:
        """A colour in the scene's light, `far` (0 to 1) away."""
        tint = self.light.tint
        lit = (color[0] * tint[0], color[1] * tint[1], color[2] * tint[2])
        far = far + (1 - far) * self.fog * (0.25 + 0.75 * min(far * 1.6, 1))
        return mix(lit, self.light.haze, far)

    def earth(self, color: Color) -> Color:
        """A ground's colour, under snow where it lies."""
        return mix(color, SNOW, 0.86) if self.scene.snow else color

    def add(self, kind: int, **values: Any) -> None:
        self.rows.append(p.part(kind, **values))

    def ridge(
        self,
        y: float,
        high: float,
        waves: float,
        color: Color,
        far: float,
        *,
        fine: float = 0.0,
        fine_waves: float = 1.0,
        firs: bool = False,
        low: Color | None = None,
        deep: float = 0.35,
        **more: Any,
    ) -> None:
        """Land from a wavy line down."""
        low = mix(color, (0.0, 0.0, 0.0), 0.2) if low is None else low
        start, start_fine = self.lot.random(), self.lot.random()
        self.add(
            p.RIDGE, y=y, w=high, h=deep, k=waves, lean=start, color=self.tone(color, far), low=self.tone(low, far),
            p=(fine, fine_waves, start_fine, 2.0 if firs else 0.0), **more,
        )  # fmt: skip

    def mist(self, y: float, high: float, alpha: float, **more: Any) -> None:
        self.add(p.BAND, y=y, h=high, color=mix(self.light.haze, (1, 1, 1), 0.12), alpha=alpha, **more)

    def spot(
        self, x: float, y: float, size: float, far: float = 0.0, *, front: bool = False, care: float = 1.0
    ) -> Spot:
        return Spot(self, x, y, size, far, front, care)

    def write(
        self,
        x: float,
        y: float,
        text: str,
        unit: float,
        color: Color,
        *,
        dy: float = 0.0,
        wide: float = 1.0,
        front: bool = False,
    ) -> None:
        """Letters around a point; `wide` thickens the strokes."""
        radius = HALF_STROKE * unit * wide
        for number, character in enumerate(text):
            middle = (number - (len(text) - 1) / 2) * ADVANCE * unit
            for x0, y0, x1, y1 in segments(character):
                half = math.hypot(x1 - x0, y1 - y0) / 2 * unit + radius
                self.add(
                    p.BOX, x=x, y=y, dx=middle + (x0 + x1) / 2 * unit, dy=dy + (y0 + y1) / 2 * unit, w=half, h=radius,
                    turn=math.atan2(y1 - y0, x1 - x0), round_=radius, color=color, front=front, care=LETTER_CARE,
                )  # fmt: skip
        self.letters = [(x, y, dy, unit)]


@dataclass(frozen=True)
class Spot:
    """A place to paint a thing at: lengths are in units of its size, upwards from the ground that it stands on."""

    canvas: Canvas
    x: float  # shares of width and height
    y: float
    size: float  # shares of the picture's shorter side
    far: float
    front: bool
    care: float

    def tone(self, color: Color, *, lift: float = 0.0) -> Color:
        """`lift` keeps so much of the colour whatever the light is."""
        return mix(self.canvas.tone(color, self.far), color, lift)

    def _add(
        self, kind: int, dx: float, up: float, w: float, h: float, color: Color, low: Color | None, more: dict[str, Any]
    ) -> None:
        z, lift = self.size, max(more.pop("lift", 0.0), LEAST_LIFT)
        if not more.pop("plain", False):
            color, low = self.tone(color, lift=lift), None if low is None else self.tone(low, lift=lift)
        if "round_" in more:
            more["round_"] *= z
        more = {"front": self.front, "care": self.care} | more
        self.canvas.add(kind, x=self.x, y=self.y, dx=dx * z, dy=-up * z, w=w * z, h=h * z, color=color, low=low, **more)

    def box(
        self, dx: float, up: float, w: float, h: float, color: Color, low: Color | None = None, **more: Any
    ) -> None:
        """A box around its middle; k narrows its top (0: a triangle), lean shifts it, round_ rounds corners."""
        self._add(p.BOX, dx, up, w, h, color, low, more)

    def oval(
        self, dx: float, up: float, w: float, h: float, color: Color, low: Color | None = None, **more: Any
    ) -> None:
        """k cuts it off below its middle."""
        self._add(p.ELLIPSE, dx, up, w, h, color, low, more)

    def glow(self, dx: float, up: float, w: float, h: float, color: Color, alpha: float) -> None:
        self._add(p.GLOW, dx, up, w, h, color, None, {"alpha": alpha, "plain": True, "care": self.care})

    def shadow(self, w: float) -> None:
        self.oval(0, 0, w, w * 0.15, rgb(10, 10, 26), plain=True, alpha=0.32, edge=8)

    def window(self, dx: float, up: float, w: float, h: float) -> None:
        """Lit in the dark."""
        if self.canvas.dark:
            self.glow(dx, up, w * 4, h * 3.5, rgb(255, 190, 90), 0.3)
            self.box(dx, up, w, h, mix(rgb(255, 214, 110), self.canvas.light.haze, self.far * 0.5), plain=True)
        else:
            self.box(dx, up, w, h, rgb(92, 122, 150))

    @property
    def snowy(self) -> bool:
        return self.canvas.scene.snow
