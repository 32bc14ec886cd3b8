"""Which settings an evaluation measures, whatever the model's default is."""

from __future__ import annotations

import pytest

from hidream_studio.job.profiles import RecipeDefaults
from o1_tiny.training.evaluate import PROFILE, RECIPE, Setting, main_settings, table_settings


def recipe(guidance: float, noise_scale: float) -> RecipeDefaults:
    return RecipeDefaults(steps=50, guidance_scale=guidance, sampler="euler", shift=3.0, noise_scale=noise_scale)


@pytest.mark.parametrize("default", [RECIPE, recipe(3.0, 7.0), recipe(2.5, 8.0)])
def test_the_default_comes_first_and_nothing_twice(default: RecipeDefaults):
    settings = main_settings(default)
    usual = default.guidance_scale, default.sampler, default.noise_scale
    assert settings[:2] == [Setting(512, 50, *usual), Setting(256, 24, *usual)]
    assert len(set(settings)) == len(settings)
    assert {Setting(512, 50, guidance, "euler", default.noise_scale) for guidance in (2.0, 3.0)} <= set(settings)


def test_every_preset_is_measured():
    presets = [(preset.width, preset.steps, preset.guidance_scale) for preset in PROFILE.presets]
    assert set(presets) <= {(setting.side, setting.steps, setting.guidance) for setting in main_settings()[:8]}


def test_the_table_is_whole_and_nothing_twice():
    settings = table_settings()
    assert len(set(settings)) == len(settings) == 180
    assert settings[0].guidance == RECIPE.guidance_scale
