"""The solvers move z as diffusers' and upstream's do, without asking the device anything."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler
from torch import Tensor

from hidream_studio.sampler.schedules import full_schedule
from hidream_studio.sampler.solvers import euler, flash, unipc

SHAPE = (1, 40, 30)


def curved_x0(z: Tensor, sigma: float) -> Tensor:
    """Stands in for a model: not linear in z or sigma, so that an error of the solver's order would show."""
    return torch.tanh(z * 0.7 + math.sin(9 * sigma)) - 0.2 * z.roll(1, dims=-1)


def noise() -> Tensor:
    return 8 * torch.randn(SHAPE, generator=torch.Generator().manual_seed(5))


def run_diffusers(scheduler: UniPCMultistepScheduler | FlowMatchEulerDiscreteScheduler) -> Tensor:
    z = noise()
    for index, timestep in enumerate(scheduler.timesteps):
        sigma = float(scheduler.sigmas[index])
        z = scheduler.step((z - curved_x0(z, sigma)) / sigma, timestep, z, return_dict=False)[0]
    return z


def run_ours(make_solver, sigmas: tuple[float, ...]) -> Tensor:
    z, solver = noise(), make_solver(sigmas)
    for index in range(len(sigmas) - 1):
        z = solver(index, z, curved_x0(z, sigmas[index]))
    return z


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 20, 28, 50, 200])
def test_unipc_is_diffusers_unipc(steps: int) -> None:
    sigmas = full_schedule(steps, 3.0).sigmas
    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=1.0)
    scheduler.set_timesteps(steps, sigmas=np.array(sigmas[:-1]))
    scheduler.set_begin_index(0)
    expected = run_diffusers(scheduler)
    assert float((run_ours(unipc, sigmas) - expected).norm() / expected.norm()) < 3e-6


@pytest.mark.parametrize("steps", [1, 8, 50])
def test_euler_is_diffusers_flow_matching_euler(steps: int) -> None:
    sigmas = full_schedule(steps, 3.0).sigmas
    scheduler = FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(sigmas=list(sigmas[:-1]))
    scheduler.set_begin_index(0)
    expected = run_diffusers(scheduler)
    assert float((run_ours(euler, sigmas) - expected).norm() / expected.norm()) < 1e-6


def test_the_last_step_of_every_solver_ends_at_x0_exactly() -> None:
    sigmas = (0.9, 0.4, 0.0)
    for solver in (unipc(sigmas), euler(sigmas), flash(sigmas, 7.5, lambda: torch.ones(SHAPE))):
        z = solver(0, noise(), torch.zeros(SHAPE))
        x0 = torch.randn(SHAPE)
        assert torch.equal(solver(1, z, x0), x0)


def test_flash_goes_back_with_fresh_noise_of_its_scale() -> None:
    drawn = torch.full(SHAPE, 2.0)
    x0 = torch.full(SHAPE, 0.5)
    z = flash((0.999, 0.6, 0.0), 7.5, lambda: drawn)(0, noise(), x0)
    assert torch.allclose(z, 0.4 * x0 + 0.6 * 7.5 * drawn)
