"""What training asks the inner blocks for: where a patch is, how far outlines are. Knows no steps and no data.

Two linear layers that training alone has. Asking inner layers for what the picture is made of speeds up what they learn
(cf. Yu et al. 2024, REPA).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from o1_tiny.training.render import DISTANCE_POINTS

PLACE_WEIGHT, OUTLINE_WEIGHT = 0.1, 0.2
PLACE_WAVES = (0.1, 0.2, 0.4, 0.8, 1.2, 1.6, 2.2, 3.0)  # radians a patch
SIDE_WAVES = (1, 2, 4, 8)  # half periods over the picture's shorter side
PLACE_VALUES = 4 * (len(PLACE_WAVES) + len(SIDE_WAVES))
OUTLINE_VALUES = 2 * DISTANCE_POINTS**2
OUTLINE_PX = 8.0  # of distances up to about this the differences count
NOISIEST_LESS = 0.7  # by so much less the noisiest level counts for outlines


class Probes(nn.Module):
    """Start at zero, so that all processes of a team start alike."""

    def __init__(self, hidden: int, device: torch.device) -> None:
        super().__init__()
        self.places = nn.Linear(hidden, PLACE_VALUES, device=device)
        self.outlines = nn.Linear(hidden, OUTLINE_VALUES, device=device)
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


def outline_loss(
    probe: nn.Linear,  # hidden to OUTLINE_VALUES
    inner: Tensor,  # (B, N, hidden)
    distances: Tensor,  # (B, N, OUTLINE_VALUES) px, of `render.outline_distances`
    sigma: Tensor,  # (B,)
) -> Tensor:
    """How badly middle blocks tell where outlines are, which no single pixel says; plain error.

    Distances are bent so that a pixel counts near an outline and little far from it. The noisiest levels, where much of
    the error is chance, count less.
    """
    wanted = distances / (OUTLINE_PX + distances.abs())
    error = (_answer(probe, inner) - wanted).abs().mean(dim=(1, 2))
    return (error * (1 - NOISIEST_LESS * sigma)).mean()


def _answer(probe: nn.Linear, inner: Tensor) -> Tensor:
    found: Tensor = probe(F.rms_norm(inner.float(), inner.shape[-1:]).to(inner.dtype))
    return found.float()
