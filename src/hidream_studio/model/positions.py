"""Where each token sits, and the rotary angles that tell the model so. Knows nothing of weights."""

from __future__ import annotations

import torch
from torch import Tensor

from hidream_studio.model.config import ModelConfig

IMAGE_ORIGIN = 4096  # upstream models/utils.py get_rope_index_fix_point: image positions start here


def text_positions(
    length: int,
    device: torch.device | str = "cpu",
) -> Tensor:  # (3, 1, length): token i is at (i, i, i)
    return torch.arange(length, device=device).expand(3, 1, length)


def step_positions(
    timestep_position: Tensor,  # (B,), the number of text tokens before the tms token
    rows: int,
    cols: int,
) -> Tensor:  # (3, B, 1 + rows*cols): the tms token, then the patches in row-major order; axes t, h, w
    device = timestep_position.device
    B, N = timestep_position.shape[0], rows * cols
    row = torch.arange(rows, device=device).repeat_interleave(cols)
    col = torch.arange(cols, device=device).repeat(rows)
    image = torch.stack((torch.zeros_like(row), row, col)) + IMAGE_ORIGIN  # (3, N)
    return torch.cat((timestep_position.expand(3, B)[..., None], image[:, None].expand(3, B, N)), dim=-1)


def rotary(
    positions: Tensor,  # (3, B, S)
    config: ModelConfig,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:  # cos, sin: (B, S, 1, head_dim), one head dimension to broadcast over
    """Interleaved multimodal rotary tables: frequencies t h w t h w … t t (transformers `apply_interleaved_mrope`).

    Angles are computed in float32 and only their cosine and sine are cast: 4096 is beyond bf16's whole numbers.
    """
    device, half = positions.device, config.head_dim // 2
    exponent = torch.arange(0, config.head_dim, 2, device=device, dtype=torch.float32) / config.head_dim
    frequency = 1.0 / (config.rope_theta**exponent)  # (half,)
    index = torch.arange(half, device=device)
    axis = torch.zeros_like(index)  # t, wherever h and w do not say otherwise
    for which in (1, 2):
        axis = torch.where((index % 3 == which) & (index < 3 * config.mrope_section[which]), which, axis)
    angle = positions.float()[axis].movedim(0, -1) * frequency  # (B, S, half)
    angle = torch.cat((angle, angle), dim=-1)[:, :, None]
    return angle.cos().to(dtype), angle.sin().to(dtype)


def rotate(
    x: Tensor,  # (B, S, heads, head_dim)
    cos: Tensor,  # (B, S, 1, head_dim)
    sin: Tensor,  # (B, S, 1, head_dim)
) -> Tensor:  # (B, S, heads, head_dim)
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin
