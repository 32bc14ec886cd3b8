"""A caption says what its scene shows, in many ways."""

from __future__ import annotations

from random import Random

from o1_tiny.world.captions import caption
from o1_tiny.world.palette import COLOR_NAMES
from o1_tiny.world.scenes import draw_scene


def test_what_is_said_is_in_the_scene():
    random = Random(2)
    for _ in range(500):
        scene = draw_scene(random)
        asked = caption(scene, random)
        shown = {(thing.shape, thing.color, thing.texture) for thing in scene.things}
        assert all((thing.shape, thing.color, thing.texture) in shown for thing in asked.things)
        assert (asked.sign is None) == (scene.sign is None)
        if asked.sign is not None and scene.sign is not None:
            assert asked.sign.text == scene.sign.text
            assert scene.sign.text.lower() in asked.prompt.lower()
        assert asked.background in (None, scene.background)


def test_one_scene_is_asked_for_in_many_ways():
    random = Random(3)
    scene = draw_scene(random, "sign and thing")
    assert len({caption(scene, random).prompt for _ in range(200)}) > 120


def test_sign_texts_are_written_small_and_capital_alike():
    random = Random(4)
    prompts = [caption(draw_scene(random, "sign"), random) for _ in range(300)]
    letters = [asked for asked in prompts if asked.sign is not None and any(c.isalpha() for c in asked.sign.text)]
    small = sum(asked.sign is not None and asked.sign.text.lower() in asked.prompt for asked in letters)
    assert 0.15 < small / len(letters) < 0.5


def test_an_unsaid_layout_is_mostly_the_one_that_a_reader_expects():
    random = Random(5)
    drawn = [(scene, caption(scene, random)) for scene in (draw_scene(random, "two") for _ in range(2000))]
    unsaid = [s.layout for s, asked in drawn if asked.relation is None and not any(t.place for t in asked.things)]
    assert 150 < len(unsaid) < 600, "some, for seeds to decide"
    assert sum(layout in ("left of", "above") for layout in unsaid) > 0.7 * len(unsaid)


def test_a_background_is_left_open_only_in_a_shade_and_then_often():
    random = Random(6)
    drawn = [(scene, caption(scene, random)) for scene in (draw_scene(random) for _ in range(2000))]
    left_open = [scene.background for scene, asked in drawn if asked.background is None]
    assert all(one.pattern == "plain" and one.color not in COLOR_NAMES for one in left_open)
    shades = [one for one, _ in drawn if one.background.pattern == "plain" and one.background.color not in COLOR_NAMES]
    assert 0.35 < len(left_open) / len(shades) < 0.55


def test_letters_are_said_to_be_black_or_white_or_nothing():
    random = Random(7)
    signs = [caption(draw_scene(random, "sign"), random).sign for _ in range(300)]
    assert {sign.ink for sign in signs if sign is not None} == {"black", "white", None}
