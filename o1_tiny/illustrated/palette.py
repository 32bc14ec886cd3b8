"""The named colours, and the light of each time of day. Knows no shapes and no scenes."""

from __future__ import annotations

from dataclasses import dataclass

from o1_tiny.illustrated.parts import Color


def rgb(red: int, green: int, blue: int) -> Color:
    return red / 255, green / 255, blue / 255


def mix(a: Color, b: Color, share: float) -> Color:
    """`a` at 0, `b` at 1."""
    return (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share)


BLACK, WHITE, SNOW = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), rgb(240, 244, 252)
COLORS: dict[str, Color] = {
    "red": rgb(214, 48, 49), "orange": rgb(242, 134, 36), "yellow": rgb(252, 212, 62), "green": rgb(52, 150, 82),
    "cyan": rgb(56, 192, 208), "blue": rgb(44, 96, 212), "purple": rgb(128, 70, 188), "pink": rgb(244, 126, 172),
    "brown": rgb(128, 80, 48), "black": rgb(30, 30, 38), "gray": rgb(138, 142, 150), "white": rgb(246, 244, 238),
}  # fmt: skip
TIMES = ("dawn", "day", "sunset", "dusk", "night")
WEATHERS = ("clear", "cloudy", "foggy", "rainy", "snowy")


def is_light(color: Color) -> bool:
    """Whether letters on it should be dark."""
    return sum(color) > 1.75


@dataclass(frozen=True)
class Light:
    """What a time of day and a weather make of colours."""

    top: Color  # of the sky
    middle: Color
    bottom: Color
    haze: Color  # what far things fade into
    tint: Color  # multiplies every thing's colour
    glow: Color  # of sun or moon


LIGHTS: dict[str, tuple[Light, Light]] = {
    "day": (
        Light(rgb(70, 150, 226), rgb(132, 194, 240), rgb(214, 236, 246), rgb(204, 228, 242), (1, 1, 1), rgb(255, 244,
            200)),
        Light(rgb(58, 168, 204), rgb(130, 208, 222), rgb(232, 242, 226), rgb(214, 234, 230), (1, 1, 0.97), rgb(255,
            246, 206)),
    ),
    "dawn": (
        Light(rgb(122, 150, 208), rgb(228, 178, 200), rgb(255, 222, 186), rgb(246, 206, 198), (0.96, 0.88, 0.9),
            rgb(255, 236, 200)),
        Light(rgb(150, 140, 204), rgb(246, 178, 184), rgb(255, 226, 196), rgb(250, 204, 196), (0.95, 0.86, 0.9),
            rgb(255, 240, 214)),
    ),
    "sunset": (
        Light(rgb(74, 70, 142), rgb(226, 104, 104), rgb(255, 190, 98), rgb(244, 146, 102), (0.88, 0.68, 0.66),
            rgb(255, 226, 150)),
        Light(rgb(112, 56, 118), rgb(240, 112, 74), rgb(255, 206, 112), rgb(246, 156, 92), (0.9, 0.68, 0.6), rgb(255,
            232, 160)),
    ),
    "dusk": (
        Light(rgb(36, 42, 92), rgb(98, 84, 154), rgb(224, 146, 158), rgb(140, 108, 158), (0.6, 0.54, 0.7), rgb(255,
            214, 190)),
        Light(rgb(28, 52, 96), rgb(86, 92, 152), rgb(240, 160, 130), rgb(132, 112, 150), (0.6, 0.54, 0.68), rgb(255,
            214, 180)),
    ),
    "night": (
        Light(rgb(10, 16, 46), rgb(24, 38, 88), rgb(58, 80, 138), rgb(42, 60, 112), (0.42, 0.46, 0.66), rgb(246, 240,
            214)),
        Light(rgb(16, 12, 50), rgb(38, 30, 94), rgb(82, 72, 146), rgb(58, 52, 116), (0.44, 0.42, 0.66), rgb(246, 236,
            220)),
    ),
}  # fmt: skip
GREYS = {"dawn": rgb(196, 186, 192), "day": rgb(178, 190, 202), "sunset": rgb(190, 132, 122), "dusk": rgb(92, 88,
    118), "night": rgb(34, 40, 66)}  # fmt: skip
GREYNESS = {"clear": 0.0, "cloudy": 0.2, "foggy": 0.5, "rainy": 0.72, "snowy": 0.6}
FOG = {"clear": 0.0, "cloudy": 0.0, "foggy": 0.55, "rainy": 0.18, "snowy": 0.2}


def light_of(time: str, weather: str, look: int) -> Light:
    base, grey, share = LIGHTS[time][look], GREYS[time], GREYNESS[weather]
    if not share:
        return base
    if weather == "snowy":
        grey = mix(grey, (0.93, 0.94, 0.97), 0.35 if time in ("day", "dawn") else 0.12)
    tint = base.tint if weather != "rainy" else mix(BLACK, base.tint, 0.86)
    return Light(
        mix(base.top, grey, share), mix(base.middle, grey, share), mix(base.bottom, mix(grey, WHITE, 0.12), share),
        mix(base.haze, mix(grey, WHITE, 0.1), share), tint, base.glow,
    )  # fmt: skip
