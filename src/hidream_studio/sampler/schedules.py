"""Which noise levels a picture passes through. Arithmetic alone: no torch, so that an estimate may count steps too.

Sigma is the share of noise, 1 to 0: `z = (1 - sigma) x + sigma * scale * noise`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hidream_studio.job.profiles import Recipe

TRAIN_TIMESTEPS = 1000
LARGEST_SIGMA = 0.999  # upstream models/fm_solvers_unipc.py: 1 - 1/1000, before the shift
SMALLEST_MODEL_SIGMA = 0.001  # upstream models/pipeline.py T_EPS

# upstream models/pipeline.py DEFAULT_TIMESTEPS
DEV_TIMESTEPS = (
    999, 987, 974, 960, 945, 929, 913, 895, 877, 857, 836, 814, 790, 764, 737,
    707, 675, 640, 602, 560, 515, 464, 409, 347, 278, 199, 110, 8,
)  # fmt: skip


@dataclass(frozen=True)
class Schedule:
    """Steps from noise to picture: step i takes z from `sigmas[i]` to `sigmas[i + 1]`, with one look at the model.

    Upstream truncates to whole timesteps what the model is told, but not what the solver uses; so both are here.
    """

    timesteps: tuple[int, ...]  # what the model is told, 999 to 0
    sigmas: tuple[float, ...]  # what the solver uses, float32 values; one more than timesteps, the last is 0

    @property
    def steps(self) -> int:
        return len(self.timesteps)

    @property
    def start_sigma(self) -> float:
        """The noise level that z must have before the first step."""
        return self.sigmas[0]

    def model_sigma(self, index: int) -> float:
        """Sigma as upstream divides by it: of the truncated timestep, never 0."""
        return max(self.timesteps[index] / TRAIN_TIMESTEPS, SMALLEST_MODEL_SIGMA)

    def below(self, sigma: float) -> Schedule:
        """The tail of this schedule that starts at `sigma`: one step from there to the grid, then the grid.

        A value of the grid that lies closer to `sigma` than half of the step after it is left out: a solver of order 2
        extrapolates over its last step, and one of nearly no length multiplies rounding errors (docs/linked-noise.md).
        At 0 no step is left; from this schedule's own start on, it is the whole schedule.
        """
        if sigma >= self.start_sigma:
            return self
        start = float(np.float32(sigma))
        if start <= 0:
            return Schedule((), (0.0,))
        kept = [i for i in range(self.steps) if self.sigmas[i] < start]
        if kept and start - self.sigmas[kept[0]] < (self.sigmas[kept[0]] - self.sigmas[kept[0] + 1]) / 2:
            kept = kept[1:]
        timesteps = (int(start * TRAIN_TIMESTEPS), *(self.timesteps[i] for i in kept))
        return Schedule(timesteps, (start, *(self.sigmas[i] for i in kept), 0.0))


def make_schedule(recipe: Recipe, steps: int, shift: float, *, start_sigma: float = 1.0) -> Schedule:
    """The schedule of a recipe; with `start_sigma` below 1 its tail alone (SDEdit, Meng et al., ICLR 2022).

    The dev recipe has its own fixed 28 steps; `steps` and `shift` say nothing there.
    """
    return (dev_schedule() if recipe == "dev" else full_schedule(steps, shift)).below(start_sigma)


def full_schedule(steps: int, shift: float) -> Schedule:
    """The grid of upstream's FlowUniPCMultistepScheduler, which shifts twice (models/fm_solvers_unipc.py).

    Once when it is made, in float32: `s0 = shift * 0.999 / (1 + (shift - 1) * 0.999)`; then again, each of the values
    evenly spaced from s0 to 0. In float64 some truncated timesteps would differ.
    """
    largest = np.float32(LARGEST_SIGMA)
    first = float(np.float32(shift) * largest / (1 + np.float32(shift - 1) * largest))
    spaced = np.linspace(first, 0, steps + 1)[:-1]
    sigmas = shift * spaced / (1 + (shift - 1) * spaced)
    timesteps = (sigmas * TRAIN_TIMESTEPS).astype(np.int64)
    return Schedule(tuple(timesteps.tolist()), (*sigmas.astype(np.float32).tolist(), 0.0))


def dev_schedule() -> Schedule:
    """The distilled model's fixed timesteps."""
    return Schedule(DEV_TIMESTEPS, (*(timestep / TRAIN_TIMESTEPS for timestep in DEV_TIMESTEPS), 0.0))
