"""Scenes: what is in a picture and where, as plain values, and how they are drawn by lot. Knows no pixels, no prompts.

Lengths are shares of the picture's shorter side, positions shares of its width and height, so that one scene fits every
aspect ratio. Sizes and positions come from short lists, not from ranges, so that a model that sees noise has few exact
pictures to decide between. Positions are quarters, some sixteenths: at 512² a sixteenth is a patch, so that a thing
looks the same, patch by patch, wherever it stands. Sizes and shapes are such that hardly any patch there holds a sliver
of a thing, or of what is around it, and that stripes and dots repeat with every patch, every one and a half or every
second. Things among three or beside a sign are plain: there is much to learn in such a scene without it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Literal

import numpy as np
import numpy.typing as npt

from o1_tiny.world.glyphs import ADVANCE, CHARACTERS, LETTER_HEIGHT, text_width
from o1_tiny.world.palette import COLOR_NAMES, CONTRASTS, MIN_CONTRAST, PALETTE, PALETTE_NAMES, ink_for
from o1_tiny.world.shapes import SHAPES

Texture = Literal["plain", "striped", "dotted"]
Pattern = Literal["plain", "gradient", "checkerboard", "stripes"]
Kind = Literal["one", "two", "three", "sign", "sign and thing"]
Size = Literal["small", "medium", "large"]

TEXTURES: tuple[Texture, ...] = ("plain", "striped", "dotted")
PATTERNS: tuple[Pattern, ...] = ("plain", "gradient", "checkerboard", "stripes")
KIND_WEIGHTS: dict[Kind, float] = {"one": 0.285, "two": 0.20, "three": 0.165, "sign": 0.185, "sign and thing": 0.165}

PLACES: dict[str, tuple[float, float]] = {
    "center": (0.5, 0.5), "top": (0.5, 0.25), "bottom": (0.5, 0.75), "left": (0.25, 0.5), "right": (0.75, 0.5),
    "top left": (0.25, 0.25), "top right": (0.75, 0.25), "bottom left": (0.25, 0.75), "bottom right": (0.75, 0.75),
}  # fmt: skip
RADII: dict[Size, float] = {"small": 0.115, "medium": 0.15, "large": 0.3}
LARGEST_ASIDE = 0.225  # a large thing that has less room: at a side, or one of two
PAIR_ENDS = (0.25, 0.75)  # of two things, along their relation
ROW = (3 / 16, 0.5, 13 / 16)  # of three, along either side
MIN_TEXTURED_RADIUS = 0.15  # below, stripes would be thinner than 8 px in the smallest pictures
NARROW = ("ring", "cross", "moon", "star", "diamond")  # shapes left plain, most for want of room for stripes and dots
PAIR_SIZES: tuple[tuple[Size, Size], ...] = (
    ("small", "large"), ("large", "small"), ("large", "medium"), ("medium", "medium"), ("small", "small"),
    ("small", "medium"), ("medium", "large"),
)  # fmt: skip

WORDS = ("OK", "HI", "YES", "NO", "GO", "STOP", "OPEN", "UP", "ON", "OFF", "NEW", "SALE", "TEA", "BUS", "WC", "EXIT",
         "ART", "CAFE", "BAR", "ZOO", "SUN", "HEY", "LOVE", "HOT", "ICE", "MAP", "TOP", "WOW", "BYE", "YO")  # fmt: skip
LETTERS, DIGITS, MARKS = CHARACTERS[:26], CHARACTERS[26:36], CHARACTERS[36:]
LENGTH_WEIGHTS = (0.20, 0.30, 0.40, 0.10)  # of one to four characters
LETTER_ADVANCE, TIGHT_ADVANCE = 3 / 16, 2 / 16  # shares of the shorter side; the second: three or four beside a thing
BOARD_PAD_X, BOARD_PAD_Y, BOARD_CORNER = 1.75, 1.8, 1.3  # in the letters' grid units


@dataclass(frozen=True)
class Background:
    pattern: Pattern
    color: str  # a gradient's top
    second: str  # a gradient's bottom; equals `color` where the pattern is plain


@dataclass(frozen=True)
class Thing:
    shape: str
    color: str
    texture: Texture
    size: Size
    radius: float  # of the shorter side
    x: float  # of the width
    y: float  # of the height
    place: str | None = None  # what a prompt may call where it stands: a key of PLACES


@dataclass(frozen=True)
class Sign:
    text: str  # as drawn: capitals, digits, marks
    board: str
    ink: str
    letter_height: float  # of the shorter side
    x: float
    y: float
    place: str | None = None

    @property
    def width(self) -> float:
        """Of the board, as a share of the shorter side."""
        return (text_width(len(self.text)) + 2 * BOARD_PAD_X) * self.letter_height / LETTER_HEIGHT

    @property
    def height(self) -> float:
        """Of the board, as a share of the shorter side."""
        return (LETTER_HEIGHT + 2 * BOARD_PAD_Y) * self.letter_height / LETTER_HEIGHT


@dataclass(frozen=True)
class Scene:
    kind: Kind
    background: Background
    things: tuple[Thing, ...]
    sign: Sign | None
    layout: str  # "free", "places", "row", "column", or the first item's relation to the second: "above", "left of" …


def draw_scene(random: Random, kind: Kind | None = None) -> Scene:
    """A scene by lot; of `kind`, or of a kind drawn by its weight. Nothing overlaps, everything stands out."""
    if kind is None:
        kind = random.choices(tuple(KIND_WEIGHTS), tuple(KIND_WEIGHTS.values()))[0]
    background = _background(random, signs=kind.startswith("sign"))
    match kind:
        case "one":
            return Scene(kind, background, (_lone_thing(random, background),), None, "free")
        case "two":
            things, layout = _pair(random, background)
            return Scene(kind, background, things, None, layout)
        case "three":
            things, layout = _three(random, background)
            return Scene(kind, background, things, None, layout)
        case "sign":
            return Scene(kind, background, (), _lone_sign(random, background), "free")
        case _:
            thing, sign, layout = _sign_and_thing(random, background)
            return Scene(kind, background, (thing,), sign, layout)


def _background(random: Random, *, signs: bool) -> Background:
    color = random.choice(PALETTE_NAMES)
    pattern = random.choices(PATTERNS, (0.75, 0.11, 0.07, 0.07) if signs else (0.70, 0.14, 0.08, 0.08))[0]
    second = color if pattern == "plain" else random.choice(sorted(CONTRASTS[color]))
    return Background(pattern, color, second)


def _visible_colors(background: Background, names: tuple[str, ...] = PALETTE_NAMES) -> list[str]:
    """The colours among `names` that stand out from every colour of the background."""
    fit = CONTRASTS[background.color] & CONTRASTS[background.second]
    found = [name for name in names if name in fit]
    if background.pattern == "gradient":
        found = [name for name in found if _off_gradient(name, background)] or found
    return found


def _off_gradient(name: str, background: Background) -> bool:
    """Whether a colour stands out all the way from the gradient's top to its bottom."""
    top, bottom = np.array(PALETTE[background.color]), np.array(PALETTE[background.second])
    way = top + np.linspace(0, 1, 7)[:, None] * (bottom - top)
    return bool(np.linalg.norm(way - PALETTE[name], axis=1).min() >= 0.85 * MIN_CONTRAST)


def _thing_color(random: Random, background: Background, *, avoid: tuple[str, ...] = ()) -> str:
    names = COLOR_NAMES if random.random() < 0.86 else PALETTE_NAMES
    fit = _visible_colors(background, names) or _visible_colors(background)
    if random.random() < 0.9:
        fit = [name for name in fit if name not in avoid] or fit
    return random.choice(fit)


def _thing(
    random: Random, background: Background, size: Size, where: tuple[float, float], *, largest: float = 1.0,
    place: str | None = None, avoid: tuple[Thing, ...] = (), textured: bool = True,
) -> Thing:  # fmt: skip
    radius = min(RADII[size], largest)
    x, y = where
    shape = random.choice(SHAPES)
    color = _thing_color(random, background, avoid=tuple(thing.color for thing in avoid))
    texture = _texture(random, shape, radius) if textured else "plain"
    return Thing(shape, color, texture, size, radius, x, y, place)


def _texture(random: Random, shape: str, radius: float) -> Texture:
    if shape in NARROW or radius < MIN_TEXTURED_RADIUS or random.random() < 0.35:
        return "plain"
    return random.choice(TEXTURES[1:])


def _lone_thing(random: Random, background: Background) -> Thing:
    size: Size = random.choices(("small", "medium", "large"), (0.3, 0.3, 0.4))[0]
    place = "center" if random.random() < 0.45 else random.choice(tuple(PLACES))
    largest = RADII["large"] if place == "center" else LARGEST_ASIDE
    return _thing(random, background, size, PLACES[place], largest=largest, place=place)


def _pair(random: Random, background: Background) -> tuple[tuple[Thing, ...], str]:
    if random.random() < 0.25:
        first, second = random.sample(tuple(PLACES)[1:], 2)
        if _far(first, second):
            one = _thing(random, background, _small_or_medium(random), PLACES[first], place=first)
            size = _small_or_medium(random)
            two = _thing(random, background, size, PLACES[second], place=second, avoid=(one,))
            return (one, two), "places"
    relation = random.choice(("left of", "right of", "above", "below"))
    sizes = random.choice(PAIR_SIZES)
    ends = PAIR_ENDS if relation in ("left of", "above") else PAIR_ENDS[::-1]
    first_at, second_at = ((at, 0.5) if relation in ("left of", "right of") else (0.5, at) for at in ends)
    one = _thing(random, background, sizes[0], first_at, largest=LARGEST_ASIDE)
    two = _thing(random, background, sizes[1], second_at, largest=LARGEST_ASIDE, avoid=(one,))
    return (one, two), relation


def _far(first: str, second: str) -> bool:
    (ax, ay), (bx, by) = PLACES[first], PLACES[second]
    return max(abs(ax - bx), abs(ay - by)) >= 0.5


def _small_or_medium(random: Random) -> Size:
    return "small" if random.random() < 0.5 else "medium"


def _three(random: Random, background: Background) -> tuple[tuple[Thing, ...], str]:
    layout = random.choices(("row", "column", "places"), (0.4, 0.3, 0.3))[0]
    if layout == "places":
        names = random.sample(("top left", "top right", "bottom left", "bottom right", "center"), 3)
        low, middle, high = ROW
        corners = {
            "top left": (low, low),
            "top right": (high, low),
            "bottom left": (low, high),
            "bottom right": (high, high),
        }
        spots = [corners.get(name, (middle, middle)) for name in names]
    else:
        names = ["left", "center", "right"] if layout == "row" else ["top", "center", "bottom"]
        spots = [(at, 0.5) if layout == "row" else (0.5, at) for at in ROW]
    things: tuple[Thing, ...] = ()
    for name, spot in zip(names, spots, strict=True):
        size = _small_or_medium(random)
        thing = _thing(random, background, size, spot, place=name, avoid=things, textured=False)
        things = (*things, thing)
    return things, layout


def _sign_text(random: Random) -> str:
    if random.random() < 0.15:
        return random.choice(WORDS)
    count = random.choices((1, 2, 3, 4), LENGTH_WEIGHTS)[0]
    kind = random.random()
    if kind < 0.6:
        return "".join(random.choice(LETTERS) for _ in range(count))
    if kind < 0.72:
        return "".join(random.choice(DIGITS) for _ in range(count))
    if kind < 0.95:
        return "".join(random.choice(LETTERS + DIGITS) for _ in range(count))
    return "".join(random.choice(LETTERS) for _ in range(count - 1)) + random.choice(MARKS)


def _sign(random: Random, background: Background, *, beside: bool = False, avoid: str | None = None) -> Sign:
    text = _sign_text(random)
    visible = [name for name in _visible_colors(background) if name != avoid]
    board = "white" if "white" in visible and random.random() < 0.35 else random.choice(visible)
    return Sign(text, board, ink_for(board), letter_height(len(text), beside=beside), 0.5, 0.5)


def letter_height(count: int, *, beside: bool = False) -> float:
    """Of a sign with `count` letters, as a share of the shorter side; `beside` a thing there is less room."""
    return (TIGHT_ADVANCE if beside and count > 2 else LETTER_ADVANCE) * LETTER_HEIGHT / ADVANCE


def _lone_sign(random: Random, background: Background) -> Sign:
    sign = _sign(random, background)
    place = random.choices(("center", "top", "bottom"), (0.7, 0.15, 0.15))[0]
    return replace(sign, place=place, y=PLACES[place][1])


def _sign_and_thing(random: Random, background: Background) -> tuple[Thing, Sign, str]:
    """A thing whose relation to a sign is the layout: "above" says that the thing is above the sign."""
    relation = random.choices(("above", "below", "left of", "right of"), (0.34, 0.26, 0.2, 0.2))[0]
    size = _small_or_medium(random)
    if relation in ("above", "below"):
        thing_y, sign_y = (0.25, 0.75) if relation == "above" else (0.75, 0.25)
        thing = _thing(random, background, size, (0.5, thing_y))
        sign = _sign(random, background, avoid=thing.color)
        return thing, replace(sign, y=sign_y), relation
    thing_x, sign_x = (3 / 16, 11 / 16) if relation == "left of" else (13 / 16, 5 / 16)
    thing = _thing(random, background, size, (thing_x, 0.5), textured=False)
    sign = _sign(random, background, beside=True, avoid=thing.color)
    return thing, replace(sign, x=sign_x, y=thing.y), relation


MAX_THINGS, MAX_CHARACTERS = 3, 4
# background: pattern, two colours; each thing: shape (-1: none), x, y, radius, texture, colour, its second colour;
# sign: number of characters (0: none), x, y, letter height, board, ink, characters
BACKGROUND_VALUES, THING_VALUES, SIGN_VALUES = 7, 11, 10 + MAX_CHARACTERS
SCENE_VALUES = BACKGROUND_VALUES + MAX_THINGS * THING_VALUES + SIGN_VALUES

_LEVELS: dict[str, tuple[float, ...]] = {
    name: tuple(level / 127.5 - 1 for level in levels) for name, levels in PALETTE.items()
}


def pack(scene: Scene) -> npt.NDArray[np.float32]:
    """A scene as the flat row of numbers that the renderers draw from, (SCENE_VALUES,); colours in [-1, 1]."""
    back = scene.background
    row: list[float] = [PATTERNS.index(back.pattern), *_LEVELS[back.color], *_LEVELS[back.second]]
    for thing in scene.things:
        row += [SHAPES.index(thing.shape), thing.x, thing.y, thing.radius, TEXTURES.index(thing.texture)]
        row += [*_LEVELS[thing.color], *_LEVELS[ink_for(thing.color)]]
    row += [-1.0, 0.5, 0.5, 0.1, *[0.0] * (THING_VALUES - 4)] * (MAX_THINGS - len(scene.things))
    sign = scene.sign
    if sign is None:
        row += [0.0, 0.5, 0.5, 0.1, *[0.0] * (SIGN_VALUES - 4)]
    else:
        row += [len(sign.text), sign.x, sign.y, sign.letter_height, *_LEVELS[sign.board], *_LEVELS[sign.ink]]
        row += [CHARACTERS.index(character) for character in sign.text] + [0.0] * (MAX_CHARACTERS - len(sign.text))
    return np.array(row, dtype=np.float32)
