"""The noise levels are upstream's, to the last truncated timestep."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from diffusers import UniPCMultistepScheduler

from hidream_studio.sampler.schedules import DEV_TIMESTEPS, full_schedule, make_schedule


def diffusers_unipc(steps: int, shift: float) -> UniPCMultistepScheduler:
    """diffusers' solver on upstream's grid."""
    largest = torch.tensor(0.999)
    first = (shift * largest / (1 + (shift - 1) * largest)).item()
    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift)
    scheduler.set_timesteps(steps, sigmas=np.linspace(first, 0, steps + 1)[:-1])
    scheduler.set_begin_index(0)
    return scheduler


@pytest.mark.parametrize("shift", [1.0, 1.5, 2.25, 3.0, 7.3])
@pytest.mark.parametrize("steps", [1, 2, 7, 20, 24, 28, 36, 50, 200])
def test_the_full_grid_is_diffusers_grid_bit_for_bit(steps: int, shift: float) -> None:
    schedule, scheduler = full_schedule(steps, shift), diffusers_unipc(steps, shift)
    assert list(schedule.timesteps) == scheduler.timesteps.tolist()
    assert list(schedule.sigmas) == scheduler.sigmas.tolist()


@pytest.mark.parametrize("shift", [1e-3, 0.1, 100.0])
@pytest.mark.parametrize("steps", [1, 200])
def test_every_shift_that_may_be_asked_for_gives_falling_sigmas_between_one_and_zero(steps: int, shift: float) -> None:
    sigmas = full_schedule(steps, shift).sigmas
    assert all(0 < sigma < 1 for sigma in sigmas[:-1])
    assert all(later < earlier for earlier, later in pairwise(sigmas))
    assert sigmas[-1] == 0


def test_the_dev_recipe_has_its_own_28_timesteps_whatever_was_asked() -> None:
    schedule = make_schedule("dev", 3, 9.0)
    assert schedule.timesteps == DEV_TIMESTEPS
    assert schedule.steps == 28
    assert schedule.sigmas[0] == 0.999
    assert schedule.sigmas[-2:] == (0.008, 0.0)


def test_a_tail_starts_at_the_strength_and_then_follows_the_grid() -> None:
    whole = full_schedule(20, 3.0)
    tail = make_schedule("full", 20, 3.0, start_sigma=0.484375)
    assert tail.start_sigma == 0.484375
    assert tail.timesteps[0] == 484
    assert tail.sigmas[1:] == tuple(sigma for sigma in whole.sigmas if sigma < 0.484375)


def test_a_tail_has_no_first_step_of_nearly_no_length() -> None:
    whole = full_schedule(20, 3.0)
    close = next(sigma for sigma in whole.sigmas if sigma < 0.5)
    tail = make_schedule("full", 20, 3.0, start_sigma=0.5)
    assert 0.5 - close < 0.001
    assert tail.sigmas == (0.5, *(sigma for sigma in whole.sigmas if sigma < close))


def test_the_ends_of_the_strength_are_nothing_and_everything() -> None:
    assert make_schedule("full", 20, 3.0, start_sigma=0.0).steps == 0
    assert make_schedule("full", 20, 3.0, start_sigma=5e-324).steps == 0  # 0 in float32
    assert make_schedule("full", 20, 3.0, start_sigma=1.0) == full_schedule(20, 3.0)
    assert make_schedule("full", 20, 3.0, start_sigma=1e-6).steps == 1


def test_counting_steps_takes_no_torch() -> None:
    code = "import sys, hidream_studio.sampler.schedules; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
