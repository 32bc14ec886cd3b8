"""The measure by true pictures: nothing is off in them, and what is off is counted where an eye would see it."""

from __future__ import annotations

import numpy as np
import pytest

from o1_tiny.training.likeness import GROUPS, OFF_LEVELS, off, told
from o1_tiny.world.palette import ink_for
from o1_tiny.world.render import render

SIDE = 256


def of(group: str):
    return next(scene for which, _, scene in told() if which == group)


@pytest.mark.parametrize("side", [SIDE, 512])
def test_a_true_picture_is_off_nowhere(side):
    some = told()[::6]
    assert {group for group, _, _ in some} == set(GROUPS)
    assert [off(render(scene, side, side), scene) for _, _, scene in some] == [0.0] * len(some)


@pytest.mark.parametrize("group", GROUPS)
def test_a_picture_that_is_moved_by_a_pixel_is_off_along_its_edges(group):
    scene = of(group)
    moved = np.roll(render(scene, SIDE, SIDE), 1, axis=1)
    assert 0.0005 < off(moved, scene) < 0.06


def test_what_an_eye_does_not_see_is_not_counted():
    scene = of("aside")
    picture = render(scene, SIDE, SIDE).astype(np.int16)
    assert off((picture + OFF_LEVELS).clip(0, 255).astype(np.uint8), scene) == 0
    picture[:16, :16] += np.where(picture[:16, :16] > 127, -1, 1).astype(np.int16) * (OFF_LEVELS + 1)
    assert off(picture.clip(0, 255).astype(np.uint8), scene) == pytest.approx(16 * 16 / SIDE**2)


def test_a_picture_of_something_else_is_told_from_one_that_is_off():
    scene = of("aside")
    assert off(render(of("textured"), SIDE, SIDE), scene) is None


def test_prompts_say_all_of_their_scenes():
    assert [group for group, _, _ in told()] == [group for group in GROUPS for _ in range(12)]
    assert len({prompt for _, prompt, _ in told()}) == len(told())
    for _, prompt, scene in told():
        back = scene.background
        assert back.color in prompt and back.second in prompt
        assert (back.pattern == "plain") != (back.pattern in prompt)
        for thing in scene.things:
            assert all(word in prompt for word in (thing.shape, thing.color, thing.size, *thing.place.split()))
            assert (thing.texture == "plain") != (thing.texture in prompt)
        if scene.sign is not None:
            assert f'"{scene.sign.text}"' in prompt and scene.sign.board in prompt
            assert scene.sign.ink == ink_for(scene.sign.board)  # what goes without saying
