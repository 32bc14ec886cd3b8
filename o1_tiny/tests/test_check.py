"""The benchmark's suite of the embedded model, its demands, and the judge that reads them."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from hidream_studio.bench.checks import find_judges
from hidream_studio.bench.suites import SUITES, Prompt
from o1_tiny.check import asked_of, judge
from o1_tiny.world.captions import Asked, caption
from o1_tiny.world.scenes import Kind, draw_scene

KINDS: dict[str, Kind] = {
    "one object": "one", "two objects": "two", "several objects": "three", "text on signs": "sign",
    "sign and object": "sign and thing", "fine patterns": "one",
}  # fmt: skip
TINY = SUITES["o1-tiny"]()


def drawn(kind: Kind, seed: int) -> Asked:
    random = Random(seed)
    return caption(draw_scene(random, kind), random)


@pytest.mark.parametrize("prompt", TINY, ids=lambda prompt: prompt.text)
def test_each_prompt_carries_what_this_world_says_with_it(prompt: Prompt) -> None:
    assert prompt.check is not None and prompt.check.judge == "o1-tiny"
    kinds = list(KINDS)
    begin = 1000 * kinds.index(prompt.prompt_class)
    seeds = range(begin, begin + 1000 if prompt.prompt_class == "fine patterns" else begin + 4)
    found = next(asked for seed in seeds if (asked := drawn(KINDS[prompt.prompt_class], seed)).prompt == prompt.text)
    assert replace(asked_of(prompt.check.demands), prompt=prompt.text) == found


def test_the_judge_is_found_by_its_name_and_sees_that_a_blank_shows_nothing() -> None:
    judges = find_judges(TINY)
    assert judges.notes == () and judges.by_name["o1-tiny"] is judge, "pip install -e o1_tiny, as make does"
    blank = np.zeros((256, 256, 3), dtype=np.uint8)
    assert all(judges.wrong(prompt, blank) for prompt in TINY)
