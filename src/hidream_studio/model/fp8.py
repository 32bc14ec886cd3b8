"""Matrix products in 8-bit floats, quantised row by row. Knows nothing of the model around them.

Weights are e4m3 with one float32 scale for each output row, quantised once, as they arrive. Activations get one scale
for each token, in each call. Both scales leave the product's sum, so the tensor cores work on 8-bit numbers alone.
Where a device has no such arithmetic, weights are kept so all the same, and made bf16 again for each product.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FP8 = torch.float8_e4m3fn
FP8_MAX = 448.0  # the largest finite e4m3 number
SMALLEST_SCALE = 1e-12  # for rows of zeros


def quantise(
    x: Tensor,  # (M, K)
) -> tuple[Tensor, Tensor]:  # (M, K) e4m3, and the scale (M, 1) float32 that gives x back
    scale = (x.abs().amax(dim=-1, keepdim=True).float() / FP8_MAX).clamp_min(SMALLEST_SCALE)
    return (x.float() / scale).clamp(-FP8_MAX, FP8_MAX).to(FP8), scale


class Fp8Linear(nn.Module):
    """A linear layer without bias whose weight is kept in FP8."""

    def __init__(self, in_features: int, out_features: int, *, kept_only: bool = False) -> None:
        super().__init__()
        self.kept_only = kept_only  # products are in the activations' dtype
        weight = torch.empty((out_features, in_features), dtype=FP8)
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.scale = nn.Parameter(torch.empty((out_features, 1), dtype=torch.float32), requires_grad=False)

    def set_rows(
        self,
        first_row: int,
        rows: Tensor,  # (some, in_features)
    ) -> None:
        """Quantise these rows of the weight into their place."""
        self.set_quantised(first_row, *quantise(rows))

    def set_quantised(
        self,
        first_row: int,
        rows: Tensor,  # (some, in_features) e4m3
        scale: Tensor,  # (some, 1) float32, that gives the rows back
    ) -> None:
        """Put these rows of the weight into their place as they are."""
        last = first_row + rows.shape[0]
        self.weight.data[first_row:last] = rows
        self.scale.data[first_row:last] = scale

    def forward(
        self,
        x: Tensor,  # (..., in_features) bf16
    ) -> Tensor:  # (..., out_features) bf16
        if self.kept_only:
            return F.linear(x, restored(self.weight, self.scale, x.dtype))
        x8, scale = quantise(x.reshape(-1, x.shape[-1]))
        return scaled_product(x8, scale, self.weight.t(), self.scale.t(), x.dtype).view(*x.shape[:-1], -1)


def scaled_product(
    x8: Tensor,  # (M, K) e4m3
    x_scale: Tensor,  # (M, 1) float32
    weight: Tensor,  # (K, N) e4m3, the transpose of rows
    weight_scale: Tensor,  # (1, N) float32
    dtype: torch.dtype,
) -> Tensor:  # (M, N)
    """Of numbers that are quantised already."""
    return torch._scaled_mm(x8, weight, scale_a=x_scale, scale_b=weight_scale, out_dtype=dtype, use_fast_accum=True)


def restored(
    weight: Tensor,  # (N, K) e4m3, or its transpose
    scale: Tensor,  # (N, 1) float32, or its transpose
    dtype: torch.dtype,
) -> Tensor:  # as weight
    """The weight again, for one product."""
    return weight.to(dtype).mul_(scale.to(dtype))


def use_fp8_linears(blocks: nn.Module, *, kept_only: bool = False) -> None:
    """Replace every linear layer inside by an empty FP8 one, on the same device. None of them has a bias.

    The layers outside the blocks (timestep, patch and final) stay as they are: they are small, and touch the pixels.
    """
    for module in list(blocks.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                with torch.device(child.weight.device):
                    setattr(module, name, Fp8Linear(child.in_features, child.out_features, kept_only=kept_only))
