"""The embedded model draws what it is asked for: a small fixed set of prompts and seeds, each picture judged."""

from __future__ import annotations

from hidream_studio.engine.pipeline import Pipeline
from hidream_studio.job.job import pin
from hidream_studio.job.request import GenerationRequest
from hidream_studio.settings import EMBEDDED_CHECKPOINT
from o1_tiny.adherence import Pixels, check
from o1_tiny.world.prompts import CLASSES, held_out


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


def test_of_the_fixed_prompts_no_more_than_one_is_drawn_wrong_at_the_quick_preset():
    pipeline = Pipeline.load(str(EMBEDDED_CHECKPOINT), device="cpu")
    asked = [one for which in CLASSES for one in held_out(which, 4, seed=11)]
    verdicts = [(one.prompt, check(draw(pipeline, one.prompt, steps=24), one).wrong) for one in asked]
    wrong = [verdict for verdict in verdicts if verdict[1]]
    assert len(verdicts) == 28 and len(wrong) <= 1, wrong  # it errs about once in forty at this size
