"""Where each token sits, and the rotary angles that tell the model so. Knows nothing of weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hidream_studio.model.config import ModelConfig

IMAGE_ORIGIN = 4096  # upstream models/utils.py get_rope_index_fix_point: image positions start here


def text_positions(
    length: int,
    device: torch.device | str = "cpu",
) -> Tensor:  # (3, 1, length): token i is at (i, i, i)
    return torch.arange(length, device=device).expand(3, 1, length)


def grid_positions(
    rows: int,
    cols: int,
    origin: int,
    device: torch.device | str = "cpu",
) -> Tensor:  # (3, rows*cols), row-major: (origin, origin + row, origin + column)
    row = torch.arange(rows, device=device).repeat_interleave(cols)
    col = torch.arange(cols, device=device).repeat(rows)
    return torch.stack((torch.zeros_like(row), row, col)) + origin


def prompt_positions(
    ids: Sequence[int],
    picture_token: int,
    grids: Sequence[tuple[int, int]],  # rows and columns of each picture's tokens
    device: torch.device | str = "cpu",
) -> tuple[Tensor, int]:  # (3, 1, T), and the position of what comes after
    """Of text with pictures in it: a picture's tokens lie on a grid, and take its longer side of the count.

    upstream models/utils.py get_rope_index_fix_point.
    """
    parts, position, index = [], 0, 0
    waiting = iter(grids)
    while index < len(ids):
        if ids[index] == picture_token:
            rows, cols = next(waiting)
            parts.append(grid_positions(rows, cols, position, device))
            position, index = position + max(rows, cols), index + rows * cols
        else:
            parts.append(torch.full((3, 1), position, device=device))
            position, index = position + 1, index + 1
    return torch.cat(parts, dim=1)[:, None], position


def step_positions(
    timestep_position: Tensor,  # (B,), the tms token's: the number of text tokens, or less with pictures among them
    rows: int,
    cols: int,
    references: Sequence[tuple[int, int]] = (),  # rows and columns of each reference's patches
) -> Tensor:  # (3, B, 1 + rows*cols + references'): tms, the patches in row-major order, the references'; axes t, h, w
    device = timestep_position.device
    B, origin = timestep_position.shape[0], IMAGE_ORIGIN
    grids = []
    for grid in ((rows, cols), *references):
        grids.append(grid_positions(*grid, origin, device))
        origin += max(grid)
    image = torch.cat(grids, dim=-1)
    tms = timestep_position.expand(3, B)[..., None]
    return torch.cat((tms, image[:, None].expand(3, B, image.shape[1])), dim=-1)


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
