"""What is drawn beside what is told: rarely something else, and only where captions go wrong."""

from __future__ import annotations

from random import Random

from o1_tiny.training.slips import MISSING_THIRD, WRONG_LETTER, WRONG_TEXTURE, slipped
from o1_tiny.world.scenes import Kind, draw_scene


def pairs(kind: Kind, count: int = 1500):
    random = Random(4)
    told = [draw_scene(random, kind) for _ in range(count)]
    return [(scene, slipped(scene, random)) for scene in told]


def share(slips: list[bool]) -> float:
    return sum(slips) / len(slips)


def test_a_sign_now_and_then_has_one_other_letter():
    found = [[a != b for a, b in zip(told.sign.text, drawn.sign.text, strict=True)] for told, drawn in pairs("sign")]
    assert 0.6 * WRONG_LETTER < share([any(one) for one in found]) < 1.4 * WRONG_LETTER
    assert max(sum(one) for one in found) == 1


def test_a_textured_thing_now_and_then_has_another_texture_and_a_plain_one_never():
    found = pairs("one")
    textured = [(told, drawn) for told, drawn in found if told.things[0].texture != "plain"]
    assert 0.6 * WRONG_TEXTURE < share([told != drawn for told, drawn in textured]) < 1.4 * WRONG_TEXTURE
    for told, drawn in found:
        if told.things[0].texture == "plain":
            assert drawn == told
        elif told != drawn:
            assert drawn.things[0].texture != told.things[0].texture
            assert drawn.things[0].shape == told.things[0].shape and drawn.background == told.background


def test_of_three_things_now_and_then_one_is_missing():
    found = pairs("three")
    assert 0.6 * MISSING_THIRD < share([len(drawn.things) == 2 for _, drawn in found]) < 1.4 * MISSING_THIRD
    assert all(thing in told.things for told, drawn in found for thing in drawn.things)
