"""Many pictures at once as patches, on whatever device their parts lie. Knows no scenes."""

from __future__ import annotations

import torch
from torch import Tensor

from hidream_studio.model.patches import patchify
from o1_tiny.illustrated.paint import paint


def draw_patches(
    parts: Tensor,  # (S, MAX_PARTS, FIELDS)
    counts: Tensor,  # (S,) int32
    waters: Tensor,  # (S, 4)
    index: Tensor,  # (B,) int64: which of them
    rows: int,
    cols: int,
) -> tuple[Tensor, Tensor]:  # (B, N, 3072) in [-1, 1]; (B, N) how much an error in each patch counts
    if parts.device.type == "cuda":
        from o1_tiny.illustrated.kernel import paint_patches

        return paint_patches(parts, counts, waters, index, rows, cols)
    drawn, cares = [], []
    for scene in index.tolist():
        pixels, care = paint(parts[scene, : int(counts[scene])].tolist(), waters[scene].tolist(), cols * 32, rows * 32)
        drawn.append(torch.from_numpy(pixels).permute(2, 0, 1) * 2 - 1)
        cares.append(torch.from_numpy(care).view(rows, 32, cols, 32).amax(dim=(1, 3)).flatten())
    return patchify(torch.stack(drawn)), torch.stack(cares)
