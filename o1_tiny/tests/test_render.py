"""The GPU's renderer draws what the definition draws."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest
import torch

from hidream_studio.model.patches import unpatchify
from o1_tiny.training.render import DISTANCE_POINTS, FAR_PX, Tables, outline_distances, render_patches
from o1_tiny.world.render import render_values
from o1_tiny.world.scenes import PATTERNS, Background, Scene, Sign, Thing, draw_scene, pack


@pytest.mark.parametrize(("cols", "rows"), [(8, 8), (12, 8), (8, 10), (14, 10)])
def test_both_renderers_draw_the_same_pixels(cols, rows):
    random = Random(cols * 100 + rows)
    scenes = [draw_scene(random) for _ in range(24)]
    scenes += [replace(scenes[0], background=Background(pattern, "red", "white")) for pattern in PATTERNS]
    rows_of_values = np.stack([pack(scene) for scene in scenes])
    drawn = render_patches(torch.from_numpy(rows_of_values), rows, cols, Tables.on(torch.device("cpu")))
    pictures = unpatchify(drawn, rows, cols).permute(0, 2, 3, 1).numpy()
    for values, picture in zip(rows_of_values, pictures, strict=True):
        assert np.abs(picture - render_values(values, cols * 32, rows * 32)).max() < 2 / 255


def distances(scene: Scene, cols: int, rows: int) -> torch.Tensor:
    """(rows, cols, 2, points, points) px: of things and boards, and of letters."""
    values = torch.from_numpy(pack(scene))[None]
    found = outline_distances(values, rows, cols, Tables.on(torch.device("cpu")))
    return found.view(rows, cols, 2, DISTANCE_POINTS, DISTANCE_POINTS)


def test_distances_are_those_to_the_nearest_outline():
    small, large = (
        Thing("circle", "red", "plain", "small", 0.115, 0.2, 0.3),
        Thing("circle", "blue", "plain", "large", 0.28, 0.7, 0.5),
    )
    found = distances(Scene("two", Background("plain", "white", "white"), (small, large), None, "free"), 12, 8)
    step = torch.arange(DISTANCE_POINTS) * 32 / (DISTANCE_POINTS - 1)
    x = (torch.arange(12) * 32)[None, :, None, None] + step
    y = (torch.arange(8) * 32)[:, None, None, None] + step[:, None]
    expected = torch.minimum(
        *(
            ((x - one.x * 384).square() + (y - one.y * 256).square()).sqrt() - 0.972 * one.radius * 256
            for one in (small, large)
        )
    )  # shapes.py: a circle fills 0.972 of its square
    near = expected < 12
    assert (found[:, :, 0] - expected)[near].abs().max() < 0.3
    told = found[:, :, 0][~near]
    far = expected.clamp(max=FAR_PX)[~near]
    assert (told > far - 0.3).all() and (told < 1.2 * far).all()
    assert (found[:, :, 1] == FAR_PX).all()  # there are no letters


def test_neighbouring_patches_agree_on_distances_at_their_border():
    sign = Sign("OK", "white", "black", 0.23, 0.5, 0.3)
    heart = Thing("heart", "red", "plain", "medium", 0.15, 0.5, 0.75)
    found = distances(Scene("sign and thing", Background("plain", "blue", "blue"), (heart,), sign, "below"), 10, 8)
    assert torch.equal(found[:, 1:, :, :, 0], found[:, :-1, :, :, -1])
    assert torch.equal(found[1:, :, :, 0], found[:-1, :, :, -1])
    things, letters = found.unbind(2)
    on_board, in_heart, in_stroke = things[:4].min() < 0, things[4:].min() < 0, letters.min() < 0
    assert on_board and in_heart and in_stroke
    assert ((letters < 0) <= (things < 0)).all()  # letters stand on the board
    assert letters[6:].min() > 32  # and are not near the heart
