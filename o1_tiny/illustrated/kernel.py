"""Parts painted on a GPU, one program a patch, straight into the layout of patches. Looks as shapes.py says."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from o1_tiny.illustrated.parts import FIELDS
from o1_tiny.illustrated.shapes import cover, smooth


@triton.jit(do_not_specialize=["cols", "rows"])
def _paint(parts, counts, waters, index, out, cares, cols, rows, MOST: tl.constexpr, WIDE: tl.constexpr):  # type: ignore[no-untyped-def]
    b = tl.program_id(0)
    n = tl.program_id(1)
    scene = tl.load(index + b)
    short = tl.minimum(cols, rows) * 32.0
    width = cols * 32.0 / short
    height = rows * 32.0 / short
    inner = tl.arange(0, 1024)
    x = ((n % cols) * 32 + (inner % 32) + 0.5) / short
    y = ((n // cols) * 32 + (inner // 32) + 0.5) / short
    line = tl.load(waters + scene * 4) * height
    squash = tl.load(waters + scene * 4 + 1)
    ripple = tl.load(waters + scene * 4 + 2)
    depth = tl.maximum(y - line, 0.0)
    my = tl.where(y > line, line - depth * squash, y)
    mx = x + ripple * tl.sin(depth * 150.0 / (1 + 2.5 * depth)) * tl.minimum(depth * 12, 1.0)
    x0 = tl.min(x, 0) - ripple
    x1 = tl.max(x, 0) + ripple
    y0 = tl.min(y, 0)
    y1 = tl.max(y, 0)
    m0 = tl.min(my, 0)
    m1 = tl.max(my, 0)
    red = x * 0.0
    green = x * 0.0
    blue = x * 0.0
    care = x * 0.0
    count = tl.load(counts + scene).to(tl.int32)
    base = parts + scene.to(tl.int64) * (MOST * WIDE)
    for i in range(count):
        r = base + i * WIDE
        cx = tl.load(r + 1) * width + tl.load(r + 3)
        cy = tl.load(r + 2) * height + tl.load(r + 4)
        edge = tl.maximum(tl.load(r + 19), 0.6 / short)
        bx = tl.load(r + 28) + 2 * edge
        by = tl.load(r + 29) + 2 * edge
        front = tl.load(r + 21) > 0
        lo = tl.load(r + 22) * height
        hi = tl.load(r + 23) * height
        top = tl.where(front, y0, m0)
        end = tl.where(front, y1, m1)
        seen = (x1 > cx - bx) & (x0 < cx + bx) & (end > cy - by) & (top < cy + by) & (y1 > lo - edge) & (y0 < hi + edge)
        if seen:
            ux = tl.where(front, x, mx) - cx
            uy = tl.where(front, y, my) - cy
            cos = tl.load(r + 9)
            sin = tl.load(r + 10)
            cov, t = cover(
                tl.load(r).to(tl.int32), ux * cos + uy * sin, uy * cos - ux * sin, ux + cx, tl.load(r + 5),
                tl.load(r + 6), tl.load(r + 7), tl.load(r + 8), edge, tl.load(r + 20), tl.load(r + 24),
                tl.load(r + 25), tl.load(r + 26), tl.load(r + 27),
            )  # fmt: skip
            cov = cov * smooth(0.5 + (y - lo) / edge) * smooth(0.5 - (y - hi) / edge)
            a0 = tl.load(r + 17)
            cov = cov * (a0 + (tl.load(r + 18) - a0) * t)
            r0 = tl.load(r + 11)
            g0 = tl.load(r + 12)
            b0 = tl.load(r + 13)
            red += (r0 + (tl.load(r + 14) - r0) * t - red) * cov
            green += (g0 + (tl.load(r + 15) - g0) * t - green) * cov
            blue += (b0 + (tl.load(r + 16) - b0) * t - blue) * cov
            care += (tl.load(r + 30) - care) * cov
    to = b.to(tl.int64) * (cols * rows) + n
    tl.store(cares + to, tl.max(care, 0))
    tl.store(out + to * 3072 + inner, tl.minimum(tl.maximum(red, 0.0), 1.0) * 2 - 1)
    tl.store(out + to * 3072 + 1024 + inner, tl.minimum(tl.maximum(green, 0.0), 1.0) * 2 - 1)
    tl.store(out + to * 3072 + 2048 + inner, tl.minimum(tl.maximum(blue, 0.0), 1.0) * 2 - 1)


def paint_patches(
    parts: Tensor,  # (S, MAX_PARTS, FIELDS)
    counts: Tensor,  # (S,) int32
    waters: Tensor,  # (S, 4)
    index: Tensor,  # (B,) int64: which scenes
    rows: int,
    cols: int,
) -> tuple[Tensor, Tensor]:  # (B, N, 3072) in [-1, 1]; (B, N) how much an error in each patch counts
    out = torch.empty(len(index), rows * cols, 3072, device=parts.device)
    cares = torch.empty(len(index), rows * cols, device=parts.device)
    _paint[(len(index), rows * cols)](
        parts, counts, waters, index, out, cares, cols, rows, MOST=parts.shape[1], WIDE=FIELDS, num_warps=4
    )
    return out, cares
