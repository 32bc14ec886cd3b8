"""Prompts to judge settings by, sorted into classes: where few steps and small sizes show first, and where they do not.

Knows no server. The suite of the embedded model carries what each prompt demands, so that a program can check it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from hidream_studio.bench.world.captions import Asked, caption
from hidream_studio.bench.world.scenes import Kind, draw_scene
from hidream_studio.errors import RequestError


@dataclass(frozen=True)
class Prompt:
    text: str
    prompt_class: str  # pictures of one class are judged together
    hard: bool = False  # whether loss is expected to show early
    scene_seed: int | None = None  # of the embedded model's suite: draws again what it demands


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

_TINY_KINDS: tuple[tuple[str, Kind, bool], ...] = (
    ("one object", "one", False), ("two objects", "two", False), ("several objects", "three", True),
    ("text on signs", "sign", True), ("sign and object", "sign and thing", True),
)  # fmt: skip
_TINY_PER_CLASS = 4
_FINE = "fine patterns"
_FINE_KIND: Kind = "one"


def hard_cases() -> tuple[Prompt, ...]:
    """For HiDream-O1-Image: the hard ones, and the forgiving ones beside them."""
    hard = tuple(Prompt(text, prompt_class, hard=True) for prompt_class, text in _HARD)
    return hard + tuple(Prompt(text, prompt_class) for prompt_class, text in _FORGIVING)


def tiny_cases() -> tuple[Prompt, ...]:
    """For o1-tiny: scenes of its world, always the same; each demand can be checked by program."""
    prompts: list[Prompt] = []
    for class_index, (prompt_class, kind, hard) in enumerate(_TINY_KINDS):
        for index in range(_TINY_PER_CLASS):
            prompts.append(_tiny_prompt(1000 * class_index + index, kind, prompt_class, hard))
    fine = (seed for seed in range(5000, 6000) if _has_texture(seed))
    return (*prompts, *(_tiny_prompt(next(fine), "one", _FINE, True) for _ in range(_TINY_PER_CLASS)))


def asked_of(prompt: Prompt) -> Asked | None:
    """What a prompt of the embedded model's suite demands; None where no program can tell, or the world has changed."""
    if prompt.scene_seed is None:
        return None
    kind = next((kind for name, kind, _hard in _TINY_KINDS if name == prompt.prompt_class), _FINE_KIND)
    asked = _asked(prompt.scene_seed, kind)
    return asked if asked.prompt == prompt.text else None


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


def _asked(seed: int, kind: Kind) -> Asked:
    random = Random(seed)
    return caption(draw_scene(random, kind), random)


def _tiny_prompt(seed: int, kind: Kind, prompt_class: str, hard: bool) -> Prompt:
    return Prompt(_asked(seed, kind).prompt, prompt_class, hard, scene_seed=seed)


def _has_texture(seed: int) -> bool:
    return any(thing.texture != "plain" for thing in _asked(seed, "one").things)
