"""Values out of quantised tensors of other tools' files, piece by piece. Knows nothing of files, layers or the model.

mxfp8 is the OCP Microscaling format: e4m3 with a power of two for every 32 values of a row, whose scales lie in tiles
as cuBLAS reads them (its documentation, "1D Block Scaling Factors Layout"). Rotated int8 is ConvRot (comfy-kitchen
tensor/int8_utils.py): each group of a row was multiplied by a regular Hadamard matrix, which is its own inverse.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from hidream_studio.model.marks import MXFP8_BLOCK, SCALE_COLUMNS, SCALE_ROWS

E8M0_BIAS = 127
E8M0_NAN = 255


def row_scales(
    scale: Tensor,  # of any shape, one value or one a row
    rows: int,
) -> Tensor:  # (rows, 1) float32
    return scale.float().reshape(-1, 1).expand(rows, 1)


def block_scales(
    scale: Tensor,  # E8M0 as uint8, in tiles
    rows: int,
    columns: int,  # of the weight
) -> Tensor:  # (rows, columns / 32) float32
    """Powers of two, in the order of the weight."""
    across = columns // MXFP8_BLOCK
    wide = -(across // -SCALE_COLUMNS)
    tiles = scale.reshape(-1, wide, 32, SCALE_ROWS // 32, SCALE_COLUMNS)  # row r of a tile stands at (r % 32, r // 32)
    flat = tiles.permute(0, 3, 2, 1, 4).reshape(-1, wide * SCALE_COLUMNS)[:rows, :across]
    values = torch.exp2(flat.float() - E8M0_BIAS)
    return values.masked_fill(flat == E8M0_NAN, float("nan"))


def values_of(
    rows: Tensor,  # (R, K) as stored
    kind: Literal["e4m3", "mxfp8", "int8"],
    scale: Tensor,  # of these rows: of `row_scales`, or of `block_scales`
    rotated: int = 0,
) -> Tensor:  # (R, K) float32
    if kind == "int8":
        values = rows.float() * scale
        return unrotated(values, rotated) if rotated else values
    values = as_e4m3(rows).float()
    if kind == "e4m3":
        return values * scale
    return (values.view(len(rows), -1, MXFP8_BLOCK) * scale[..., None]).view(rows.shape)


def as_e4m3(rows: Tensor) -> Tensor:
    """Older files call the bytes uint8."""
    return rows.view(torch.float8_e4m3fn)


def unrotated(
    values: Tensor,  # (R, K) float32
    group: int,
) -> Tensor:  # as values
    turned: Tensor = values.view(-1, group) @ hadamard(group).to(values.device)
    return turned.view(values.shape)


@lru_cache(maxsize=4)
def hadamard(size: int) -> Tensor:  # (size, size) float32, symmetric and orthogonal
    """The regular one, a power of its kernel of 4."""
    kernel = torch.tensor([[1, 1, 1, -1], [1, 1, -1, 1], [1, -1, 1, 1], [-1, 1, 1, 1]], dtype=torch.float32)
    found = torch.ones((1, 1))
    while found.shape[0] < size:
        found = torch.kron(found, kernel)
    return found / math.sqrt(size)
