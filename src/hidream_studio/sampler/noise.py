"""Initial noise from a seed: upstream's, or linked, so that one seed composes alike at every size. CPU only.

All randomness comes from CPU generators of its own, so that a seed means the same on every device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from hidream_studio.job.request import Noise
from hidream_studio.job.sizes import closest_bucket

FLASH_CLIP_STD = 2.5  # upstream inference.py noise_clip_std


def initial_noise(
    seed: int,
    width: int,  # px
    height: int,  # px
    noise_scale: float,
    mode: Noise,
    buckets: Sequence[tuple[int, int]],  # (width, height) px, the sizes whose noise is upstream's in "linked" mode
) -> Tensor:  # (1, 3, height, width) float32, N(0, noise_scale²), independent
    """The noise that a picture starts from.

    "upstream" draws at the size itself. "linked" draws upstream's noise of the bucket with the closest aspect ratio and
    takes this size's from it (`resample_noise`); at the bucket's own size it is upstream's, bit for bit.
    """
    generator = _generator(seed)
    if mode == "upstream":
        return torch.randn((1, 3, height, width), generator=generator) * noise_scale
    bucket_width, bucket_height = closest_bucket(width, height, tuple(buckets))
    noise = torch.randn((1, 3, bucket_height, bucket_width), generator=generator)
    noise = resample_noise(noise, height, 2, generator)
    noise = resample_noise(noise, width, 3, generator)
    return noise * noise_scale


def resample_noise(
    noise: Tensor,  # N(0, 1), independent
    size: int,  # of that dimension afterwards
    dim: int,
    generator: torch.Generator,
) -> Tensor:  # N(0, 1), independent; `size` along `dim`
    """White noise at another resolution along one dimension: the increments of one Brownian motion, over other cells.

    A cell's value is the motion's increment over the cell, divided by the root of its width. So a coarse cell is the
    sum of the fine cells in it (a block sum divided by 2 at ratio 2 in both dimensions); where an edge cuts a cell, the
    motion at the edge is drawn from the Brownian bridge between the cell's ends (integral noise, Chang et al., ICLR
    2024, "How I Warped Your Noise"). The same holds downwards and upwards, at any ratio.
    """
    cells = noise.shape[dim]
    if size == cells:
        return noise
    if cells % size == 0:  # no edge cuts a cell
        blocks = noise.reshape(*noise.shape[:dim], size, cells // size, *noise.shape[dim + 1 :])
        return blocks.sum(dim + 1).mul_((size / cells) ** 0.5)
    left = noise.movedim(dim, 0).clone(memory_format=torch.contiguous_format)  # of each old cell, not given away yet
    out = left.new_zeros((size, *left.shape[1:]))
    column = (-1,) + (1,) * (left.ndim - 1)
    for giving, taking, share, bridge_std in _cuts(cells, size):
        whole = left[giving]
        part = torch.randn(whole.shape, generator=generator).mul_(bridge_std.view(column))
        part.addcmul_(whole, share.view(column))
        out.index_add_(0, taking, part)
        left[giving] = whole.sub_(part)
    last_taking = ((torch.arange(cells) + 1) * size - 1) // cells
    out.index_add_(0, last_taking, left)
    out *= (size / cells) ** 0.5
    return out.movedim(0, dim).contiguous()


def _cuts(cells: int, size: int) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Where the edges of `size` new cells cut `cells` old ones, from left to right, one edge of each old cell a time.

    Yields old cells, the new cells that take what lies left of the edge, its share of what is left of the old cell's
    width, and the bridge's standard deviation there. Lengths are whole numbers: an old cell is `size` long, a new one
    `cells`. A Brownian motion with increment D over a length R has, at w of it, mean `D w / R` and variance
    `w (R - w) / R`, here over `size`, as an old cell has variance 1.
    """
    old = torch.arange(cells)
    start, end = old * size, (old + 1) * size
    while True:
        taking = start // cells
        edge = (taking + 1) * cells
        old, taking, start, end, edge = (x[edge < end] for x in (old, taking, start, end, edge))
        if len(old) == 0:
            return
        width, rest = (edge - start).float(), (end - start).float()
        yield old, taking, width / rest, (width * (rest - width) / rest / size).sqrt()
        start = edge


def flash_noise(seed: int, shape: Sequence[int], device: torch.device) -> Callable[[], Tensor]:
    """Fresh noise for each step of the dev recipe, in the patch layout, clipped to ±2.5 of its own deviation.

    Upstream takes it from the device's global generator, seeded with seed + 1; this one gives upstream's values on a
    CPU, on every device. It is drawn while the device computes, and travels without waiting.
    """
    generator = _generator(seed)

    def draw() -> Tensor:
        noise = torch.randn(tuple(shape), generator=generator)
        limit = FLASH_CLIP_STD * noise.std().item()
        noise.clamp_(-limit, limit)
        if device.type == "cuda":
            return noise.pin_memory().to(device, non_blocking=True)
        return noise

    return draw


def _generator(seed: int) -> torch.Generator:
    return torch.Generator("cpu").manual_seed(seed + 1)  # upstream models/pipeline.py
