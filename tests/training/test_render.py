"""The GPU's renderer draws what the definition draws."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
import torch
from training.render import Tables, render_patches

from hidream_studio.bench.world.render import render_values
from hidream_studio.bench.world.scenes import draw_scene, pack
from hidream_studio.model.patches import unpatchify


@pytest.mark.parametrize(("cols", "rows"), [(8, 8), (12, 8), (8, 10)])
def test_both_renderers_draw_the_same_pixels(cols, rows):
    random = Random(cols * 100 + rows)
    rows_of_values = np.stack([pack(draw_scene(random)) for _ in range(24)])
    drawn = render_patches(torch.from_numpy(rows_of_values), rows, cols, Tables.on(torch.device("cpu")))
    pictures = unpatchify(drawn, rows, cols).permute(0, 2, 3, 1).numpy()
    for values, picture in zip(rows_of_values, pictures, strict=True):
        assert np.abs(picture - render_values(values, cols * 32, rows * 32)).max() < 2 / 255
