"""Pinning: presets, recipes, defaults, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from hidream_studio.errors import RequestError
from hidream_studio.job.job import Job, pin
from hidream_studio.job.profiles import HIDREAM_O1_IMAGE, HIDREAM_O1_IMAGE_DEV, profile_by_id
from hidream_studio.job.request import MAX_SEED, GenerationRequest


def pinned(profile: Any = HIDREAM_O1_IMAGE, **fields: Any) -> Job:
    return pin(GenerationRequest(prompt="a red heart", **fields), profile).job


def test_a_prompt_alone_is_upstreams_official_recipe() -> None:
    job = pinned(seed=42)
    assert (job.width, job.height, job.steps, job.guidance_scale) == (2048, 2048, 50, 5.0)
    assert (job.recipe, job.sampler, job.shift, job.noise_scale, job.noise) == ("full", "unipc", 3.0, 8.0, "upstream")


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("quick", (1024, 24, 1.0, False)),
        ("standard", (1536, 28, 5.0, False)),
        ("high", (2048, 36, 5.0, False)),
        ("official", (2048, 50, 5.0, True)),
    ],
)
def test_a_preset_fills_in_size_steps_and_guidance(preset: str, expected: tuple[int, int, float, bool]) -> None:
    job = pinned(preset=preset)
    assert (job.width, job.steps, job.guidance_scale, job.snap_resolution) == expected


def test_each_value_of_a_preset_stays_free_to_change() -> None:
    job = pinned(preset="quick", steps=8, width=1280, height=704)
    assert (job.width, job.height, job.steps, job.guidance_scale) == (1280, 704, 8, 1.0)


def test_the_dev_recipe_is_fixed_and_says_what_it_did_not_take() -> None:
    result = pin(GenerationRequest(prompt="x", recipe="dev", steps=10, guidance_scale=5.0), HIDREAM_O1_IMAGE)
    job = result.job
    assert (job.steps, job.guidance_scale, job.sampler, job.shift, job.noise_scale) == (28, 0.0, "flash", 1.0, 7.5)
    assert {(a.field, a.asked, a.used) for a in result.adjustments} >= {("steps", 10, 28), ("guidance_scale", 5.0, 0.0)}


def test_the_dev_recipe_says_which_values_of_a_preset_it_did_not_take() -> None:
    result = pin(GenerationRequest(prompt="x", recipe="dev", preset="high", guidance_scale=0.0), HIDREAM_O1_IMAGE)
    assert (result.job.width, result.job.steps, result.job.preset) == (2048, 28, "high")
    (told,) = [a for a in result.adjustments if a.field in ("steps", "guidance_scale", "sampler")]
    assert (told.field, told.asked, told.used) == ("steps", 36, 28)
    assert told.why == "fixed in the dev recipe, whatever the preset high has"


def test_a_preset_of_the_dev_profile_has_nothing_that_the_dev_recipe_would_change() -> None:
    result = pin(GenerationRequest(prompt="x", preset="high"), HIDREAM_O1_IMAGE_DEV)
    assert result.adjustments == ()


def test_the_dev_profile_draws_with_the_dev_recipe() -> None:
    assert pinned(HIDREAM_O1_IMAGE_DEV).recipe == "dev"


def test_a_recipe_that_the_profile_lacks_is_refused_by_name() -> None:
    with pytest.raises(RequestError, match="dev") as caught:
        pinned(profile_by_id("o1-tiny"), recipe="dev")
    assert caught.value.field == "recipe"


def test_width_without_height_is_refused() -> None:
    with pytest.raises(RequestError, match="height is missing"):
        pinned(width=512)


def test_an_absent_seed_is_drawn_and_pinned() -> None:
    seeds = {pinned().seed for _ in range(8)}
    assert len(seeds) > 1 and all(0 <= seed <= MAX_SEED for seed in seeds)


def test_an_empty_negative_prompt_is_none() -> None:
    assert pinned(negative_prompt="").negative_prompt is None


@pytest.mark.parametrize(
    "bad",
    [
        {"prompt": ""}, {"prompt": "   \n"}, {"prompt": "x" * 10_001}, {"prompt": "a\x00b"}, {"prompt": "\ud800"},
        {"steps": 0}, {"steps": 201}, {"steps": 2.5}, {"steps": True}, {"steps": "20"},
        {"guidance_scale": -1}, {"guidance_scale": 31}, {"guidance_scale": float("nan")},
        {"guidance_scale": float("inf")},
        {"seed": -1}, {"seed": MAX_SEED + 1}, {"seed": 1.5}, {"width": 0, "height": 512}, {"shift": 0.0},
        {"noise_scale": float("nan")}, {"noise": "pink"}, {"sampler": "ddim"}, {"preset": "best"}, {"colour": "red"},
    ],
)  # fmt: skip
def test_bad_values_name_their_field(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        GenerationRequest(**({"prompt": "x"} | bad))
    assert caught.value.errors()[0]["loc"][0] in bad


def test_a_whole_number_is_a_guidance() -> None:
    assert pinned(guidance_scale=5).guidance_scale == 5.0


def test_a_job_survives_json() -> None:
    job = replace(pinned(seed=MAX_SEED), parent_id="abc", finish_mode="re-render")
    assert Job.from_dict(json.loads(json.dumps(job.to_dict()))) == job


def test_lanes_split_at_half_the_native_area() -> None:
    def lane(side: int) -> str:
        request = GenerationRequest(prompt="x", width=side, height=side, snap_resolution=False)
        return pin(request, HIDREAM_O1_IMAGE).lane

    assert (lane(1024), lane(1440), lane(1536)) == ("draft", "draft", "final")
