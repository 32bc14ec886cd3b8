"""The embedded model draws what it is asked for: a small fixed set of prompts and seeds, each picture judged."""

from __future__ import annotations

import pytest

from hidream_studio.engine.pipeline import Pipeline
from hidream_studio.job.job import pin
from hidream_studio.job.request import GenerationRequest
from hidream_studio.settings import EMBEDDED_CHECKPOINT
from o1_tiny.adherence import Pixels, check
from o1_tiny.world.captions import Asked, AskedSign, AskedThing
from o1_tiny.world.prompts import CLASSES, held_out
from o1_tiny.world.scenes import Background, Size, Texture

RED_TO_PURPLE = Background("gradient", "red", "purple")


def thing(color: str, shape: str, *, size: Size | None = None, texture: Texture = "plain") -> AskedThing:
    return AskedThing(shape, color, texture, size, None)


EXAMPLES = (
    Asked('a red heart above a white sign that says "OK"', (thing("red", "heart"),),
          AskedSign("OK", "white", None, None), "above", None),
    Asked("a big dotted purple square", (thing("purple", "square", size="large", texture="dotted"),), None, None, None),
    Asked("a small green star left of an orange square",
          (thing("green", "star", size="small"), thing("orange", "square")), None, "left of", None),
    Asked("a cyan diamond to the right of a white heart on a red to purple gradient",
          (thing("cyan", "diamond"), thing("white", "heart")), None, "right of", RED_TO_PURPLE),
    Asked("an orange circle, a cyan star and a green diamond from left to right",
          (thing("orange", "circle"), thing("cyan", "star"), thing("green", "diamond")), None, "left of", None),
)  # fmt: skip


def draw(pipeline: Pipeline, prompt: str, *, steps: int) -> Pixels:
    request = GenerationRequest(
        prompt=prompt, seed=3, width=256, height=256, snap_resolution=False, preset="quick", steps=steps
    )
    rendering = pipeline.render(pin(request, pipeline.profile).job)
    while True:
        try:
            next(rendering)
        except StopIteration as done:
            pixels: Pixels = done.value.pixels
            return pixels


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return Pipeline.load(str(EMBEDDED_CHECKPOINT), device="cpu")


def test_of_the_fixed_prompts_no_more_than_one_is_drawn_wrong_at_the_quick_preset(pipeline):
    asked = [one for which in CLASSES for one in held_out(which, 4, seed=11)]
    verdicts = [(one.prompt, check(draw(pipeline, one.prompt, steps=24), one).wrong) for one in asked]
    wrong = [verdict for verdict in verdicts if verdict[1]]
    assert len(verdicts) == 28 and len(wrong) <= 1, wrong  # it errs about once in forty at this size


def test_each_example_of_the_profile_is_of_this_world_and_is_drawn_as_it_says(pipeline):
    assert set(pipeline.profile.examples) == {asked.prompt for asked in EXAMPLES}
    wrong = {asked.prompt: check(draw(pipeline, asked.prompt, steps=24), asked).wrong for asked in EXAMPLES}
    assert not any(wrong.values()), wrong
