"""The loop is a generator that does one step at a time, and guides only where it is told to."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hidream_studio.sampler.denoise import denoise, make_solver
from hidream_studio.sampler.schedules import full_schedule, make_schedule

SHAPE = (1, 4, 3072)


class Recorder:
    """Predicts a fixed picture and remembers what it was asked."""

    def __init__(self, *pictures: Tensor) -> None:
        self.pictures = pictures
        self.seen_t: list[float] = []

    def __call__(self, z: Tensor, t: Tensor) -> tuple[Tensor, ...]:
        assert z.dtype == torch.float32
        self.seen_t.append(float(t))
        return self.pictures


def start() -> Tensor:
    return 8 * torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))


def test_each_next_takes_one_step_and_one_look_at_the_model() -> None:
    schedule = full_schedule(6, 3.0)
    predict = Recorder(torch.zeros(SHAPE))
    states = denoise(predict, start(), schedule, make_solver("unipc", schedule, noise_scale=8.0, seed=1, like=start()))
    assert predict.seen_t == []
    first = next(states)
    assert (first.index, first.total, len(predict.seen_t)) == (0, 6, 1)
    assert [state.index for state in states] == [1, 2, 3, 4, 5]
    assert predict.seen_t == pytest.approx([1 - timestep / 1000 for timestep in schedule.timesteps], abs=1e-7)


def test_the_last_z_is_the_prediction_when_the_model_is_sure() -> None:
    picture = torch.rand(SHAPE) * 2 - 1
    for sampler, recipe in (("unipc", "full"), ("euler", "full"), ("flash", "dev")):
        schedule = make_schedule(recipe, 8, 3.0)
        solver = make_solver(sampler, schedule, noise_scale=8.0, seed=1, like=start())
        *_, last = denoise(Recorder(picture), start(), schedule, solver)
        assert last.sigma == 0
        # upstream divides by the truncated timestep's sigma, so the last step falls a little short of x0, as there
        assert (last.z - picture).abs().max() < 0.5


def test_guidance_moves_away_from_the_unconditional_branch() -> None:
    schedule = make_schedule("dev", 28, 1.0)  # whole timesteps: nothing is truncated
    yes, no = torch.full(SHAPE, 0.3), torch.full(SHAPE, 0.1)
    solver = make_solver("euler", schedule, noise_scale=8.0, seed=1, like=start())
    *_, last = denoise(Recorder(yes, no), start(), schedule, solver, guidance_scale=5.0)
    assert torch.allclose(last.z, torch.full(SHAPE, 0.1 + 5 * 0.2), atol=1e-5)
    assert torch.equal(last.x0, yes)  # a preview shows the conditional prediction


def test_two_pictures_drawn_in_turns_are_what_each_is_alone() -> None:
    def run(seed: int):
        z = torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))
        schedule = make_schedule("dev", 28, 1.0)
        solver = make_solver("flash", schedule, noise_scale=7.5, seed=seed, like=z)
        return denoise(lambda z, t: (torch.tanh(z),), z, schedule, solver)

    alone = [list(run(seed))[-1].z for seed in (1, 2)]
    one, two = run(1), run(2)
    for _ in range(28):
        in_turns = next(one).z, next(two).z
    assert torch.equal(in_turns[0], alone[0])
    assert torch.equal(in_turns[1], alone[1])


def test_the_generator_leaves_gradients_as_they_are_between_steps() -> None:
    schedule = full_schedule(3, 3.0)
    solver = make_solver("euler", schedule, noise_scale=8.0, seed=1, like=start())
    next(denoise(Recorder(torch.zeros(SHAPE)), start(), schedule, solver))
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
