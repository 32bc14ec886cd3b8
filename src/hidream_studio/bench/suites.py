"""Prompts to judge settings by, sorted into classes: where few steps and small sizes show first, and where they do not.

Knows no server. A prompt may carry what it demands and who can check it; what demands mean is for the judge to know.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hidream_studio.errors import RequestError
from hidream_studio.settings import EMBEDDED_CHECKPOINT

EMBEDDED_PROMPTS = EMBEDDED_CHECKPOINT / "prompts.json"


@dataclass(frozen=True)
class Check:
    """What a picture has to show, in a judge's own words."""

    judge: str  # its name among the entry points: checks.py
    demands: dict[str, Any]


@dataclass(frozen=True)
class Prompt:
    text: str
    prompt_class: str  # pictures of one class are judged together
    hard: bool = False  # whether loss is expected to show early
    check: Check | None = None  # None: no program can tell whether a picture shows it


_HARD = (
    ("older faces and skin",
     "Close-up portrait of a fisherman in his eighties, weathered skin, deep wrinkles and age spots, white stubble, "
     "wet eyes, overcast daylight, 85mm lens"),
    ("older faces and skin",
     "Two old women laughing on a park bench, freckles, thin silver hair moving in the wind, backlit, candid photo"),
    ("hands and jewellery",
     "Macro photo of a goldsmith's hands setting a small blue stone into a ring, five fingers visible on each hand, "
     "scratched wooden bench, tools"),
    ("hands and jewellery",
     "A woman fastens a fine silver chain around her neck, both hands at the clasp, rings on three fingers"),
    ("patterned fabric",
     "A folded stack of hand-woven ikat and houndstooth fabrics, every thread visible, soft window light, top view"),
    ("patterned fabric",
     "A man in a herringbone tweed jacket with a fine polka-dot tie and a striped shirt, studio portrait"),
    ("text on signs and pages",
     'A hand-painted cafe blackboard that reads "TODAY: LENTIL SOUP 4.50", a smaller line below says "ask for bread"'),
    ("text on signs and pages",
     'An open book on a table, its left page titled "Chapter Seven: The Harbour", legible printed paragraphs, glasses '
     "lying on it"),
    ("several people",
     "Seven musicians of a street brass band in mid-song, each face different, instruments in every hand, evening"),
    ("several people",
     "A family dinner seen from the end of a long table, nine people talking, plates and glasses in front of each"),
    ("busy interiors",
     "A crowded watchmaker's workshop, hundreds of clocks and tiny drawers on the walls, a lamp over the bench"),
    ("busy interiors",
     "A library's reading hall with balconies full of books, green lamps, straight rows of desks, symmetrical"),
)  # fmt: skip
_FORGIVING = (
    ("soft landscapes", "Rolling hills in morning fog, one bare tree, muted colours, long exposure"),
    ("soft landscapes", "A calm lake under a pink evening sky, low clouds, far mountains in haze"),
    ("plain objects", "A single green pear on a white table, soft shadow, minimal still life"),
    ("plain objects", "A matte black teapot in front of a beige wall, studio light"),
    ("painted", "A loose watercolour of a sailing boat, wide wet brush strokes, white paper left open"),
    ("painted", "An abstract oil painting of large overlapping shapes in ochre and blue, visible brushwork"),
)


def hard_cases() -> tuple[Prompt, ...]:
    """For HiDream-O1-Image: the hard ones, and the forgiving ones beside them."""
    hard = tuple(Prompt(text, prompt_class, hard=True) for prompt_class, text in _HARD)
    return hard + tuple(Prompt(text, prompt_class) for prompt_class, text in _FORGIVING)


def tiny_cases() -> tuple[Prompt, ...]:
    """For the embedded model: always the same, and each can be checked by the judge that it names."""
    found = json.loads(EMBEDDED_PROMPTS.read_text(encoding="utf-8"))
    return tuple(Prompt(one["text"], one["class"], one["hard"], Check(**one["check"])) for one in found)


SUITES: dict[str, Callable[[], tuple[Prompt, ...]]] = {"hard-cases": hard_cases, "o1-tiny": tiny_cases}


def suite(name: str) -> tuple[Prompt, ...]:
    """The prompts of that name.

    Raises
    ------
    RequestError
        when there is none; lists those that there are.
    """
    if name not in SUITES:
        raise RequestError(f"--suite {name!r} is unknown; there are {', '.join(SUITES)}", field="suite")
    return SUITES[name]()
