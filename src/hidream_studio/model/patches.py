"""Pictures as rows of 32×32 patches, and back. Knows nothing of the model."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hidream_studio.job.sizes import PATCH_PX


def patchify(
    pixels: Tensor,  # (B, 3, H, W)
) -> Tensor:  # (B, N, 3072), N = H/32 * W/32 in row-major order, values as (channel, row, column) of the patch
    B, C, H, W = pixels.shape
    rows, cols = H // PATCH_PX, W // PATCH_PX
    grid = pixels.reshape(B, C, rows, PATCH_PX, cols, PATCH_PX)
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(B, rows * cols, C * PATCH_PX * PATCH_PX)


def unpatchify(
    patches: Tensor,  # (B, N, 3072)
    rows: int,
    cols: int,
) -> Tensor:  # (B, 3, rows*32, cols*32)
    B = patches.shape[0]
    grid = patches.reshape(B, rows, cols, 3, PATCH_PX, PATCH_PX)
    return grid.permute(0, 3, 1, 4, 2, 5).reshape(B, 3, rows * PATCH_PX, cols * PATCH_PX)


def to_uint8(
    patches: Tensor,  # (1, N, 3072), in about [-1, 1]
    rows: int,
    cols: int,
) -> npt.NDArray[np.uint8]:  # (rows*32, cols*32, 3)
    """The picture that these patches are: `round(clip((x + 1) / 2 * 255))` (upstream models/pipeline.py).

    Rounds on the patches' own device, so that a quarter of the bytes travel; waits for that device.
    """
    pixels = unpatchify(patches.float(), rows, cols)[0]
    # halves go to the even neighbour, in torch as in NumPy; NaN would be undefined in uint8, so it becomes mid-grey
    levels = ((pixels + 1) / 2 * 255).nan_to_num(127.5, 255.0, 0.0).clamp(0, 255).round()
    return levels.to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()


def from_uint8(
    pixels: npt.NDArray[np.uint8],  # (H, W, 3)
) -> Tensor:  # (1, N, 3072) float32 in [-1, 1]
    H, W, _ = pixels.shape
    if H % PATCH_PX or W % PATCH_PX:
        raise ValueError(f"sides must be multiples of {PATCH_PX}, got {W}×{H}")
    planes = torch.from_numpy(np.array(pixels, dtype=np.uint8)).permute(2, 0, 1)[None]
    return patchify(planes.float() / 127.5 - 1)
