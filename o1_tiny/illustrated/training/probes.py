"""What training asks the inner blocks for: where a patch is, which letter it shows. Knows no steps and no data.

Two linear layers that training alone has. Asking inner layers for what the picture is made of speeds up what they learn
(cf. Yu et al. 2024, REPA).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from o1_tiny.illustrated.letters import ADVANCE, CHARACTERS

PLACE_WEIGHT, LETTER_WEIGHT = 0.1, 0.15
PLACE_WAVES = (0.1, 0.2, 0.4, 0.8, 1.2, 1.6, 2.2, 3.0)  # radians a patch
SIDE_WAVES = (1, 2, 4, 8)  # half periods over the picture's shorter side
PLACE_VALUES = 4 * (len(PLACE_WAVES) + len(SIDE_WAVES))
LETTER_CLASSES = 1 + len(CHARACTERS)  # 0: none
NO_LETTER_WEIGHT = 0.03  # of a patch without one
LETTER_HALF_HEIGHT = 3.6  # grid units
NOISIEST_LESS = 0.7  # by so much less the noisiest level counts for letters


class Probes(nn.Module):
    """Start at zero."""

    def __init__(self, hidden: int, device: torch.device) -> None:
        super().__init__()
        self.places = nn.Linear(hidden, PLACE_VALUES, device=device)
        self.letters = nn.Linear(hidden, LETTER_CLASSES, device=device)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)


def places(rows: int, cols: int, device: torch.device) -> Tensor:  # (N, PLACE_VALUES) in [-1, 1]
    """Where each patch is, from the picture's middle, as sines and cosines, finer ones than rotary angles have."""
    down, across = torch.meshgrid(
        torch.arange(rows, device=device) + 0.5 - rows / 2,
        torch.arange(cols, device=device) + 0.5 - cols / 2,
        indexing="ij",
    )
    waves = [*PLACE_WAVES, *(count * math.pi / min(rows, cols) for count in SIDE_WAVES)]
    angles = torch.stack([wave * along.flatten() for wave in waves for along in (down, across)], dim=-1)
    return torch.cat((angles.sin(), angles.cos()), dim=-1)


def place_loss(
    probe: nn.Linear,  # hidden to PLACE_VALUES
    inner: Tensor,  # (B, N, hidden)
    where: Tensor,  # (N, PLACE_VALUES), of `places`
) -> Tensor:
    """How badly the first blocks tell where a patch is; squared error.

    Rotary angles turn by less than a radian from patch to patch, so that what differs between neighbours, as outlines
    do, is learnt late (spectral bias; cf. Tancik et al. 2020, Fourier features). Asked for it directly, the first
    blocks learn it sooner.
    """
    return (_answer(probe, inner) - where).square().mean()


def letters_seen(
    places: Tensor,  # (S, 4): x and y of a sign as shares of width and height, y offset and grid unit in shorter sides
    codes: Tensor,  # (S, 4) its letters, 1 + their number, 0 where there is none
    rows: int,
    cols: int,
) -> Tensor:  # (S, N) int64, the letter that the middle of each patch lies in, or 0
    device, short = places.device, min(rows, cols)
    y, x = ((torch.arange(count, device=device) + 0.5) / short for count in (rows, cols))
    unit = places[:, 3, None].clamp(min=1e-3)
    count = (codes > 0).sum(dim=1, keepdim=True)
    across = torch.floor((x - places[:, 0, None] * cols / short) / (ADVANCE * unit) + count / 2)  # (S, cols)
    down = (y - places[:, 1, None] * rows / short - places[:, 2, None]).abs() < LETTER_HALF_HEIGHT * unit  # (S, rows)
    inside = (across >= 0) & (across < count)
    seen = codes.long().gather(1, across.long().clamp(0, codes.shape[1] - 1)) * inside
    return (seen[:, None, :] * down[:, :, None]).flatten(1)


def letter_loss(
    probe: nn.Linear,  # hidden to LETTER_CLASSES
    inner: Tensor,  # (B, N, hidden)
    seen: Tensor,  # (B, N) of `letters_seen`
    sigma: Tensor,  # (B,)
) -> Tensor:
    """How badly middle blocks tell which letter a patch shows; cross-entropy.

    It is what binds the letters of a prompt to their places. The noisiest levels count less.
    """
    answer = _answer(probe, inner)
    lost = -answer.log_softmax(dim=-1).gather(-1, seen[..., None]).squeeze(-1)
    weight = torch.where(seen > 0, 1.0, NO_LETTER_WEIGHT) * (1 - NOISIEST_LESS * sigma[:, None])
    return (lost * weight).sum() / weight.sum()


def _answer(probe: nn.Linear, inner: Tensor) -> Tensor:
    found: Tensor = probe(F.rms_norm(inner.float(), inner.shape[-1:]).to(inner.dtype))
    return found.float()
