"""Pictures as rows of patches, the way the vision tower reads them. Knows nothing of the tower.

What transformers' Qwen2-VL image processor computes, without its torchvision: enlarged on 8 bits where they are too
small, normalised, and cut so that the patches of a token lie together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from hidream_studio.job.references import PictureProcessor
from hidream_studio.model.vision import Grid


def vision_patches(
    pictures: Sequence[npt.NDArray[np.uint8]],  # each (H, W, 3)
    processor: PictureProcessor,
) -> tuple[Tensor, tuple[Grid, ...]]:  # (P, 1536) float32, and rows and columns of each picture's patches
    """Rows are (channel, frame, row, column) of one patch; a still picture is every frame."""
    every, grids = [], []
    for pixels in pictures:
        planes = _resized(torch.from_numpy(np.array(pixels)).permute(2, 0, 1), processor).float()
        mean, std = (255 * torch.tensor(part)[:, None, None] for part in (processor.mean, processor.std))
        planes = (planes - mean) / std
        side, merge = processor.patch_px, processor.merge
        rows, cols = planes.shape[1] // side, planes.shape[2] // side
        blocks = planes.view(3, rows // merge, merge, side, cols // merge, merge, side)
        patches = blocks.permute(1, 4, 2, 5, 0, 3, 6).reshape(rows * cols, 3, 1, side, side)
        every.append(patches.expand(-1, -1, processor.frames, -1, -1).reshape(rows * cols, -1))
        grids.append((rows, cols))
    return torch.cat(every), tuple(grids)


def _resized(
    planes: Tensor,  # (3, H, W) uint8
    processor: PictureProcessor,
) -> Tensor:  # (3, H', W') uint8
    height, width = planes.shape[1:]
    new_width, new_height = processor.seen_size((width, height))
    if (new_width, new_height) == (width, height):
        return planes
    # torchvision's, bit for bit; Pillow's bicubic rounds otherwise
    return F.interpolate(planes[None], (new_height, new_width), mode="bicubic", antialias=True)[0]
