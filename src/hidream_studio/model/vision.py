"""The vision tower of Qwen3-VL: pictures in, tokens for the decoder out. Knows nothing of files, prompts or sizes.

Attention stays within each picture. The decoder gets the last layer's tokens, and those of a few layers before it
(deepstack), each merged from 2×2 patches (upstream models/qwen3_vl_transformers.py Qwen3VLVisionModel).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hidream_studio.model.attention import attend, backends
from hidream_studio.model.config import VisionConfig
from hidream_studio.model.lora import LowRank, beside
from hidream_studio.model.positions import rotate

LAYER_NORM_EPS = 1e-6  # upstream
ROTARY_THETA = 10_000.0

Grid = tuple[int, int]  # rows, columns
Changes = Mapping[str, LowRank]  # of LoRAs, by the linear layer beside which they stand


@dataclass(frozen=True)
class VisionTokens:
    """What the tower makes of some pictures, one after the other."""

    embeds: Tensor  # (V, hidden), in place of the prompt's picture tokens
    deepstack: tuple[Tensor, ...]  # each (V, hidden), added there after the decoder's first layers
    grids: tuple[Grid, ...]  # of each picture's tokens, row-major


class VisionBlock(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.attention_norm = nn.LayerNorm(config.hidden_size, eps=LAYER_NORM_EPS)
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.out = nn.Linear(config.hidden_size, config.hidden_size)
        self.mlp_norm = nn.LayerNorm(config.hidden_size, eps=LAYER_NORM_EPS)
        self.up = nn.Linear(config.hidden_size, config.mlp_size)
        self.down = nn.Linear(config.mlp_size, config.hidden_size)

    def forward(
        self,
        x: Tensor,  # (P, hidden), the patches of all pictures
        cos: Tensor,  # (P, 1, head_dim) float32
        sin: Tensor,
        lengths: Sequence[int],  # patches of each picture
        loras: Changes,
        name: str,  # of this block among the changes
    ) -> Tensor:  # (P, hidden)
        qkv = beside(self.qkv, self.attention_norm(x), loras.get(f"{name}.qkv"))
        q, k, v = qkv.view(-1, 3, self.heads, qkv.shape[-1] // (3 * self.heads)).unbind(1)
        q, k = (rotate(part.float(), cos, sin).to(x.dtype) for part in (q, k))
        seen = [
            attend(own_q[None], own_k[None], own_v[None])[0]
            for own_q, own_k, own_v in zip(*(torch.split(part, list(lengths)) for part in (q, k, v)), strict=True)
        ]
        x = x + beside(self.out, torch.cat(seen), loras.get(f"{name}.out"))
        wide = F.gelu(beside(self.up, self.mlp_norm(x), loras.get(f"{name}.up")), approximate="tanh")
        return x + beside(self.down, wide, loras.get(f"{name}.down"))


class Merger(nn.Module):
    """Four patches become one token of the decoder's width."""

    def __init__(self, config: VisionConfig, *, norm_merged: bool) -> None:
        super().__init__()
        self.merged_size = config.merged_size
        self.norm = nn.LayerNorm(config.merged_size if norm_merged else config.hidden_size, eps=LAYER_NORM_EPS)
        self.linear1 = nn.Linear(config.merged_size, config.merged_size)
        self.linear2 = nn.Linear(config.merged_size, config.out_size)

    def forward(
        self,
        x: Tensor,  # (P, hidden), patches of a token one after the other
        loras: Changes,
        name: str,
    ) -> Tensor:  # (P / 4, out)
        merged = self.norm(x.view(-1, *self.norm.normalized_shape)).view(-1, self.merged_size)
        wide = F.gelu(beside(self.linear1, merged, loras.get(f"{name}.linear1")))
        return beside(self.linear2, wide, loras.get(f"{name}.linear2"))


class VisionTower(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_in = nn.Linear(config.patch_values, config.hidden_size)
        self.positions = nn.Embedding(config.positions, config.hidden_size)
        self.blocks = nn.ModuleList(VisionBlock(config) for _ in range(config.layers))
        self.merger = Merger(config, norm_merged=False)
        self.deepstack = nn.ModuleList(Merger(config, norm_merged=True) for _ in config.deepstack_after)

    @property
    def device(self) -> torch.device:
        return self.patch_in.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.patch_in.weight.dtype

    @property
    def nbytes(self) -> int:
        return sum(parameter.nbytes for parameter in self.parameters())

    def forward(
        self,
        patches: Tensor,  # (P, 1536) float32, of all pictures, see `vision_input`
        grids: Sequence[Grid],  # rows and columns of each picture's patches
        loras: Changes | None = None,  # of `lora.stack_vision`
    ) -> VisionTokens:
        loras = loras or {}
        x = self.patch_in(patches.to(self.device, self.dtype)) + self._learned_positions(grids)
        cos, sin = self._rotary(grids)
        lengths = [rows * cols for rows, cols in grids]
        deepstack: dict[int, Tensor] = {}
        with backends(x.device, masked=False):
            for layer, block in enumerate(self.blocks):
                x = block(x, cos, sin, lengths, loras, f"blocks.{layer}")
                for level, after in enumerate(self.config.deepstack_after):
                    if after == layer:
                        deepstack[level] = self.deepstack[level](x, loras, f"deepstack.{level}")
        merge = self.config.merge
        tokens = tuple((rows // merge, cols // merge) for rows, cols in grids)
        return VisionTokens(
            self.merger(x, loras, "merger"), tuple(deepstack[level] for level in sorted(deepstack)), tokens
        )

    def _learned_positions(self, grids: Sequence[Grid]) -> Tensor:  # (P, hidden)
        """The square grid of learned positions, stretched over each picture: bilinear, with its corners on theirs."""
        side = math.isqrt(self.config.positions)
        table = self.positions.weight.float().view(side, side, -1)
        found = []
        for rows, cols in grids:
            row, down = self._between(side, rows)
            col, right = self._between(side, cols)
            after_row, after_col = (row + 1).clamp_max(side - 1), (col + 1).clamp_max(side - 1)
            down, right = down[:, None, None], right[None, :, None]
            place = (
                table[row][:, col] * ((1 - down) * (1 - right))
                + table[row][:, after_col] * ((1 - down) * right)
                + table[after_row][:, col] * (down * (1 - right))
                + table[after_row][:, after_col] * (down * right)
            )
            found.append(self._in_tokens(place))
        return torch.cat(found).to(self.dtype)

    def _between(self, side: int, length: int) -> tuple[Tensor, Tensor]:
        """For each of `length` places the learned one before it, and how far it lies beyond that."""
        place = torch.linspace(0, side - 1, length, device=self.device)
        before = place.long()
        return before, place - before

    def _rotary(self, grids: Sequence[Grid]) -> tuple[Tensor, Tensor]:  # cos, sin: (P, 1, head_dim) float32
        """Half of a head's frequencies turn with the row, the other half with the column."""
        half = self.config.hidden_size // self.config.heads // 2
        exponent = torch.arange(0, half, 2, device=self.device, dtype=torch.float32) / half
        frequency = 1.0 / ROTARY_THETA**exponent
        places = []
        for rows, cols in grids:
            row = torch.arange(rows, device=self.device)[:, None].expand(rows, cols)
            col = torch.arange(cols, device=self.device)[None].expand(rows, cols)
            places.append(self._in_tokens(torch.stack((row, col), dim=-1)))
        angle = (torch.cat(places)[:, :, None].float() * frequency).flatten(1)  # (P, half)
        angle = torch.cat((angle, angle), dim=-1)[:, None]
        return angle.cos(), angle.sin()

    def _in_tokens(
        self,
        values: Tensor,  # (rows, cols, D), row-major
    ) -> Tensor:  # (rows * cols, D): the patches of a token together, tokens row-major
        rows, cols, D = values.shape
        merge = self.config.merge
        blocks = values.reshape(rows // merge, merge, cols // merge, merge, D)
        return blocks.permute(0, 2, 1, 3, 4).reshape(-1, D)
