"""What a picture is asked, and the right answers of a scene. Knows no tensors.

Place, time, weather, where sun or moon is, where a sign is; for each kind of thing and each of three slots whether it
is there, and its two colours; a sign's colour and up to four letters.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from o1_tiny.illustrated.letters import CHARACTERS
from o1_tiny.illustrated.palette import COLORS, TIMES, WEATHERS
from o1_tiny.illustrated.scene import KINDS, MOST_LETTERS, PLACES, SLOTS, Scene

COLOR_NAMES, SLOT_NAMES, PLACE_NAMES = ("", *COLORS), tuple(SLOTS), tuple(PLACES)
UNTOLD = -1
THINGS = len(KINDS) * len(SLOT_NAMES)
SPANS = {  # answers, and of how many values each
    "place": (1, len(PLACE_NAMES)), "time": (1, len(TIMES)), "weather": (1, len(WEATHERS)), "orb": (1,
        1 + len(SLOT_NAMES)), "sign": (1, 1 + len(SLOT_NAMES)),
    "there": (THINGS, 2), "color": (THINGS, len(COLOR_NAMES)), "second": (THINGS, len(COLOR_NAMES)),
    "sign_color": (1, len(COLOR_NAMES)), "letters": (MOST_LETTERS, 1 + len(CHARACTERS)),
}  # fmt: skip
LABELS = sum(count for count, _ in SPANS.values())


def labels(scene: Scene) -> list[int]:
    """The right answers, (LABELS,); UNTOLD where a picture cannot show one."""
    told = scene.place not in ("poster", "space")
    found = [
        PLACE_NAMES.index(scene.place),
        TIMES.index(scene.time) if told else UNTOLD,
        WEATHERS.index(scene.weather) if told else UNTOLD,
    ]
    sign = scene.sign
    found.append(1 + SLOT_NAMES.index(scene.orb) if scene.orb else 0)
    found.append(1 + SLOT_NAMES.index(sign.slot) if sign else 0)
    there, first, second = [0] * THINGS, [UNTOLD] * THINGS, [UNTOLD] * THINGS
    for thing in scene.things:
        at = KINDS.index(thing.kind) * len(SLOT_NAMES) + SLOT_NAMES.index(thing.slot)
        there[at], first[at], second[at] = 1, COLOR_NAMES.index(thing.color), COLOR_NAMES.index(thing.second)
        if (thing.kind == "house" and scene.snow) or thing.kind == "balloon":
            second[at] = UNTOLD  # under snow, or mixed with the other colour
    found += there + first + second
    found.append(COLOR_NAMES.index(sign.color) if sign else UNTOLD)
    text = sign.text if sign else ""
    return found + [1 + CHARACTERS.index(text[index]) if index < len(text) else 0 for index in range(MOST_LETTERS)]


@dataclass(frozen=True)
class SeenThing:
    kind: str
    slot: str
    color: str
    second: str


@dataclass(frozen=True)
class Seen:
    """What the judge says of one picture."""

    place: str
    time: str
    weather: str
    orb: str  # a slot, or ""
    things: tuple[SeenThing, ...]
    sign: str  # its letters
    sign_slot: str
    sign_color: str
    sure: float = field(default=1.0)  # the least probability among place, time and weather
