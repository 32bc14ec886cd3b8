"""How z moves from one noise level to the next, given what the picture is taken to be. Knows nothing of the model.

A solver is a callable `(index, z, x0) -> z` with the history of one picture. All weights are floats computed on the
host from the schedule alone: nothing here waits for a device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import Tensor

Solver = Callable[[int, Tensor, Tensor], Tensor]  # step index, z at sigmas[index], its x0 → z at sigmas[index + 1]


def euler(sigmas: Sequence[float]) -> Solver:
    """First order: a straight line from z through x0, as far as the next sigma."""

    def step(index: int, z: Tensor, x0: Tensor) -> Tensor:
        return z.lerp(x0, 1 - sigmas[index + 1] / sigmas[index])

    return step


def flash(
    sigmas: Sequence[float],
    noise_scale: float,
    draw_noise: Callable[[], Tensor],  # fresh N(0, 1) like z, clipped, on z's device
) -> Solver:
    """The distilled model's step: to x0, and back to the next sigma with fresh noise (upstream flash_scheduler.py)."""

    def step(index: int, z: Tensor, x0: Tensor) -> Tensor:
        sigma_next = sigmas[index + 1]
        if sigma_next == 0:
            return x0
        return (1 - sigma_next) * x0 + (sigma_next * noise_scale) * draw_noise()

    return step


def unipc(sigmas: Sequence[float]) -> Solver:
    """UniPC of order 2 in its B2(h) form on x0 (Zhao et al., NeurIPS 2023), as diffusers' UniPCMultistepScheduler.

    Each x0 first corrects the z that it was computed from, then predicts the next. The first and the last step are of
    order 1 (diffusers' `lower_order_final`). diffusers computes the same in float32 tensors on the device, and waits
    for a linear solve there in every step; here the weights are float64 numbers, so a step is a few sums.
    """
    steps = len(sigmas) - 1
    lambdas = [math.log1p(-sigma) - math.log(sigma) if sigma > 0 else math.inf for sigma in sigmas]
    x0s: list[Tensor] = []  # of the last two steps, the newest last
    start: Tensor | None = None  # the corrected z of the last step
    order = 0  # of the last step

    def weights(index: int, order: int) -> tuple[float, float, float]:
        """Of a move from sigmas[index] to sigmas[index + 1]: of z, of x0; and what multiplies the differences."""
        h = lambdas[index + 1] - lambdas[index]
        alpha = 1 - sigmas[index + 1]
        return sigmas[index + 1] / sigmas[index], -alpha * math.expm1(-h), h

    def bend(index: int) -> float:
        """r of the paper: where the step before began, in units of this one (negative)."""
        return (lambdas[index - 1] - lambdas[index]) / (lambdas[index + 1] - lambdas[index])

    def correct(index: int, x0: Tensor) -> Tensor:
        """z at sigmas[index], once more from sigmas[index - 1], now that its x0 is known (UniC)."""
        assert start is not None
        of_z, of_x0, h = weights(index - 1, order)
        if order == 1:
            return weighted((start, of_z), (x0s[-1], of_x0 / 2), (x0, of_x0 / 2))
        r = bend(index - 1)
        # rho: [[1, 1], [r, 1]] rho = b, with b of the paper's phi functions at -h, each divided by B(h) = expm1(-h)
        phi_1 = math.expm1(-h) / -h - 1
        b_1 = phi_1 / math.expm1(-h)
        b_2 = 2 * (phi_1 / -h - 0.5) / math.expm1(-h)
        rho_old = (b_1 - b_2) / (1 - r)
        rho_new = b_1 - rho_old
        old, new = of_x0 * rho_old / r, of_x0 * rho_new
        return weighted((start, of_z), (x0s[-1], of_x0 - old - new), (x0s[-2], old), (x0, new))

    def step(index: int, z: Tensor, x0: Tensor) -> Tensor:
        nonlocal start, order
        if start is not None:
            z = correct(index, x0)
        order = min(2, steps - index, order + 1)
        start = z
        x0s.append(x0)
        del x0s[:-2]
        of_z, of_x0, _ = weights(index, order)
        if order == 1:
            return weighted((z, of_z), (x0, of_x0))
        old = of_x0 * 0.5 / bend(index)
        return weighted((z, of_z), (x0, of_x0 - old), (x0s[-2], old))

    return step


def weighted(*terms: tuple[Tensor, float]) -> Tensor:
    """The sum of tensors times numbers; one temporary."""
    (first, weight), *rest = terms
    total = first * weight
    for tensor, weight in rest:
        total.add_(tensor, alpha=weight)
    return total
