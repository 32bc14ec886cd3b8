"""Now and then a picture does not show quite what its caption says, as on the web. Knows no pixels and no prompts.

A model that has only seen captions that are always right needs no guidance: it may as well draw without. Letters,
textures and third things are what these captions get wrong. What less guidance costs then is in the model card.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from o1_tiny.world.glyphs import CHARACTERS
from o1_tiny.world.scenes import TEXTURES, Scene, Sign, Thing

WRONG_LETTER = 0.02  # of the scenes with letters
WRONG_TEXTURE = 0.015  # of those with stripes or dots
MISSING_THIRD = 0.03  # of those with three things


def slipped(scene: Scene, random: Random) -> Scene:
    """What is drawn for the caption of `scene`: mostly that, else with another letter, texture, or a thing less."""
    drawn = scene
    if scene.sign is not None and random.random() < WRONG_LETTER:
        drawn = replace(drawn, sign=_misspelt(scene.sign, random))
    textured = [index for index, thing in enumerate(scene.things) if thing.texture != "plain"]
    if textured and random.random() < WRONG_TEXTURE:
        which = random.choice(textured)
        things = (_otherwise(thing, random) if index == which else thing for index, thing in enumerate(drawn.things))
        drawn = replace(drawn, things=tuple(things))
    if len(scene.things) == 3 and random.random() < MISSING_THIRD:
        missing = random.randrange(3)
        drawn = replace(drawn, things=drawn.things[:missing] + drawn.things[missing + 1 :])
    return drawn


def _misspelt(sign: Sign, random: Random) -> Sign:
    at = random.randrange(len(sign.text))
    other = random.choice([character for character in CHARACTERS if character != sign.text[at]])
    return replace(sign, text=sign.text[:at] + other + sign.text[at + 1 :])


def _otherwise(thing: Thing, random: Random) -> Thing:
    return replace(thing, texture=random.choice([texture for texture in TEXTURES if texture != thing.texture]))
