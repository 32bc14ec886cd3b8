"""The denoising loop, a generator over a callable. Knows nothing of the model behind it, of prompts or of sizes.

Nothing in the loop waits for the device: timesteps are put there before the first step, all other numbers stay on the
host. Whoever looks at a step's tensors waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hidream_studio.job.profiles import Sampler
from hidream_studio.sampler.noise import flash_noise
from hidream_studio.sampler.schedules import Schedule
from hidream_studio.sampler.solvers import Solver, euler, flash, unipc

# z (B, N, D) float32, t (1,) = 1 - sigma → x0 of the prompt and, where guidance is wanted, of the unconditional branch
Predict = Callable[[Tensor, Tensor], Sequence[Tensor]]


@dataclass(frozen=True)
class StepState:
    """After one step."""

    index: int  # 0 is the first
    total: int
    sigma: float  # that z has now
    x0: Tensor  # (B, N, D), the conditional prediction of this step: what a preview shows
    z: Tensor  # (B, N, D) float32; after the last step the picture


def make_solver(sampler: Sampler, schedule: Schedule, *, noise_scale: float, seed: int, like: Tensor) -> Solver:
    """The solver of a job for this schedule; `like` is z, of whose shape and device flash's fresh noise is."""
    if sampler == "unipc":
        return unipc(schedule.sigmas)
    if sampler in ("euler", "flow_match"):  # upstream's name for it, over the dev recipe's timesteps
        return euler(schedule.sigmas)
    return flash(schedule.sigmas, noise_scale, flash_noise(seed, like.shape, like.device))


@torch.inference_mode()
def denoise(
    predict: Predict,
    z: Tensor,  # (B, N, D) float32, with noise of `schedule.start_sigma`
    schedule: Schedule,
    solver: Solver,
    guidance_scale: float = 1.0,
) -> Iterator[StepState]:
    """Run the schedule, one step at each `next`.

    The model predicts x0; upstream turns it into a velocity `v = (x0 - z) / sigma'` with the truncated timestep's
    sigma', guides `v_u + g (v_c - v_u)`, and its solver reads `x0 = z + sigma v` back. That is one interpolation from z
    to the guided x0, by `sigma / sigma'` (upstream models/pipeline.py generate_image).

    `predict` is called once a step. Where `guidance_scale` is above 1 it must answer with both branches.
    """
    t_values = [1.0 - torch.tensor(timestep, dtype=torch.float32) / 1000.0 for timestep in schedule.timesteps]
    t = torch.stack(t_values).to(z.device) if t_values else z.new_empty(0)
    for index in range(schedule.steps):
        branches = predict(z, t[index : index + 1])
        conditional = branches[0].float()
        x0 = conditional
        if guidance_scale > 1.0:
            x0 = torch.lerp(branches[1].float(), conditional, guidance_scale)
        x0 = torch.lerp(z, x0, schedule.sigmas[index] / schedule.model_sigma(index))
        z = solver(index, z, x0)
        yield StepState(index, schedule.steps, schedule.sigmas[index + 1], conditional, z)
