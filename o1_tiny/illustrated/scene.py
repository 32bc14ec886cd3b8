"""A scene as plain values, and scenes by lot. Knows neither how they look nor how people ask for them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from o1_tiny.illustrated.letters import CHARACTERS
from o1_tiny.illustrated.palette import COLORS, TIMES, WEATHERS

SLOTS = {"left": 0.25, "center": 0.5, "right": 0.75}  # shares of the width
VARIANTS = 8  # of each place's land
MOST_LETTERS = 4
BRIGHT = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "white")
NEONS = ("pink", "cyan", "red", "blue", "purple", "green", "orange", "yellow")
BOARDS = ("white", "brown", "yellow", "red", "blue", "green", "black")


@dataclass(frozen=True)
class Thing:
    kind: str
    color: str
    second: str  # roof, hull, stripes, umbrella; "" where it has none
    slot: str
    near: bool = True


@dataclass(frozen=True)
class Sign:
    text: str
    color: str
    neon: bool
    slot: str
    large: bool


@dataclass(frozen=True)
class Scene:
    place: str
    time: str = "day"
    weather: str = "clear"
    snow: bool = False  # on the ground
    things: tuple[Thing, ...] = ()
    sign: Sign | None = None
    orb: str = ""  # the slot of sun or moon
    crescent: bool = False
    look: int = 0  # which of two lights
    variant: int = 0  # which of some lands
    ground: str = ""  # a poster's background


@dataclass(frozen=True)
class Dress:
    """The colours that a kind of thing may have."""

    colors: tuple[str, ...]
    seconds: tuple[str, ...] = ("",)


WALLS, ROOFS = ("white", "yellow", "red", "blue", "pink", "orange", "green"), ("red", "brown", "blue", "gray",
    "orange", "green", "purple")  # fmt: skip
UMBRELLAS = ("", "", "", "", "", "", "", *BRIGHT[:3], *BRIGHT[3:], "red", "black")
CLOTHES = ("red", "blue", "yellow", "green", "purple", "pink", "orange", "white", "black")
DRESSES = {
    "house": Dress(WALLS, ROOFS), "castle": Dress(("gray", "white", "brown"), ("blue", "red", "purple", "green")),
    "tower": Dress(("gray", "white", "brown"), ("blue", "red", "purple", "green")),
    "church": Dress(("white",), ("red", "blue", "gray", "brown")),
    "lighthouse": Dress(("white",), ("red", "red", "blue", "black", "yellow", "green")),
    "windmill": Dress(("white", "red", "brown", "blue", "yellow"), ("red", "brown", "blue", "black")),
    "boat": Dress(BRIGHT, ("brown", "red", "blue", "white", "black")), "balloon": Dress(BRIGHT, ("white", "yellow",
        "red", "blue")),
    "woman": Dress(CLOTHES, UMBRELLAS), "man": Dress(CLOTHES, UMBRELLAS), "cat": Dress(("black", "white", "orange",
        "gray")),
    "birds": Dress(("black",)), "pines": Dress(("green",)), "tree": Dress(("green", "green", "orange", "red", "pink",
        "yellow")),
    "palm": Dress(("green",)), "cactus": Dress(("green",)), "tent": Dress(("red", "orange", "yellow", "blue", "green")),
    "rocket": Dress(("white", "red", "blue", "orange", "yellow"), ("red", "blue", "yellow")),
    "circle": Dress(tuple(COLORS)), "square": Dress(tuple(COLORS)), "triangle": Dress(tuple(COLORS)),
        "star": Dress(tuple(COLORS)),
}  # fmt: skip
KINDS = tuple(DRESSES)
SHAPES = ("circle", "square", "triangle", "star")
FLYING = ("balloon", "birds")

# where: how often; and what may be there, how often
PLACES: dict[str, tuple[float, dict[str, float]]] = {
    "mountains": (0.09, {"house": 3, "castle": 3, "pines": 2, "balloon": 3, "woman": 1, "man": 1, "birds": 1,
        "tower": 1, "tent": 2}),
    "hills": (0.11, {"windmill": 4, "house": 3, "tree": 3, "balloon": 4, "castle": 2, "woman": 1.5, "man": 1,
        "birds": 1, "cat": 1, "sign": 3}),
    "forest": (0.07, {"house": 3, "woman": 2, "man": 1.5, "cat": 2, "birds": 1, "tower": 1.5, "tent": 2, "sign": 3}),
    "desert": (0.07, {"cactus": 4, "woman": 1, "man": 1, "balloon": 2, "castle": 1.5, "tower": 1, "tent": 1.5,
        "sign": 3}),
    "sea": (0.11, {"boat": 5, "lighthouse": 5, "birds": 1.5, "balloon": 1.5}),
    "lake": (0.1, {"boat": 4, "house": 3, "castle": 2, "balloon": 2, "pines": 1, "birds": 1, "windmill": 1}),
    "village": (0.08, {"windmill": 2, "church": 2, "woman": 1.5, "man": 1, "tree": 1.5, "cat": 1.5, "balloon": 1.5,
        "sign": 2}),
    "street": (0.18, {"woman": 5, "man": 3.5, "cat": 2.5, "tree": 1}),
    "city": (0.04, {"boat": 3, "birds": 1, "balloon": 1.5}),
    "flowers": (0.05, {"windmill": 3, "house": 2, "woman": 2, "tree": 1.5, "balloon": 2, "cat": 1.5, "sign": 2}),
    "island": (0.04, {"palm": 4, "boat": 3, "birds": 1, "house": 1, "tent": 1}),
    "space": (0.04, {"rocket": 5, "woman": 1, "man": 1, "cat": 1, "tower": 1}),
    "poster": (0.17, {}),
}  # fmt: skip
CHANCES = {  # of times and weathers, where they are not the usual ones
    "times": {"": (0.16, 0.27, 0.22, 0.12, 0.23), "street": (0.05, 0.17, 0.1, 0.13, 0.55), "city": (0.1, 0.2, 0.2,
        0.15, 0.35), "space": (0, 0, 0, 0, 1)},
    "weathers": {"": (0.46, 0.17, 0.16, 0.09, 0.12), "street": (0.38, 0.07, 0.12, 0.33, 0.1), "desert": (0.76, 0.16,
        0.08, 0, 0),
                 "sea": (0.5, 0.21, 0.13, 0.13, 0.03), "island": (0.6, 0.25, 0.05, 0.1, 0), "space": (1, 0, 0, 0, 0),
                     "flowers": (0.55, 0.2, 0.15, 0.1, 0)},
}  # fmt: skip
SNOW_CHANCES = {
    "mountains": 0.2,
    "village": 0.25,
    "forest": 0.18,
    "hills": 0.1,
}  # of snow on the ground, no snow falling
SUNLESS = ("street", "space", "poster")
WORDS = (
    "OK HI YES NO GO STOP OPEN UP ON NEW SALE TEA BUS INN EXIT ART CAFE BAR ZOO SUN HEY LOVE HOT ICE MAP TOP WOW PUB "
    "JAZZ FISH FILM TAXI HOME BOOK"
).split()


def sign_text(random: Random) -> str:
    if random.random() < 0.25:
        return random.choice(WORDS)
    count = random.choices((1, 2, 3, 4), (0.2, 0.28, 0.3, 0.22))[0]
    letters = CHARACTERS[:26] if random.random() < 0.85 else CHARACTERS
    return "".join(random.choice(letters) for _ in range(count))


def draw_thing(kind: str, slot: str, random: Random, *, near: bool = True) -> Thing:
    dress = DRESSES[kind]
    return Thing(kind, random.choice(dress.colors), random.choice(dress.seconds), slot, near)


def draw_slots(random: Random, count: int) -> list[str]:
    """Different ones; a single thing stands in the middle more often than not, so that there is one usual picture."""
    if count == 1:
        return random.choices(("center", "left", "right"), (0.5, 0.25, 0.25))
    if count == 2:
        return random.choice(
            (["left", "right"], ["left", "right"], ["right", "left"], ["center", "left"], ["center", "right"])
        )
    return ["left", "center", "right"][:count]


def draw_scene(random: Random, place: str = "") -> Scene:
    place = place or random.choices(tuple(PLACES), [weight for weight, _ in PLACES.values()])[0]
    if place == "poster":
        return draw_poster(random)
    time = random.choices(TIMES, CHANCES["times"].get(place, CHANCES["times"][""]))[0]
    weather = random.choices(WEATHERS, CHANCES["weathers"].get(place, CHANCES["weathers"][""]))[0]
    snow = weather == "snowy" or (weather != "rainy" and random.random() < SNOW_CHANCES.get(place, 0))
    scene = Scene(place, time, weather, snow, look=random.randrange(2), variant=random.randrange(VARIANTS))
    return with_orb(_furnished(scene, random), random)


def _furnished(scene: Scene, random: Random) -> Scene:
    kinds = PLACES[scene.place][1]
    count = random.choices((0, 1, 2), (0.2, 0.58, 0.22))[0]
    chosen: list[str] = []
    for _ in range(count):
        rest = {kind: weight for kind, weight in kinds.items() if kind not in chosen}
        chosen.append(random.choices(tuple(rest), tuple(rest.values()))[0])
    if len(chosen) == 2 and random.random() < 0.25:
        chosen = [kind for kind in chosen if kind not in ("sign", "birds", "pines")][:1] * 2  # two of a kind
    sign, things = None, []
    for kind, slot in zip(chosen, draw_slots(random, len(chosen)), strict=True):
        if kind == "sign":
            sign = Sign(sign_text(random), random.choice(BOARDS), False, slot, False)
        else:
            things.append(
                draw_thing(kind, slot, random, near=random.random() < (0.85 if scene.place == "street" else 0.65))
            )
    if len(things) == 2 and things[0].kind == things[1].kind:
        things[1] = replace(things[0], slot=things[1].slot)  # alike, so that one phrase says both
    dark = scene.time in ("night", "dusk")
    if scene.place == "street" and random.random() < 0.8:
        text, slot = sign_text(random), random.choices(("center", "left", "right"), (0.6, 0.2, 0.2))[0]
        large = len(text) <= 2 and random.random() < 0.6
        sign = Sign(text, random.choice(NEONS if dark else BRIGHT), dark, slot, large)
    return replace(scene, things=tuple(things), sign=sign)


def with_orb(scene: Scene, random: Random) -> Scene:
    """With a sun or a moon where the weather lets one be seen: to the right, or where nothing stands before it."""
    chance = {"clear": 0.75, "cloudy": 0.5, "foggy": 0.3}.get(scene.weather, 0.0)
    if scene.place in SUNLESS or random.random() >= chance:
        return replace(scene, orb="", crescent=False)
    slots = orb_slots(scene)
    slot = slots[0] if random.random() < 0.75 else random.choice(slots)
    return replace(scene, orb=slot, crescent=scene.time == "night" and random.random() < 0.4)


def orb_slots(scene: Scene) -> tuple[str, ...]:
    """Where a sun or a moon can be seen, the usual place first: not behind a thing, nor low behind the highest peak."""
    peaks = scene.place in ("mountains", "lake", "village") and scene.time in ("dawn", "sunset", "dusk")
    able = ("right", "left") if peaks else ("right", "left", "center")
    taken = {thing.slot for thing in scene.things}
    return tuple(slot for slot in able if slot not in taken) or able[:1]


def contrasts(a: str, b: str) -> bool:
    return sum(abs(x - y) for x, y in zip(COLORS[a], COLORS[b], strict=True)) > 0.5


def draw_poster(random: Random) -> Scene:
    ground = random.choice(tuple(COLORS))
    rest = [color for color in COLORS if contrasts(color, ground)]
    if random.random() < 0.8:
        text = sign_text(random)
        large = len(text) <= 3 and random.random() < 0.6
        return Scene("poster", sign=Sign(text, random.choice(rest), False, "center", large), ground=ground)
    count = random.choices((1, 2, 3), (0.4, 0.35, 0.25))[0]
    slots = {1: ["center"], 2: ["left", "right"], 3: ["left", "center", "right"]}[count]
    colors = random.sample(rest, min(count, len(rest)))
    things = [Thing(random.choice(SHAPES), color, "", slot) for color, slot in zip(colors, slots, strict=False)]
    return Scene("poster", things=tuple(things), ground=ground)
