"""Muon for the blocks' matrices, Adam for the rest, and an average of the weights. Knows no model, no loss.

Everything happens in place on the device, with learning rates in tensors, so that one step can be a CUDA graph.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
ADAM_BETAS = (0.9, 0.98)
ADAM_EPS = 1e-8
# Keller Jordan, "Muon: an optimizer for hidden layers", 2024: a quintic whose slope at 0 is steep
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5
ALIGNMENT = 64  # numbers; where a parameter's gradient may start

_AdamGroup = tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]]  # weights, gradients, two moments


def orthogonal(matrices: Tensor) -> Tensor:
    """The nearest matrices with singular values of about 1, (B, m, n), by Newton-Schulz in bf16."""
    a, b, c = NEWTON_SCHULZ
    x = matrices.bfloat16()
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT
    x = x / (x.float().norm(dim=(1, 2), keepdim=True) + 1e-7).to(x.dtype)
    for _ in range(NEWTON_SCHULZ_STEPS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x


@dataclass(frozen=True)
class _Matrices:
    """Equally shaped matrices, or ranges of rows of fused ones, that are stepped together."""

    weights: list[Tensor]
    gradients: list[Tensor]
    momentum: Tensor  # (count, m, n)


class Optimizer:
    """`step` takes the gradients where they lie, moves the weights and clears the gradients."""

    def __init__(
        self,
        matrices: Iterable[tuple[nn.Parameter, tuple[int, ...]]],  # each with the row counts of what is fused in it
        slow: Iterable[nn.Parameter],
        fast: Iterable[nn.Parameter],
    ) -> None:
        matrices, slow, fast = list(matrices), list(slow), list(fast)
        self.gradient = _one_gradient([*(parameter for parameter, _ in matrices), *slow, *fast])
        groups: dict[tuple[int, ...], tuple[list[Tensor], list[Tensor]]] = {}
        for parameter, rows in matrices:
            assert parameter.grad is not None
            for weight, part in zip(parameter.data.split(rows), parameter.grad.split(rows), strict=True):
                weights, gradients = groups.setdefault(tuple(weight.shape), ([], []))
                weights.append(weight)
                gradients.append(part)
        self._muon = [_Matrices(w, g, torch.zeros_like(torch.stack(w))) for w, g in groups.values()]
        self._adam = [_adam_group(slow), _adam_group(fast)]
        device = self.gradient.device
        # set from the host before each step
        self.rates = torch.zeros(3, device=device)  # Muon's, the slow Adam's, the fast Adam's
        self.corrections = torch.ones(2, device=device)  # Adam's 1 - beta**step

    def set_step(self, step: int, muon: float, slow: float, fast: float) -> None:
        """Learning rates of step number `step`, counted from 1."""
        pair = torch.tensor([1 - beta**step for beta in ADAM_BETAS])
        self.rates.copy_(torch.tensor([muon, slow, fast]), non_blocking=True)
        self.corrections.copy_(pair, non_blocking=True)

    @torch.no_grad()
    def step(self) -> None:
        for group in self._muon:
            gradient = torch.stack(group.gradients)
            group.momentum.lerp_(gradient, 1 - MOMENTUM)
            update = orthogonal(gradient.lerp(group.momentum, MOMENTUM)).float()
            update = update * (self.rates[0] * max(1.0, update.shape[1] / update.shape[2]) ** 0.5)
            torch._foreach_sub_(group.weights, list(update.unbind(0)))
        for rate, (weights, gradients, first, second) in zip(self.rates[1:], self._adam, strict=True):
            torch._foreach_lerp_(first, gradients, 1 - ADAM_BETAS[0])
            torch._foreach_mul_(second, ADAM_BETAS[1])
            torch._foreach_addcmul_(second, gradients, gradients, 1 - ADAM_BETAS[1])
            scale = torch._foreach_div(second, self.corrections[1])
            torch._foreach_sqrt_(scale)
            torch._foreach_add_(scale, ADAM_EPS)
            update_list = torch._foreach_div(first, scale)
            torch._foreach_mul_(update_list, rate / self.corrections[0])
            torch._foreach_sub_(weights, update_list)
        self.gradient.zero_()

    def tensors(self) -> list[Tensor]:
        """What it remembers from step to step, always in the same order."""
        states = [group.momentum for group in self._muon]
        return states + [tensor for _, _, first, second in self._adam for tensor in (*first, *second)]

    @torch.no_grad()
    def forget(self) -> None:
        """Back to the state before the first step: what warming up left behind is no history."""
        torch._foreach_zero_([*self.tensors(), self.gradient])


def _one_gradient(parameters: list[nn.Parameter]) -> Tensor:
    """Zero gradients of all parameters as parts of one flat tensor, which can be summed over GPUs in one go."""
    starts = [0]
    for parameter in parameters:
        starts.append(starts[-1] + -(-parameter.numel() // ALIGNMENT) * ALIGNMENT)
    flat = torch.zeros(starts[-1], device=parameters[0].device)
    for parameter, start in zip(parameters, starts, strict=False):
        parameter.grad = flat[start : start + parameter.numel()].view_as(parameter)
    return flat


def _adam_group(parameters: list[nn.Parameter]) -> _AdamGroup:
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return ([parameter.data for parameter in parameters], gradients,
            [torch.zeros_like(g) for g in gradients], [torch.zeros_like(g) for g in gradients])  # fmt: skip


class Average:
    """An exponential average of weights; the first update takes them as they are."""

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self._live = [parameter.data for parameter in parameters]
        self.weights = [weight.clone() for weight in self._live]

    @torch.no_grad()
    def update(self, keep: float) -> None:
        torch._foreach_mul_(self.weights, keep)
        torch._foreach_add_(self.weights, self._live, alpha=1 - keep)

    @torch.no_grad()
    def restart(self) -> None:
        torch._foreach_copy_(self.weights, self._live)
