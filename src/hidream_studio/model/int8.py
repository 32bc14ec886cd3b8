"""Matrices in 8-bit integers, quantised row by row. They are stored so, and computed with in another precision."""

from __future__ import annotations

import torch
from torch import Tensor

INT8_MAX = 127.0
SMALLEST_SCALE = 1e-12  # for rows of zeros


def quantise_int8(
    x: Tensor,  # (M, K)
) -> tuple[Tensor, Tensor]:  # (M, K) int8, and the scale (M, 1) float32 that gives x back
    scale = (x.abs().amax(dim=-1, keepdim=True).float() / INT8_MAX).clamp_min(SMALLEST_SCALE)
    return (x.float() / scale).round().clamp(-INT8_MAX, INT8_MAX).to(torch.int8), scale
