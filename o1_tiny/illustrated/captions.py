"""How people ask for a scene: many phrasings, details left out at random, and what was said. Knows no pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from o1_tiny.illustrated.phrases import (
    FAR,
    MOODS,
    NEAR,
    NOUNS,
    OTHER_NAMES,
    OWN_MOODS,
    PLACE_WORDS,
    PLURALS,
    SIGN_FORMS,
    SKIES,
    STYLES,
    TIMES,
    WHERE,
)
from o1_tiny.illustrated.scene import FLYING, SHAPES, Scene, Sign, Thing


@dataclass(frozen=True)
class Said:
    """What a prompt says of things of one kind; "" where it leaves a detail open."""

    kind: str
    color: str = ""
    second: str = ""
    slots: tuple[str, ...] = ()
    count: int = 1


@dataclass(frozen=True)
class Asked:
    """A prompt and all that it says."""

    prompt: str
    place: str = ""
    time: str = ""
    weather: str = ""
    things: tuple[Said, ...] = ()
    sign: str = ""  # the letters
    sign_color: str = ""
    sign_slot: str = ""
    orb: str = ""  # the slot that was asked for
    only: bool = field(default=True)  # whether nothing else should be there


def article(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def color_word(random: Random, color: str) -> str:
    return OTHER_NAMES[color] if color in OTHER_NAMES and random.random() < 0.2 else color


def thing_words(
    thing: Thing, scene: Scene, random: Random, count: int = 1, *, certain: bool = False
) -> tuple[str, Said]:
    """The words for a thing without where it stands, and what they say; `certain` names its colour."""
    kind, color, second = thing.kind, "", ""
    noun = random.choice(NOUNS.get(kind, (kind,)))
    if kind == "birds":
        return (noun, Said(kind))
    if kind == "pines":
        return (noun, Said(kind))
    words, tail = [], ""
    if not thing.near and kind not in SHAPES and random.random() < 0.3:
        words.append(random.choice(("small", "distant", "little", "tiny")))
    elif thing.near and random.random() < 0.12:
        words.append(random.choice(("large", "big")))
    told = certain or random.random() < 0.75
    if kind in ("woman", "man"):
        tail, color, second = _person(thing, random, certain=certain)
    elif kind == "lighthouse":
        if told:
            second = thing.second
            words.append(random.choice((f"{second} and white", f"{second} striped", f"white and {second}", second)))
        if scene.time in ("night", "dusk") and random.random() < 0.2:
            tail = random.choice((" with a beam of light", " with a light beam"))
    elif kind in ("church", "castle", "tower", "house", "windmill"):
        if told and kind != "church":
            color = thing.color
            words.append(color_word(random, color))
        if random.random() < 0.4 and not (scene.snow and kind == "house"):
            second = thing.second
            roof = f"{color_word(random, second)} roof"
            tail = f" with {roof}s" if kind == "castle" or count > 1 else f" with {article(roof)}"
    elif kind == "boat":
        if told:
            color = thing.color
            chance, name = random.random(), color_word(random, color)
            if chance < 0.5:
                words.append(name)
            else:
                tail = f" with {name} sails" if chance < 0.75 or count > 1 else f" with {article(name + ' sail')}"
    elif kind == "balloon" and told and thing.second != thing.color and random.random() < 0.2:
        color, second = thing.color, thing.second
        words.append(f"{color} and {second}")
    elif kind == "tree":
        told = (told and thing.color != "green") or certain
        if told:
            color = thing.color
            words.append(
                random.choice(
                    {"orange": ("orange", "autumn"), "pink": ("pink", "blossoming pink")}.get(color, (color,))
                )
            )
    elif kind in ("palm", "cactus"):
        pass
    elif told:
        color = thing.color
        words.append(color_word(random, color))
    if count > 1:
        noun = PLURALS.get(noun, noun + "s")
        return " ".join([random.choice(("two", "two", "a pair of")), *words, noun]) + tail, Said(
            kind, color, second, (), count
        )
    return article(" ".join([*words, noun])) + tail, Said(kind, color, second)


def _person(thing: Thing, random: Random, *, certain: bool) -> tuple[str, str, str]:
    tail = color = second = ""
    if certain or random.random() < (0.65 if not thing.second else 0.4):
        color = thing.color
        clothes = random.choice(("dress", "coat") if thing.kind == "woman" else ("coat", "jacket"))
        tail = f" in {article(f'{color_word(random, color)} {clothes}')}"
    if thing.second and random.random() < 0.93:
        name = "umbrella"
        if random.random() < 0.85:
            second = thing.second
            name = f"{color_word(random, second)} umbrella"
        tail += random.choice((" with ", " with ", " holding ", " under ", " carrying ")) + article(name)
        second = second or "any"
    elif not thing.second and random.random() < 0.06:
        tail += " without an umbrella"
        second = "none"
    return tail, color, second


def _where(thing: Thing, random: Random) -> tuple[str, tuple[str, ...]]:
    words, slots = "", ()
    if random.random() < (0.25 if thing.slot == "center" else 0.85):
        words, slots = " " + random.choice(WHERE[thing.slot]), (thing.slot,)
    if thing.kind not in (*FLYING, *SHAPES) and random.random() < (0.1 if thing.near else 0.55):
        words += " " + random.choice(NEAR if thing.near else FAR)
    return words, slots


def sign_words(sign: Sign, random: Random) -> tuple[str, str]:
    """The words, and the colour that they say."""
    noun, color = random.choice(("neon sign", "neon sign", "glowing sign")) if sign.neon else "sign", ""
    if random.random() < 0.7:
        color = sign.color
        noun = f"{color_word(random, color)} {noun}"
    if sign.large and random.random() < 0.4:
        noun = f"{random.choice(('large', 'big'))} {noun}"
    text = sign.text if random.random() < 0.8 else sign.text.lower()
    return random.choice(SIGN_FORMS).format(article(noun), text), color


def _place(scene: Scene, random: Random) -> tuple[str, str]:
    nouns, joins = PLACE_WORDS[scene.place]
    name, join = random.choice(nouns), random.choice(joins)
    snowy = scene.snow and scene.weather != "snowy"
    if scene.place == "desert" and scene.variant % 3 == 1 and random.random() < 0.8:
        name += random.choice((" with pyramids", " and pyramids"))
    elif scene.place == "desert" and scene.variant % 3 == 0 and random.random() < 0.4:
        name += " with red rocks"
    elif scene.place == "village" and scene.variant % 2 == 0 and random.random() < 0.6:
        name += random.choice(
            (" under mountains", " in the mountains", " under snowy mountains", " at the foot of the mountains")
        )
    elif scene.place == "sea" and scene.variant == 3 and random.random() < 0.8:
        name, join = (
            random.choice(("a beach", "the beach", "a sandy beach", "the seaside")),
            random.choice(("at", "by", "near")),
        )
    if scene.snow:
        name = name.replace("green ", "")
        if snowy and random.random() < 0.8 and "snow" not in name:
            name = _before(name, "snowy") if random.random() < 0.8 else name + " in winter"
    if scene.place == "street" and scene.time in ("night", "dusk") and random.random() < 0.4:
        name = _before(name, "neon")
    return name, join


def _before(name: str, word: str) -> str:
    """`word` as the first adjective of a noun phrase."""
    first, _, rest = name.partition(" ")
    if first in ("a", "an"):
        return article(f"{word} {rest}")
    return f"the {word} {rest}" if first == "the" else f"{word} {name}"


def caption(scene: Scene, random: Random) -> Asked:
    """One of the many ways to ask for the scene."""
    phrases, said, sign_color, sign_slot = _contents(scene, random)
    if scene.place == "poster":
        return _poster(scene, random, phrases, said, sign_color)
    place, join = _place(scene, random)
    time = weather = ""
    when = sky = ""
    chance = 0.92 if scene.time != "day" else 0.6
    if scene.place != "space" and random.random() < chance:
        time, when = scene.time, random.choice(TIMES[scene.time])
        if "sunny" in when and scene.weather != "clear":
            when = "by day"
    if scene.place != "space" and random.random() < (0.93 if scene.weather != "clear" else 0.08):
        weather = scene.weather
        tails, heads = SKIES[weather]
        if heads and random.random() < 0.5:
            place = _before(place, random.choice(heads))
        else:
            sky = random.choice(tails)
    extras, orb = _extras(scene, random)
    words = _joined(scene, random, phrases, place, join)
    if when:
        style = random.random()
        words = (
            f"{words} {when}"
            if style < 0.75
            else f"{words}, {when.removeprefix('at ')}"
            if style < 0.88
            else f"{when}, {words}"
        )
    if sky:
        words = (
            f"{words} {sky}"
            if sky.startswith(("in ", "with ", "under ")) and random.random() < 0.7
            else f"{words}, {sky}"
        )
    words = ", ".join([words, *extras])
    if random.random() < 0.08 and not (when and words.startswith(when)):
        words = random.choice(STYLES) + words
    return Asked(
        _polished(words, random),
        scene.place,
        time,
        weather,
        said,
        scene.sign.text if scene.sign else "",
        sign_color,
        sign_slot,
        orb,
    )


def _polished(words: str, random: Random) -> str:
    if random.random() < 0.1:
        words = words[0].upper() + words[1:]
    return words + "." if random.random() < 0.08 else words


def _contents(scene: Scene, random: Random) -> tuple[list[str], tuple[Said, ...], str, str]:
    phrases, said = [], []
    pair = len(scene.things) == 2 and scene.things[0].kind == scene.things[1].kind
    if pair and scene.place != "poster":
        words, one = thing_words(scene.things[0], scene, random, 2)
        phrases.append(words)
        said.append(one)
    else:
        for thing in scene.things:
            words, one = thing_words(thing, scene, random, certain=scene.place == "poster")
            where, slots = _where(thing, random) if scene.place != "poster" else ("", ())
            phrases.append(words + where)
            said.append(Said(one.kind, one.color, one.second, slots))
    sign_color = sign_slot = ""
    if scene.sign:
        words, sign_color = sign_words(scene.sign, random)
        if scene.place != "poster" and random.random() < (0.15 if scene.sign.slot == "center" else 0.85):
            sign_slot = scene.sign.slot
            words += " " + random.choice(WHERE[sign_slot])
        phrases.append(words)
    if scene.place != "poster" and random.random() < 0.25:
        phrases.reverse()
    return phrases, tuple(said), sign_color, sign_slot


def _joined(scene: Scene, random: Random, phrases: list[str], place: str, join: str) -> str:
    if not phrases:
        return place
    chance, one = random.random(), " and ".join(phrases)
    if chance < 0.6:
        flying = all(thing.kind in FLYING for thing in scene.things) and not scene.sign
        if flying:
            join = random.choice(("over", "over", "above", "in the sky over"))
        elif scene.things and scene.things[0].kind == "lighthouse" and random.random() < 0.5:
            join = random.choice(("on a cliff by", "on a rock in", "on a cliff at"))
        return f"{one} {join} {place}"
    if chance < 0.85:
        return f"{place} {'and' if ' with ' in place else 'with'} {one}"
    return ", ".join([place, *phrases])


def _extras(scene: Scene, random: Random) -> tuple[list[str], str]:
    extras, orb = [], ""
    if scene.orb and random.random() < 0.6:
        if scene.time == "night":
            word = random.choice(
                ("a crescent moon", "crescent moon")
                if scene.crescent
                else ("full moon", "a full moon", "the moon", "moonlight")
            )
        else:
            word = random.choice(("sun", "the sun", "a low sun" if scene.time != "day" else "sunshine"))
        if random.random() < 0.45 and word not in ("moonlight", "sunshine"):
            orb = scene.orb
            word += " " + random.choice(WHERE[orb])
        extras.append(word)
    if scene.time == "night" and scene.weather == "clear" and random.random() < 0.12:
        extras.append(random.choice(("stars", "starry sky", "under the stars")))
    if scene.place == "lake" and random.random() < 0.1:
        extras.append(random.choice(("reflection in the water", "reflections", "mirrored in the water")))
    if scene.place == "street" and scene.weather == "rainy" and random.random() < 0.2:
        extras.append(random.choice(("reflections", "wet road", "reflections on the wet road")))
    if random.random() < 0.22:
        own = (*OWN_MOODS.get(scene.weather, ()), *(OWN_MOODS.get(scene.time, ()) if scene.weather == "clear" else ()))
        extras.append(random.choice(own if own and random.random() < 0.6 else MOODS))
    random.shuffle(extras)
    return extras, orb


def _poster(scene: Scene, random: Random, phrases: list[str], said: tuple[Said, ...], sign_color: str) -> Asked:
    words = phrases[0] if len(phrases) == 1 else ", ".join(phrases[:-1]) + " and " + phrases[-1]
    if len(phrases) > 1:
        ordered = random.random() < 0.6
        said = tuple(
            Said(one.kind, one.color, "", (thing.slot,) if ordered else ())
            for one, thing in zip(said, scene.things, strict=True)
        )
        words += " from left to right" if ordered else ""
    ground = color_word(random, scene.ground)
    chance = random.random()
    words += (
        f", {ground} background"
        if chance < 0.35
        else f" on {article(ground)} background"
        if chance < 0.85
        else f" on {ground}"
    )
    return Asked(
        _polished(words, random), "poster", "", "", said, scene.sign.text if scene.sign else "", sign_color, ""
    )
