"""How close pictures come to the one that a prompt leaves open: scenes of which everything is told. Knows no model.

Places and sizes come from short lists, so that a prompt can say all of a scene. What is off then is not the model's
choice: outlines that stand or bend by part of a pixel, chips, halos, smeared letters.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from random import Random
from typing import Literal

import numpy as np
import numpy.typing as npt

from hidream_studio.bench.world.captions import PLACE_PHRASES
from hidream_studio.bench.world.glyphs import ADVANCE, LETTER_HEIGHT
from hidream_studio.bench.world.palette import ink_for
from hidream_studio.bench.world.render import render
from hidream_studio.bench.world.scenes import (
    LARGEST_ASIDE,
    LETTERS,
    NARROW,
    PLACES,
    RADII,
    SIGN_ADVANCES,
    Background,
    Pattern,
    Scene,
    Sign,
    Texture,
    Thing,
    draw_scene,
)
from hidream_studio.bench.world.shapes import SHAPES

Pixels = npt.NDArray[np.uint8]  # (height, width, 3)
Group = Literal["aside", "on a pattern", "textured", "small", "sign"]

GROUPS: tuple[Group, ...] = ("aside", "on a pattern", "textured", "small", "sign")
EACH = 12  # scenes of a group
OFF_LEVELS = 16  # of 255, in any channel; half a pixel of a strong outline is 30
ELSEWHERE = 0.08  # of the picture: with more of it off, something else is drawn


@cache
def told() -> tuple[tuple[Group, str, Scene], ...]:
    """EACH scenes of a group, with prompts that say all of them."""
    random = Random(20_011)
    return tuple((group, *_told(group, random)) for group in GROUPS for _ in range(EACH))


def off(picture: Pixels, scene: Scene) -> float | None:
    """Share of the pixels that are off the true picture by more than OFF_LEVELS; None where it shows something else."""
    height, width = picture.shape[:2]
    levels = np.abs(picture.astype(np.int16) - render(scene, width, height)).max(axis=-1)
    share = float((levels > OFF_LEVELS).mean())
    return share if share < ELSEWHERE else None


def _told(group: Group, random: Random) -> tuple[str, Scene]:
    if group == "sign":
        return _sign(random)
    plain: Pattern = random.choice(("checkerboard", "stripes", "gradient")) if group == "on a pattern" else "plain"
    while True:
        scene = draw_scene(random, "one")
        if scene.background.pattern == plain:
            break
    thing = scene.things[0]
    place = random.choice(tuple(PLACES)[1:] if group == "aside" else tuple(PLACES))
    size = "small" if group == "small" else "large"
    radius = RADII[size] if place == "center" else min(RADII[size], LARGEST_ASIDE)
    texture: Texture = random.choice(("striped", "dotted")) if group == "textured" else "plain"
    shape = random.choice([name for name in SHAPES if group != "textured" or name not in NARROW])
    if group == "aside":
        shape = random.choice(("circle", "circle", "ring", "heart", "star"))
    x, y = PLACES[place]
    thing = Thing(shape, thing.color, texture, size, radius, x, y, place)  # type: ignore[arg-type]
    words = " ".join(word for word in (size, texture if texture != "plain" else "", thing.color, shape) if word)
    prompt = f"a {words} {PLACE_PHRASES[place][0]}, {_behind(scene.background)}"
    return prompt, replace(scene, things=(thing,))


def _sign(random: Random) -> tuple[str, Scene]:
    while True:
        scene = draw_scene(random, "sign")
        if scene.background.pattern == "plain" and scene.sign is not None:
            break
    text = "".join(random.choice(LETTERS) for _ in range(random.choice((1, 2, 3))))
    board = scene.sign.board
    height = SIGN_ADVANCES["alone"][len(text) - 1] * LETTER_HEIGHT / ADVANCE
    sign = Sign(text, board, ink_for(board), height, 0.5, 0.5, "center")
    prompt = f'a {board} sign that says "{text}" in the center, {_behind(scene.background)}'
    return prompt, replace(scene, sign=sign)


def _behind(background: Background) -> str:
    match background.pattern:
        case "plain":
            return f"{background.color} background"
        case "gradient":
            return f"{background.color} to {background.second} gradient background"
        case "checkerboard":
            return f"{background.color} and {background.second} checkerboard background"
        case _:
            return f"background with {background.color} and {background.second} stripes"
