"""Edits: a scene, the same scene with one thing changed, and the sentence that asks for it. Knows no pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from o1_tiny.illustrated.captions import article, color_word, thing_words
from o1_tiny.illustrated.palette import TIMES as HOURS
from o1_tiny.illustrated.palette import WEATHERS
from o1_tiny.illustrated.phrases import SKIES, TIMES, WHERE
from o1_tiny.illustrated.scene import (
    BOARDS,
    CHANCES,
    DRESSES,
    FLYING,
    NEONS,
    PLACES,
    SHAPES,
    SLOTS,
    SUNLESS,
    Scene,
    Sign,
    Thing,
    draw_scene,
    draw_thing,
    orb_slots,
    sign_text,
)  # fmt: skip

KINDS = ("time", "weather", "color", "add", "remove", "move", "sign", "two")
WEIGHTS = (0.17, 0.16, 0.18, 0.13, 0.12, 0.1, 0.14, 0.0)
NAMES = {"balloon": "balloon", "pines": "pine trees", "palm": "palm tree", "birds": "birds"}
GOWNS = {"woman": ("dress", "coat"), "man": ("coat", "jacket")}


@dataclass(frozen=True)
class Edit:
    kind: str
    references: tuple[Scene, ...]  # what the model is shown, one or two
    after: Scene
    prompt: str


def draw_edit(random: Random, kind: str = "") -> Edit:
    """One edit by lot; a kind that a scene does not allow is tried on another scene."""
    kind = kind or random.choices(KINDS, WEIGHTS)[0]
    while True:
        scene = draw_scene(random)
        if kind == "sign" and not scene.sign:
            continue
        found = HOW[kind](scene, random)
        if found is not None and found.after not in found.references:
            return found


def name(thing: Thing) -> str:
    return NAMES.get(thing.kind, thing.kind)


def _time(scene: Scene, random: Random) -> Edit | None:
    if scene.place in ("poster", "space"):
        return None
    hour = random.choice([hour for hour in HOURS if hour != scene.time])
    sign = scene.sign
    if sign and scene.place == "street":
        sign = replace(sign, neon=hour in ("night", "dusk"))
    after = replace(scene, time=hour, sign=sign, crescent=scene.crescent and hour == "night")
    noun = {
        "day": random.choice(("day", "daytime")),
        "dawn": random.choice(("dawn", "sunrise")),
        "dusk": random.choice(("dusk", "twilight")),
    }.get(hour, hour)
    words = random.choice(
        (
            f"make it {noun}",
            f"make it {noun}",
            f"change it to {noun}",
            f"the same {random.choice(TIMES[hour])}",
            f"change the time to {noun}",
            f"turn it into {noun}",
            f"now {random.choice(TIMES[hour])}",
            f"as it looks {random.choice(TIMES[hour])}",
        )
    )
    return Edit("time", (scene,), after, words)


def _weather(scene: Scene, random: Random) -> Edit | None:
    if scene.place in ("poster", "space"):
        return None
    allowed = [
        weather
        for weather, share in zip(WEATHERS, CHANCES["weathers"].get(scene.place, CHANCES["weathers"][""]), strict=True)
        if share and weather != scene.weather
    ]
    weather = random.choice(allowed)
    snow = weather == "snowy" or (scene.snow and scene.weather != "snowy" and weather != "rainy")
    orb = scene.orb if weather in ("clear", "cloudy", "foggy") else ""
    after = replace(scene, weather=weather, snow=snow, orb=orb, crescent=scene.crescent and bool(orb))
    if weather == "clear":
        gone = {
            "rainy": ("stop the rain", "remove the rain"),
            "foggy": ("remove the fog", "without the fog"),
            "snowy": ("remove the snow", "without the snow"),
            "cloudy": ("remove the clouds", "without the clouds"),
        }[scene.weather]
        words = random.choice((*gone, "make the sky clear", "make it clear", "under a clear sky"))
    else:
        noun, verb = {
            "rainy": ("rain", "let it rain"),
            "snowy": ("snow", "let it snow"),
            "foggy": ("fog", "let fog roll in"),
            "cloudy": ("clouds", "let clouds come up"),
        }[weather]
        words = random.choice(
            (
                f"make it {random.choice(SKIES[weather][1])}",
                f"add {noun}",
                verb,
                f"the same {random.choice(SKIES[weather][0][:2])}",
            )
        )
    return Edit("weather", (scene,), after, words)


def _swapped(scene: Scene, old: Thing, new: Thing | None) -> Scene:
    things = tuple(new if thing is old else thing for thing in scene.things)
    return replace(scene, things=tuple(thing for thing in things if thing is not None))


def _single(scene: Scene, random: Random, kinds: tuple[str, ...] = ()) -> Thing | None:
    """A thing that is the only one of its kind."""
    able = [
        thing
        for thing in scene.things
        if sum(other.kind == thing.kind for other in scene.things) == 1 and thing.kind not in kinds
    ]
    return random.choice(able) if able else None


def _color(scene: Scene, random: Random) -> Edit | None:
    if scene.sign and random.random() < 0.2:
        colors = [
            color for color in (NEONS if scene.sign.neon else BOARDS) if color not in (scene.sign.color, scene.ground)
        ]
        color = random.choice(colors)
        after = replace(scene, sign=replace(scene.sign, color=color))
        return Edit("color", (scene,), after, _recolored("sign", color, random))
    thing = _single(scene, random)
    if thing is None:
        return None
    dress = DRESSES[thing.kind]
    second = thing.second and random.random() < (0.5 if len(set(dress.colors)) > 1 else 1.0)
    options = [
        color
        for color in (dress.seconds if second else dress.colors)
        if color and color not in (thing.second if second else thing.color, scene.ground)
    ]
    if not options or (second and scene.snow and thing.kind == "house"):
        return None
    color = random.choice(options)
    changed = replace(thing, second=color) if second else replace(thing, color=color)
    kind = thing.kind
    if kind in GOWNS:
        what = "umbrella" if second else random.choice(GOWNS[kind])
    elif kind in ("house", "castle", "tower", "church", "windmill") and second:
        what = "roofs" if kind == "castle" else "roof"
    elif kind == "boat":
        what = random.choice(("hull", "hull of the boat") if second else ("sail", "sails", "boat"))
    elif kind == "lighthouse":
        what = random.choice(("stripes of the lighthouse", "lighthouse"))
    elif kind == "balloon" and second:
        what = "stripe of the balloon"
    elif kind == "rocket" and second:
        what = "fins of the rocket"
    else:
        what = name(thing)
    return Edit("color", (scene,), _swapped(scene, thing, changed), _recolored(what, color, random))


def _recolored(what: str, color: str, random: Random) -> str:
    color = color_word(random, color)
    return random.choice(
        (
            f"make the {what} {color}",
            f"make the {what} {color}",
            f"paint the {what} {color}",
            f"change the {what} to {color}",
            f"change the color of the {what} to {color}",
            f"the same with {color} {what}" if what.endswith("s") else f"the same with {article(f'{color} {what}')}",
        )
    )


def _add(scene: Scene, random: Random) -> Edit | None:
    kinds = {
        kind: weight
        for kind, weight in PLACES[scene.place][1].items()
        if kind not in {thing.kind for thing in scene.things}
    }
    free = [
        slot
        for slot in SLOTS
        if slot not in {thing.slot for thing in scene.things}
        and not (scene.sign and scene.place != "street" and scene.sign.slot == slot)
    ]
    if not kinds or not free:
        return None
    kind, slot = random.choices(tuple(kinds), tuple(kinds.values()))[0], random.choice(free)
    where = "" if slot == "center" and random.random() < 0.6 else " " + random.choice(WHERE[slot])
    if kind == "sign":
        if scene.sign:
            return None
        sign = Sign(sign_text(random), random.choice(BOARDS), False, slot, False)
        return Edit(
            "add",
            (scene,),
            replace(scene, sign=sign),
            f'{_verb(random)} {article(f"{sign.color} sign")} that says "{sign.text}"{where}',
        )
    thing = draw_thing(kind, slot, random, near=True)
    words, _ = thing_words(thing, scene, random, certain=random.random() < 0.9)
    return Edit("add", (scene,), replace(scene, things=(*scene.things, thing)), f"{_verb(random)} {words}{where}")


def _verb(random: Random) -> str:
    return random.choice(("add", "add", "put", "draw", "with"))


def _remove(scene: Scene, random: Random) -> Edit | None:
    verb = random.choice(("remove", "remove", "take away", "delete", "without"))
    if scene.sign and scene.place != "poster" and random.random() < 0.3:
        return Edit("remove", (scene,), replace(scene, sign=None), f"{verb} the sign")
    if scene.orb and random.random() < 0.15:
        return Edit(
            "remove",
            (scene,),
            replace(scene, orb="", crescent=False),
            f"{verb} the {'moon' if scene.time == 'night' else 'sun'}",
        )
    thing = _single(scene, random)
    if thing is None or scene.place == "poster":
        return None
    if thing.second and thing.kind in GOWNS and random.random() < 0.3:
        return Edit("remove", (scene,), _swapped(scene, thing, replace(thing, second="")), f"{verb} the umbrella")
    return Edit("remove", (scene,), _swapped(scene, thing, None), f"{verb} the {name(thing)}")


def _move(scene: Scene, random: Random) -> Edit | None:
    thing = _single(scene, random, SHAPES)
    if scene.sign and scene.place == "street" and random.random() < 0.3:
        slot = random.choice([slot for slot in SLOTS if slot != scene.sign.slot])
        return Edit("move", (scene,), replace(scene, sign=replace(scene.sign, slot=slot)), _moved("sign", slot, random))
    if thing is None:
        if not scene.orb or scene.place in SUNLESS or random.random() < 0.5:
            return None
        able = [slot for slot in orb_slots(scene) if slot != scene.orb]
        if not able:
            return None
        slot = random.choice(able)
        return Edit(
            "move", (scene,), replace(scene, orb=slot), _moved("moon" if scene.time == "night" else "sun", slot, random)
        )
    taken = {other.slot for other in scene.things} | (
        {scene.sign.slot} if scene.sign and scene.place != "street" else set()
    )
    free = [slot for slot in SLOTS if slot not in taken]
    if not free:
        return None
    slot = random.choice(free)
    return Edit("move", (scene,), _swapped(scene, thing, replace(thing, slot=slot)), _moved(name(thing), slot, random))


def _moved(what: str, slot: str, random: Random) -> str:
    to = {
        "left": ("to the left", "to the left side"),
        "right": ("to the right", "to the right side"),
        "center": ("to the middle", "to the center"),
    }[slot]
    return random.choice(
        (
            f"move the {what} {random.choice(to)}",
            f"move the {what} {random.choice(to)}",
            f"put the {what} {random.choice(WHERE[slot])}",
            f"the {what} {random.choice(WHERE[slot])}",
        )
    )


def _sign(scene: Scene, random: Random) -> Edit | None:
    assert scene.sign
    text = sign_text(random)
    large = scene.sign.large and len(text) <= (3 if scene.place == "poster" else 2)
    if large != scene.sign.large or text == scene.sign.text:
        return None
    shown = text if random.random() < 0.85 else text.lower()
    words = random.choice(
        (
            'make the sign say "{}"',
            'change the sign to "{}"',
            'the sign says "{}"',
            'change the text to "{}"',
            'write "{}" on the sign',
            'the sign should say "{}"',
            'replace the text with "{}"',
        )
    )
    return Edit("sign", (scene,), replace(scene, sign=replace(scene.sign, text=text)), words.format(shown))


def _two(scene: Scene, random: Random) -> Edit | None:
    """This thing, into that place."""
    if scene.place in ("poster", "village") or not scene.things or scene.sign:
        return None
    thing = replace(random.choice(scene.things), near=True)
    able = [place for place, (_, kinds) in PLACES.items() if thing.kind in kinds and place != scene.place]
    if not able or thing.kind in FLYING:
        return None
    land = replace(draw_scene(random, random.choice(able)), things=(), sign=None)
    first = replace(scene, things=(thing,))
    after = replace(land, things=(replace(thing, slot="center"),))
    what, where = name(thing), land.place
    words = random.choice(
        (
            f"put the {what} of the first picture into the second picture",
            f"the {what} from the first picture in the second one",
            f"this {what} in that place",
            f"put this {what} there",
            f"the {what} of the first picture in the {where} of the second picture",
        )
    )
    return Edit("two", (first, land), after, words)


HOW = {
    "time": _time,
    "weather": _weather,
    "color": _color,
    "add": _add,
    "remove": _remove,
    "move": _move,
    "sign": _sign,
    "two": _two,
}
