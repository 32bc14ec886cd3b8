"""How far off a model is on scenes that it never trains on, noise level by noise level. Knows no steps, no files."""

from __future__ import annotations

from random import Random

import torch
from tokenizers import Tokenizer

from hidream_studio.model.transformer import O1Transformer
from o1_tiny.training.pool import draw_shard
from o1_tiny.training.render import Tables, render_patches
from o1_tiny.training.trainee import Angles, add_noise, eager, parts, predict
from o1_tiny.world.prompts import HELD_OUT_SEED

SIDES = (8, 16)  # patches: 256 and 512 px
LEVELS = (0.97, 0.9, 0.75, 0.5, 0.2, 0.05)
SCENES = 128


class Validation:
    """The same scenes under the same noise each time, so that two numbers can be compared."""

    def __init__(self, tokenizer: Tokenizer, device: torch.device, scenes: int = SCENES) -> None:
        shard = draw_shard(Random(HELD_OUT_SEED), tokenizer, scenes, slips=False)
        self._values = torch.from_numpy(shard.values).to(device)
        self._ids = torch.from_numpy(shard.ids).to(device).long()
        lengths = torch.from_numpy(shard.lengths).to(device)
        self._mask = torch.arange(self._ids.shape[1], device=device) < lengths[:, None]
        self._tables = Tables.on(device)

    @torch.no_grad()
    def errors(self, model: O1Transformer) -> dict[str, float]:
        """Mean squared error of the predicted picture, values in [-1, 1], by side in px and noise level."""
        run, device = parts(eager), model.device
        generator = torch.Generator(device).manual_seed(0)
        angles, found = Angles(model, self._ids.shape[1] + 8), {}
        for side in SIDES:
            clean = render_patches(self._values, side, side, self._tables)
            noise = torch.randn(clean.shape, generator=generator, device=device)
            for level in LEVELS:
                t = torch.full((len(clean),), 1 - level, device=device)
                with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                    noisy = add_noise(clean, noise, torch.tensor(level, device=device))
                    predicted = predict(model, run, angles, self._ids, self._mask, noisy, t, side, side)
                found[f"{side * 32}@{level}"] = float((predicted.float() - clean).square().mean())
        return found
