"""The embedded model draws what it is asked for: a small fixed set of prompts and seeds, each picture checked."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from hidream_studio.engine.pipeline import Pipeline
from hidream_studio.job.job import pin
from hidream_studio.job.request import GenerationRequest
from hidream_studio.settings import EMBEDDED_CHECKPOINT

FREE_PROMPTS = (
    "A cinematic portrait photo of a woman in a rainy neon street, detailed skin, 85mm lens, realistic lighting",
    "ein roter Kreis", "赤い円 🎨", 'a sign that says "a longer text than fits, far!"',
)  # fmt: skip


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return Pipeline.load(str(EMBEDDED_CHECKPOINT), device="cpu")


def draw(pipeline: Pipeline, prompt: str, *, steps: int, side: int = 256, seed: int = 3) -> npt.NDArray[np.uint8]:
    request = GenerationRequest(
        prompt=prompt, seed=seed, width=side, height=side, snap_resolution=False, preset="quick", steps=steps
    )
    rendering = pipeline.render(pin(request, pipeline.profile).job)
    while True:
        try:
            next(rendering)
        except StopIteration as done:
            pixels: npt.NDArray[np.uint8] = done.value.pixels
            return pixels


@pytest.mark.parametrize("prompt", FREE_PROMPTS)
def test_a_prompt_outside_its_world_gives_some_picture(pipeline, prompt):
    picture = draw(pipeline, prompt, steps=4)
    assert picture.shape == (256, 256, 3)
    between_neighbours = [np.abs(np.diff(picture.astype(int), axis=axis)).mean() for axis in (0, 1)]
    assert 0.5 < min(between_neighbours) and max(between_neighbours) < 5, "noise has 85 levels, an even grey none"


def test_one_seed_draws_one_picture(pipeline):
    prompt = "a blue star"
    first, again, other = (draw(pipeline, prompt, steps=4, seed=seed) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_the_checkpoint_is_laid_out_as_upstreams(pipeline):
    config = json.loads((EMBEDDED_CHECKPOINT / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["Qwen3VLForConditionalGeneration"]
    index = json.loads((EMBEDDED_CHECKPOINT / "model.safetensors.index.json").read_text(encoding="utf-8"))
    shards = {EMBEDDED_CHECKPOINT / name for name in index["weight_map"].values()}
    assert shards == set(Path(EMBEDDED_CHECKPOINT).glob("*.safetensors"))
    assert index["metadata"]["total_size"] <= 20_000_000 * 2, "at most 20 M parameters in bf16"
