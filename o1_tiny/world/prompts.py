"""Prompts to judge a model by, class by class, that training never drew. Knows no pixels and no model."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from random import Random
from typing import Literal

from o1_tiny.world.captions import Asked, AskedThing, caption
from o1_tiny.world.palette import COLOR_NAMES, CONTRASTS, PALETTE_NAMES, distance, ink_for
from o1_tiny.world.scenes import Background, Kind, Scene, draw_scene
from o1_tiny.world.shapes import SHAPES

PromptClass = Literal["one", "two", "three", "texture", "sign", "lowercase sign", "center"]
CLASSES: tuple[PromptClass, ...] = ("one", "two", "three", "texture", "sign", "lowercase sign", "center")

HELD_OUT_SEED = 1_000_003  # far from the seeds of the training's workers
MIN_COLOR_DISTANCE = 60.0  # between things of one scene, so that each can be told by its colour


def held_out(which: PromptClass, count: int, seed: int = HELD_OUT_SEED) -> list[Asked]:
    """`count` prompts of a class with what they say; equal arguments give equal prompts."""
    random = Random(f"{seed} {which}")
    found: list[Asked] = []
    while len(found) < count:
        if which == "center":
            found.append(_center(random))
        elif (judged := judged_scene(which, random)) is not None:
            found.append(judged[1])
    return found


def judged_scene(which: PromptClass, random: Random) -> tuple[Scene, Asked] | None:
    """A scene of that class with its prompt, or None where the lot fell on one that a program could not judge."""
    kind: Kind
    if which in ("sign", "lowercase sign"):
        kind = random.choice(("sign", "sign and thing"))
    elif which == "texture":
        kind = random.choice(("one", "two"))
    else:
        kind = which  # type: ignore[assignment]
    scene = draw_scene(random, kind)
    if which in ("one", "two", "three"):
        scene = replace(scene, things=tuple(replace(thing, texture="plain") for thing in scene.things))
    if not _fits(scene, which):
        return None
    asked = caption(scene, random)
    if asked.sign is not None and (asked.sign.text.lower() in asked.prompt) != (which == "lowercase sign"):
        return None
    return scene, asked


def _fits(scene: Scene, which: PromptClass) -> bool:
    colors = [thing.color for thing in scene.things]
    if scene.sign is not None:
        colors.append(scene.sign.board)
        if len(scene.sign.text) > 3 or not scene.sign.text.isalnum() or not any(c.isalpha() for c in scene.sign.text):
            return False
    if any(distance(first, second) < MIN_COLOR_DISTANCE for first, second in combinations(colors, 2)):
        return False
    # stripes and dots in the colour of another thing would be taken for a part of it
    inks = {ink_for(thing.color) for thing in scene.things if thing.texture != "plain"}
    if any(distance(ink, color) < MIN_COLOR_DISTANCE for ink in inks for color in colors):
        return False
    return which != "texture" or any(thing.texture != "plain" for thing in scene.things)


def _center(random: Random) -> Asked:
    """A large or small thing of any colour "in the center", on any plain background."""
    color, back = random.choice(COLOR_NAMES), random.choice(PALETTE_NAMES)
    while back not in CONTRASTS[color]:
        back = random.choice(PALETTE_NAMES)
    size = random.choice(("large", "small"))
    shape = random.choice(SHAPES)
    thing = f"{size} {color} {shape} in the center"
    prompt = random.choice((
        f"a {thing}, {back} background", f"a {thing} on a {back} background", f"a {thing} of a plain {back} background",
        f"{thing}, plain {back} background", f"A {thing} on a plain {back} background.", f"a {thing} on {back}",
    ))  # fmt: skip
    asked = AskedThing(shape, color, "plain", "large" if size == "large" else "small", "center")
    return Asked(prompt, (asked,), None, None, Background("plain", back, back))
