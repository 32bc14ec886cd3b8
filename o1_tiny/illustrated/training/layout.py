"""Where each token of a batch stands: text with its pictures, patches, references. Knows no weights' values."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from hidream_studio.model.config import ModelConfig
from hidream_studio.model.positions import IMAGE_ORIGIN, rotary
from o1_tiny.illustrated.training.recipe import Mode, TowerShape
from o1_tiny.illustrated.training.tower import Sight

BEFORE_PICTURES = 3  # tokens of `<|im_start|>user\n`


@dataclass(frozen=True)
class Layout:
    """Everything of a kind of batch that no scene changes, made before anything is captured."""

    mode: Mode
    text_cos: Tensor  # (1, T + 1, 1, head_dim); the last one is the tms token's after a text of full length
    text_sin: Tensor
    own_cos: Tensor  # (1, target + references, 1, head_dim)
    own_sin: Tensor
    picture_ids: Tensor  # (P,): the tokens that pictures put before a prompt
    picture_places: Tensor  # (V,): which of all text tokens the tower's go to
    sights: tuple[Sight, ...]
    fits: tuple[tuple[Tensor, Tensor], ...]  # matrices that make a reference of a picture of the target's grid
    shrinks: tuple[tuple[Tensor, Tensor], ...]  # and the vision tower's picture of the reference

    @property
    def picture_tokens(self) -> int:
        return len(self.picture_ids)


def layout_of(
    mode: Mode,
    config: ModelConfig,
    tower: TowerShape,
    text_tokens: int,
    ids: tuple[int, int, int],
    device: torch.device,
) -> Layout:
    """`text_tokens` of a prompt with its template, without pictures; `ids` of vision start, picture and vision end."""
    text, picture_ids, places = _text_positions(mode, text_tokens, ids)
    own = _own_positions(mode)
    cos, sin = rotary(text[:, None].to(device), config, torch.float32)
    own_cos, own_sin = rotary(own[:, None].to(device), config, torch.float32)
    fits, shrinks = [], []
    height, width = (side * 32 for side in mode.grid)
    for reference, picture in zip(mode.references, mode.pictures, strict=True):
        rows, cols = (side * 32 for side in reference)
        fits.append(tuple(matrix.to(device) for matrix in _fitting(width, height, cols, rows)))
        shrinks.append((_resizing(rows, picture[0] * 32).to(device), _resizing(cols, picture[1] * 32).to(device)))
    return Layout(
        mode, cos, sin, own_cos, own_sin, torch.tensor(picture_ids, device=device), torch.tensor(places, device=device),
        tuple(Sight.of(tower, rows, cols, device) for rows, cols in mode.pictures), tuple(fits), tuple(shrinks),
    )  # type: ignore[arg-type]  # fmt: skip


def _text_positions(mode: Mode, text_tokens: int, ids: tuple[int, int, int]) -> tuple[Tensor, list[int], list[int]]:
    """Positions (3, T + 1) of all text tokens (upstream models/utils.py get_rope_index_fix_point)."""
    start, picture, end = ids
    positions = [(index,) * 3 for index in range(BEFORE_PICTURES)]
    picture_ids: list[int] = []
    places: list[int] = []
    p = BEFORE_PICTURES
    for rows, cols in mode.pictures:
        positions.append((p,) * 3)
        p += 1
        places += range(len(positions), len(positions) + rows * cols)
        positions += [(p, p + row, p + col) for row in range(rows) for col in range(cols)]
        p += max(rows, cols)
        positions.append((p,) * 3)
        p += 1
        picture_ids += [start, *[picture] * (rows * cols), end]
    positions += [(p + index,) * 3 for index in range(text_tokens - BEFORE_PICTURES + 1)]
    return torch.tensor(positions).T, picture_ids, places


def _own_positions(mode: Mode) -> Tensor:  # (3, target + references)
    base, found = IMAGE_ORIGIN, []
    for rows, cols in (mode.grid, *mode.references):
        row, col = torch.arange(rows).repeat_interleave(cols), torch.arange(cols).repeat(rows)
        # the target's and all references' time is where they begin
        found.append(torch.stack((torch.zeros_like(row), row, col)) + base)
        base += max(rows, cols)
    return torch.cat(found, dim=1)


def _resizing(before: int, after: int) -> Tensor:  # (after, before)
    """The matrix that resizes one axis, bicubic with antialiasing, as a product can do it inside a CUDA graph."""
    if before == after:
        return torch.eye(before)
    eye = torch.eye(before)[None, :, None]  # (1, before channels, 1, before)
    return F.interpolate(eye, size=(1, after), mode="bicubic", antialias=True, align_corners=False)[
        0, :, 0
    ].T.contiguous()


def _fitting(width: int, height: int, cols: int, rows: int) -> tuple[Tensor, Tensor]:
    """Matrices for rows and columns: a picture of width × height as the reference of cols × rows pixels."""
    if (width, height) == (cols, rows):
        return torch.eye(height), torch.eye(width)
    across, down = width / cols, height / rows
    if across < down:
        inner_width, inner_height = cols, round(height / across)
    else:
        inner_width, inner_height = round(width / down), rows
    left, top = (inner_width - cols) // 2, (inner_height - rows) // 2
    return _resizing(height, inner_height)[top : top + rows], _resizing(width, inner_width)[left : left + cols]
