"""How close pictures come to the one that a prompt leaves open: scenes of which everything is told. Knows no model.

Places and sizes come from short lists, so that a prompt can say all of a scene. What is off then is not the model's
choice: outlines that stand or bend by part of a pixel, chips, halos, smeared letters. The scenes lie beside this file,
so that they stay the same when what is drawn by lot changes.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from o1_tiny.world.captions import PLACE_PHRASES
from o1_tiny.world.palette import ink_for
from o1_tiny.world.render import render
from o1_tiny.world.scenes import (
    LARGEST_ASIDE,
    PLACES,
    RADII,
    Background,
    Scene,
    Sign,
    Thing,
    letter_height,
)

Pixels = npt.NDArray[np.uint8]  # (height, width, 3)

SCENES = Path(__file__).with_suffix(".csv")
GROUPS = ("aside", "on a pattern", "textured", "small", "sign")
OFF_LEVELS = 16  # of 255, in any channel; half a pixel of a strong outline is 30
ELSEWHERE = 0.08  # of the picture: with more of it off, something else is drawn


@cache
def told() -> tuple[tuple[str, str, Scene], ...]:
    """Groups, prompts that say everything, and what they say; as many scenes of each group."""
    with SCENES.open(encoding="utf-8", newline="") as file:
        return tuple((row["group"], _prompt(row), _scene(row)) for row in csv.DictReader(file))


def off(picture: Pixels, scene: Scene) -> float | None:
    """Share of the pixels that are off the true picture by more than OFF_LEVELS; None where it shows something else."""
    height, width = picture.shape[:2]
    levels = np.abs(picture.astype(np.int16) - render(scene, width, height)).max(axis=-1)
    share = float((levels > OFF_LEVELS).mean())
    return share if share < ELSEWHERE else None


def _scene(row: dict[str, str]) -> Scene:
    background = Background(row["pattern"], row["background"], row["second"])  # type: ignore[arg-type]
    x, y = PLACES[row["place"]]
    if text := row["text"]:
        sign = Sign(text, row["color"], ink_for(row["color"]), letter_height(len(text)), x, y, row["place"])
        return Scene("sign", background, (), sign, "free")
    radius = RADII[row["size"]]  # type: ignore[index]
    radius = radius if row["place"] == "center" else min(radius, LARGEST_ASIDE)
    thing = Thing(row["shape"], row["color"], row["texture"], row["size"], radius, x, y, row["place"])  # type: ignore[arg-type]
    return Scene("one", background, (thing,), None, "free")


def _prompt(row: dict[str, str]) -> str:
    words = [row["size"], row["texture"].replace("plain", ""), row["color"], row["shape"] or "sign"]
    what = " ".join(word for word in words if word)
    if row["text"]:
        what += f' that says "{row["text"]}"'
    return f"a {what} {PLACE_PHRASES[row['place']][0]}, {_behind(row)}"


def _behind(row: dict[str, str]) -> str:
    first, second = row["background"], row["second"]
    match row["pattern"]:
        case "plain":
            return f"{first} background"
        case "gradient":
            return f"{first} to {second} gradient background"
        case "checkerboard":
            return f"{first} and {second} checkerboard background"
        case _:
            return f"background with {first} and {second} stripes"
