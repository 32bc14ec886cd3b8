"""One optimizer step at a time: what the gradient says, and nothing from before."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from o1_tiny.training.optim import Average, Optimizer, orthogonal


@pytest.mark.parametrize("shape", [(2, 24, 60), (3, 16, 40), (1, 40, 16)])
def test_an_orthogonal_update_has_singular_values_of_about_one(shape):
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonal(torch.randn(shape)).float())
    assert values.min() > 0.4 and values.max() < 1.4


def test_gradients_lie_in_one_tensor_are_used_and_cleared():
    torch.manual_seed(0)
    fused, plain, bias = nn.Parameter(torch.randn(12, 8)), nn.Parameter(torch.randn(5, 3)), nn.Parameter(torch.randn(7))
    optimizer = Optimizer([(fused, (8, 4))], [plain], [bias])
    targets = [torch.randn_like(parameter) for parameter in (fused, plain, bias)]

    def distance() -> torch.Tensor:
        pairs = zip((fused, plain, bias), targets, strict=True)
        return torch.stack([(parameter - target).square().sum() for parameter, target in pairs]).sum()

    before = float(distance().detach())
    for step in range(1, 301):
        distance().backward()
        optimizer.set_step(step, 0.02, 0.02, 0.02)
        optimizer.step()
        assert not optimizer.gradient.any()
    assert float(distance().detach()) < 0.05 * before


def test_forgetting_leaves_nothing_of_the_steps_before():
    def stepped(*, warmed_up: bool) -> torch.Tensor:
        torch.manual_seed(1)
        weight = nn.Parameter(torch.randn(6, 6))
        optimizer = Optimizer([(weight, (6,))], [nn.Parameter(torch.zeros(2))], [nn.Parameter(torch.zeros(2))])
        if warmed_up:
            weight.square().sum().backward()
            optimizer.set_step(1, 0.0, 0.0, 0.0)
            optimizer.step()
            optimizer.forget()
        (weight * torch.arange(6.0)).sum().backward()
        optimizer.set_step(1, 0.02, 0.0, 0.0)
        optimizer.step()
        return weight.detach()

    assert torch.equal(stepped(warmed_up=False), stepped(warmed_up=True))


def test_an_average_follows_slowly():
    weight = nn.Parameter(torch.zeros(3))
    average = Average([weight])
    weight.data.fill_(1.0)
    average.update(0.9)
    assert torch.allclose(average.weights[0], torch.full((3,), 0.1))
    average.restart()
    assert torch.equal(average.weights[0], weight.data)
