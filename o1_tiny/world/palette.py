"""The colours that have a name. Knows nothing of shapes or prompts' grammar."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Rgb = tuple[int, int, int]

# sRGB levels; far enough apart that a picture's colour has one nearest name
COLORS: dict[str, Rgb] = {
    "red": (222, 40, 48),
    "orange": (246, 138, 30),
    "yellow": (250, 214, 44),
    "green": (40, 160, 72),
    "cyan": (44, 190, 214),
    "blue": (40, 92, 220),
    "purple": (132, 62, 190),
    "pink": (246, 124, 178),
    "brown": (124, 76, 42),
    "black": (18, 18, 22),
    "gray": (134, 136, 142),
    "white": (250, 250, 250),
}
SHADED = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "brown", "gray")  # have light and dark
LIGHT_MIX = 0.62  # towards white
DARK_MIX = 0.48  # towards black
SPELLINGS = {"gray": ("gray", "grey"), "purple": ("purple", "violet"), "cyan": ("cyan", "turquoise")}


def _shade(rgb: Rgb, towards: int, share: float) -> Rgb:
    red, green, blue = (round(level + (towards - level) * share) for level in rgb)
    return red, green, blue


# every colour that a background or a thing can have, by its name in prompts
PALETTE: dict[str, Rgb] = {
    **COLORS,
    **{f"light {name}": _shade(COLORS[name], 255, LIGHT_MIX) for name in SHADED},
    **{f"dark {name}": _shade(COLORS[name], 0, DARK_MIX) for name in SHADED},
}
COLOR_NAMES = tuple(COLORS)
PALETTE_NAMES = tuple(PALETTE)

MIN_CONTRAST = 70.0  # Euclidean distance in sRGB levels under which two colours are not put on one another


def distance(first: str, second: str) -> float:
    """How far two named colours lie apart: the Euclidean distance of their sRGB levels, 0 to 441."""
    return float(np.linalg.norm(np.subtract(PALETTE[first], PALETTE[second])))


CONTRASTS: dict[str, frozenset[str]] = {
    name: frozenset(other for other in PALETTE if distance(name, other) >= MIN_CONTRAST) for name in PALETTE
}


def ink_for(color: str) -> str:
    """Black or white, whichever stands out from `color`: what textures and letters have."""
    red, green, blue = PALETTE[color]
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else "white"


def palette_levels() -> npt.NDArray[np.float32]:
    """All colours in `PALETTE_NAMES`' order, (colours, 3), in 0 to 255."""
    return np.array([PALETTE[name] for name in PALETTE_NAMES], dtype=np.float32)
