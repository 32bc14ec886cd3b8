"""How people ask for a scene: many phrasings, details left out at random, and what was said. Knows no pixels."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from o1_tiny.world.palette import COLOR_NAMES, ink_for
from o1_tiny.world.palette import SPELLINGS as COLOR_SPELLINGS
from o1_tiny.world.scenes import Background, Scene, Sign, Size, Texture, Thing
from o1_tiny.world.shapes import SPELLINGS as SHAPE_SPELLINGS


@dataclass(frozen=True)
class AskedThing:
    shape: str
    color: str
    texture: Texture
    size: Size | None  # None: not said
    place: str | None  # a key of PLACES; None: not said


@dataclass(frozen=True)
class AskedSign:
    text: str  # as it is to be read: capitals
    board: str | None
    ink: str | None
    place: str | None


@dataclass(frozen=True)
class Asked:
    """A prompt and everything that it says. What it leaves out may be drawn in any way."""

    prompt: str
    things: tuple[AskedThing, ...]
    sign: AskedSign | None
    relation: str | None  # of the first thing to the second, or to the sign: "above", "below", "left of", "right of"
    background: Background | None


PLACE_PHRASES: dict[str, tuple[str, ...]] = {
    "center": ("in the center", "in the center", "in the middle", "in the centre", "at the center", "centered"),
    "top": ("at the top", "near the top", "at the top center"),
    "bottom": ("at the bottom", "near the bottom", "at the bottom center"),
    "left": ("on the left", "on the left side", "at the left"),
    "right": ("on the right", "on the right side", "at the right"),
    **{
        f"{down} {across}": (
            f"in the {down} {across} corner", f"in the {down} {across}", f"at the {down} {across}",
            f"in the {other} {across} corner", f"in the {other} {across}",
        )
        for down, other in (("top", "upper"), ("bottom", "lower")) for across in ("left", "right")
    },
}  # fmt: skip
RELATION_PHRASES: dict[str, tuple[str, ...]] = {
    "left of": ("to the left of", "left of", "on the left of"),
    "right of": ("to the right of", "right of", "on the right of"),
    "above": ("above", "above", "over"),
    "below": ("below", "under", "beneath"),
}
WITH_PHRASES = {
    "left of": "to its left", "right of": "to its right", "above": "above it", "below": "below it",
}  # fmt: skip
SIZE_WORDS: dict[Size, tuple[str, ...]] = {
    "small": ("small", "small", "tiny", "little"),
    "medium": ("medium", "medium sized"),
    "large": ("large", "large", "big", "huge"),
}
SIGN_PHRASES = (
    'sign that says "{}"', 'sign that says "{}"', 'sign saying "{}"', 'sign reading "{}"', 'sign that reads "{}"',
    'sign with the text "{}"', 'sign with the word "{}"', 'sign "{}"', "sign that says '{}'", "sign that says {}",
    'sign with "{}" on it', 'sign with the letters "{}"',
)  # fmt: skip
# how often a layout is left unsaid: mostly the one that a reader expects, so that open prompts have a likely answer
UNSAID_OF_TWO = {"left of": 0.4, "above": 0.14, "right of": 0.04, "below": 0.04, "places": 0.04}
UNSAID_OF_THREE = {"row": 0.35, "column": 0.09, "places": 0.05}
UNSAID_WITH_SIGN = {"above": 0.28, "left of": 0.1, "below": 0.04, "right of": 0.04}
# of plain backgrounds in a light or dark shade, which things seldom have; others are said, so that none hides a thing
UNSAID_BACKGROUND = 0.45
SAID_SIZES: dict[Size, float] = {"small": 0.9, "medium": 0.2, "large": 0.9}  # unsaid, a thing is mostly medium
OPENINGS = ("a picture of ", "an image of ", "a drawing of ", "draw ")


def caption(scene: Scene, random: Random) -> Asked:
    """One of the many ways to ask for this scene."""
    bare = random.random() < 0.12  # "red circle, blue background"
    words, things, sign, relation = _subject(scene, random, bare)
    background = None if _unsaid(scene.background, random) else scene.background
    if background is not None:
        words = _with_background(words, background, random, bare)
    if not bare and random.random() < 0.08:
        words = random.choice(OPENINGS) + words
    if random.random() < 0.12:
        words = words[0].upper() + words[1:]
    if random.random() < 0.1:
        words += "."
    return Asked(words, things, sign, relation, background)


def _subject(
    scene: Scene, random: Random, bare: bool
) -> tuple[str, tuple[AskedThing, ...], AskedSign | None, str | None]:
    if scene.sign is not None and scene.things:
        return _sign_with_thing(scene.things[0], scene.sign, scene.layout, random, bare)
    if scene.sign is not None:
        sign_words, sign = _sign(scene.sign, random, bare)
        return sign_words, (), sign, None
    if len(scene.things) == 1:
        thing_words, thing = _thing(scene.things[0], random, bare, say_place=True)
        return thing_words, (thing,), None, None
    if len(scene.things) == 2:
        return _two(scene.things, scene.layout, random, bare)
    return _three(scene.things, scene.layout, random, bare)


def _two(
    things: tuple[Thing, ...], layout: str, random: Random, bare: bool
) -> tuple[str, tuple[AskedThing, ...], None, str | None]:
    said = random.random() >= UNSAID_OF_TWO[layout]
    placed = said and layout == "places"
    (first, one), (second, two) = (_thing(thing, random, bare, say_place=placed, always=True) for thing in things)
    if placed or not said:
        return first + (", " if bare else " and ") + second, (one, two), None, None
    if random.random() < 0.12:  # "a red circle with a blue star above it": the star is the first, above the circle
        return f"{second} with {first} {WITH_PHRASES[layout]}", (one, two), None, layout
    return f"{first} {random.choice(RELATION_PHRASES[layout])} {second}", (one, two), None, layout


def _three(
    things: tuple[Thing, ...], layout: str, random: Random, bare: bool
) -> tuple[str, tuple[AskedThing, ...], None, None]:
    said = random.random() >= UNSAID_OF_THREE[layout]
    placed = said and (layout == "places" or random.random() < 0.45)
    phrases = [_thing(thing, random, bare, say_place=placed, always=True) for thing in things]
    first, second, third = (words for words, _ in phrases)
    words = f"{first}, {second} and {third}" if random.random() < 0.7 else f"{first}, {second}, {third}"
    asked = tuple(thing for _, thing in phrases)
    if said and not placed:
        order = "from left to right" if layout == "row" else "from top to bottom"
        words = f"{order}: {words}" if random.random() < 0.5 else f"{words} {order}"
        asked = tuple(
            AskedThing(a.shape, a.color, a.texture, a.size, thing.place) for a, thing in zip(asked, things, strict=True)
        )
    return words, asked, None, None


def _sign_with_thing(
    drawn: Thing, drawn_sign: Sign, layout: str, random: Random, bare: bool
) -> tuple[str, tuple[AskedThing, ...], AskedSign, str | None]:
    thing_words, thing = _thing(drawn, random, bare, say_place=False)
    sign_words, sign = _sign(drawn_sign, random, bare)
    if random.random() < UNSAID_WITH_SIGN[layout]:
        pair = [thing_words, sign_words]
        random.shuffle(pair)
        return " and ".join(pair), (thing,), sign, None
    chance = random.random()
    if chance < 0.65:
        return f"{thing_words} {random.choice(RELATION_PHRASES[layout])} {sign_words}", (thing,), sign, layout
    if chance < 0.82:
        turned = {"above": "below", "below": "above", "left of": "right of", "right of": "left of"}[layout]
        return f"{sign_words} {random.choice(RELATION_PHRASES[turned])} {thing_words}", (thing,), sign, layout
    return f"{sign_words} with {thing_words} {WITH_PHRASES[layout]}", (thing,), sign, layout


def _thing(
    thing: Thing, random: Random, bare: bool, *, say_place: bool, always: bool = False
) -> tuple[str, AskedThing]:
    size = thing.size if random.random() < SAID_SIZES[thing.size] else None
    said = always or random.random() < (0.6 if thing.place == "center" else 0.85)
    place = thing.place if say_place and thing.place and said else None
    words = [random.choice(SIZE_WORDS[size])] if size else []
    after = ""
    if thing.texture != "plain":
        stripes = thing.texture == "striped"
        if random.random() < 0.65:
            words.append(thing.texture if stripes or random.random() < 0.8 else "polka dot")
        else:
            ink = ink_for(thing.color) + " " if random.random() < 0.5 else ""
            after = f" with {ink}" + ("stripes" if stripes else "dots")
    elif random.random() < 0.05:
        words.append(random.choice(("plain", "solid")))
    color = _color(thing.color, random)
    words.insert(random.choice((0, len(words))) if words and random.random() < 0.15 else len(words), color)
    shape = random.choice(
        SHAPE_SPELLINGS.get(thing.shape, (thing.shape,)) if random.random() < 0.25 else (thing.shape,)
    )
    text = _with_article(" ".join([*words, shape]), bare) + after
    if place is not None:
        text += " " + random.choice(PLACE_PHRASES[place])
    return text, AskedThing(thing.shape, thing.color, thing.texture, size, place)


def _sign(sign: Sign, random: Random, bare: bool) -> tuple[str, AskedSign]:
    board = sign.board if random.random() < 0.8 else None
    place = sign.place if sign.place and random.random() < (0.3 if sign.place == "center" else 0.8) else None
    ink = sign.ink if random.random() < 0.15 else None
    text = sign.text
    case = random.random()
    if case < 0.27:
        text = text.lower()
    elif case < 0.33:
        text = text.capitalize()
    phrase = random.choice(SIGN_PHRASES).format(text)
    if ink is not None and random.random() < 0.5:
        words = f"{board} {phrase} in {ink}" if board else f"{phrase} in {ink}"
        words += random.choice((" letters", " letters", ""))
    elif ink is not None:
        words = f"{board} {phrase} with {ink} letters" if board else f"{phrase} with {ink} letters"
    else:
        words = f"{_color(board, random)} {phrase}" if board else phrase
    words = _with_article(words, bare)
    if place is not None:
        words += " " + random.choice(PLACE_PHRASES[place])
    return words, AskedSign(sign.text, board, ink, place)


def _with_background(subject: str, background: Background, random: Random, bare: bool) -> str:
    first, second = _color(background.color, random), _color(background.second, random)
    match background.pattern:
        case "plain":
            word = random.choice(("", "", "plain ", "solid ", "flat "))
            phrases: tuple[str, ...] = (f"{word}{first} background",)
        case "gradient":
            phrases = (f"{first} to {second} gradient background", f"{first} to {second} gradient")
        case "checkerboard":
            phrases = (f"{first} and {second} checkerboard", f"{first} and {second} checkerboard background",
                       f"checkerboard background of {first} and {second}")  # fmt: skip
        case _:
            phrases = (f"{first} and {second} striped background", f"background of {first} and {second} stripes",
                       f"background with {first} and {second} stripes")  # fmt: skip
    phrase = random.choice(phrases)
    if background.pattern == "gradient" and random.random() < 0.3:
        return f"{subject} on a gradient from {first} to {second}"
    if background.pattern == "plain" and random.random() < 0.2:
        return f"{subject} on {first}" if random.random() < 0.5 else f"{subject} against {first}"
    chance = random.random()
    if bare or chance < 0.2:
        return f"{subject}, {phrase}"
    if chance < 0.28:
        return f"on {_with_article(phrase, False)}, {subject}"
    joint = random.choice(("on", "on", "on", "against", "in front of", "with", "over"))
    if subject.endswith(("center", "centre", "middle")) and random.random() < 0.3:
        joint = "of"  # "in the center of a blue background"
    comma = "," if random.random() < 0.15 and joint != "of" else ""
    return f"{subject}{comma} {joint} {_with_article(phrase, False)}"


def _unsaid(background: Background, random: Random) -> bool:
    return background.pattern == "plain" and background.color not in COLOR_NAMES and random.random() < UNSAID_BACKGROUND


def _color(name: str, random: Random) -> str:
    *shade, plain = name.split()
    return " ".join(
        [*shade, random.choice(COLOR_SPELLINGS.get(plain, (plain,)) if random.random() < 0.3 else (plain,))]
    )


def _with_article(words: str, bare: bool) -> str:
    if bare:
        return words
    return ("an " if words[0] in "aeiou" else "a ") + words
