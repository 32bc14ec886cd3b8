"""The vision tower, as Qwen3-VL has it, to train: names are the checkpoint's without `model.visual.`. Knows no text.

After upstream models/qwen3_vl_transformers.py `Qwen3VLVisionModel`: patches of 16 px of two equal frames, learned
positions that are stretched over the picture, rotary angles, attention within a picture, 2 × 2 patches merged into one
token. Everything that depends on a picture's size is computed once, in `Sight`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from o1_tiny.illustrated.training.recipe import TowerShape

PATCH_PX, MERGE = 16, 2
ROTARY_BASE = 10_000.0


@dataclass(frozen=True)
class Sight:
    """What the tower needs to know of a picture of `rows` × `cols` merged tokens."""

    spread: Tensor  # (patches, positions): how much of each learned position a patch gets
    cos: Tensor  # (patches, 1, head_dim)
    sin: Tensor

    @classmethod
    def of(cls, shape: TowerShape, rows: int, cols: int, device: torch.device) -> Sight:
        h, w, side = rows * MERGE, cols * MERGE, shape.side
        row = torch.arange(h).repeat_interleave(w)
        col = torch.arange(w).repeat(h)
        order = torch.arange(h * w).view(rows, MERGE, cols, MERGE).permute(0, 2, 1, 3).flatten()  # block by block
        down, across = (_between(count, side)[where] for count, where in ((h, row), (w, col)))
        spread = (down[:, :, None] * across[:, None, :]).flatten(1)[order]
        head = shape.hidden // shape.heads
        frequency = ROTARY_BASE ** -(torch.arange(0, head // 2, 2, dtype=torch.float32) / (head // 2))
        angle = torch.cat((row[order, None] * frequency, col[order, None] * frequency), dim=1).repeat(1, 2)[:, None]
        return cls(spread.to(device), angle.cos().to(device), angle.sin().to(device))


def _between(count: int, side: int) -> Tensor:  # (count, side)
    """Linear interpolation from `side` points to `count` ones, with aligned corners."""
    at = torch.linspace(0, side - 1, count)
    return (1 - (at[:, None] - torch.arange(side)).abs()).clamp(min=0)


def vision_rows(pictures: Tensor) -> Tensor:  # (B, 3, H, W) in [-1, 1] → (B, patches, 1536)
    """Patches of 16 px, block by block, values as (channel, frame, row, column); both frames are the picture."""
    B, C, H, W = pictures.shape
    tiles = pictures.view(B, C, H // 32, MERGE, PATCH_PX, W // 32, MERGE, PATCH_PX).permute(0, 2, 5, 3, 6, 1, 4, 7)
    tiles = tiles.reshape(B, -1, C, 1, PATCH_PX, PATCH_PX)
    return tiles.expand(-1, -1, -1, 2, -1, -1).reshape(B, tiles.shape[1], -1)


class _Attention(nn.Module):
    def __init__(self, shape: TowerShape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.qkv = nn.Linear(shape.hidden, 3 * shape.hidden)
        self.proj = nn.Linear(shape.hidden, shape.hidden)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).unbind(2)
        q, k = (_rotated(side.float(), cos, sin).to(v.dtype) for side in (q, k))
        out = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        projected: Tensor = self.proj(out.transpose(1, 2).flatten(2))
        return projected


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class _Mlp(nn.Module):
    def __init__(self, width: int, inner: int, out: int, *, tanh: bool) -> None:
        super().__init__()
        self.linear_fc1, self.linear_fc2 = nn.Linear(width, inner), nn.Linear(inner, out)
        self.approximate = "tanh" if tanh else "none"

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear_fc2(F.gelu(self.linear_fc1(x), approximate=self.approximate))
        return out


class _Block(nn.Module):
    def __init__(self, shape: TowerShape) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(shape.hidden, eps=1e-6), nn.LayerNorm(shape.hidden, eps=1e-6)
        self.attn = _Attention(shape)
        self.mlp = _Mlp(shape.hidden, shape.mlp, shape.hidden, tanh=True)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x), cos, sin)
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class _Merger(_Mlp):
    """Four patches as one token; the deepstack's normalise them together, the last one each for itself."""

    def __init__(self, shape: TowerShape, out: int, *, together: bool) -> None:
        width = shape.hidden * MERGE**2
        super().__init__(width, width, out, tanh=False)
        self.width = width
        self.norm = nn.LayerNorm(width if together else shape.hidden, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        together = self.norm.normalized_shape[0] == self.width
        x = x.reshape(x.shape[0], -1, self.width if together else self.width // MERGE**2)
        return super().forward(self.norm(x).reshape(x.shape[0], -1, self.width))


class _PatchEmbed(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.proj = nn.Linear(3 * 2 * PATCH_PX**2, hidden)


class Tower(nn.Module):
    def __init__(self, shape: TowerShape, out: int) -> None:
        super().__init__()
        self.shape = shape
        self.patch_embed = _PatchEmbed(shape.hidden)
        self.pos_embed = nn.Embedding(shape.side**2, shape.hidden)
        self.blocks = nn.ModuleList(_Block(shape) for _ in range(shape.depth))
        self.merger = _Merger(shape, out, together=False)
        self.deepstack_merger_list = nn.ModuleList(_Merger(shape, out, together=True) for _ in shape.deepstack)
        nn.init.normal_(self.pos_embed.weight, 0, 0.3)
        for deep in self.deepstack_merger_list:
            assert isinstance(deep, _Merger)
            nn.init.zeros_(deep.linear_fc2.weight)
            nn.init.zeros_(deep.linear_fc2.bias)

    def forward(
        self,
        rows: Tensor,  # (B, patches, 1536) of `vision_rows`
        sight: Sight,
    ) -> list[Tensor]:  # (B, tokens, out) each: what replaces the tokens' embeddings, then what the deepstack adds
        x = self.patch_embed.proj(rows) + (sight.spread @ self.pos_embed.weight)
        deep = []
        for number, block in enumerate(self.blocks):
            x = block(x, sight.cos, sight.sin)
            if number in self.shape.deepstack:
                deep.append(self.deepstack_merger_list[self.shape.deepstack.index(number)](x))
        return [self.merger(x), *deep]

    def checkpoint_state(self) -> dict[str, Tensor]:
        """By upstream's keys."""
        state = {f"model.visual.{key}": value for key, value in self.state_dict().items()}
        key = "model.visual.patch_embed.proj.weight"
        state[key] = state[key].view(-1, 3, 2, PATCH_PX, PATCH_PX)
        return state

    def vision_config(self, out: int) -> dict[str, object]:
        shape = self.shape
        return {
            "deepstack_visual_indexes": list(shape.deepstack), "depth": shape.depth, "hidden_act": "gelu_pytorch_tanh",
            "hidden_size": shape.hidden, "in_channels": 3, "initializer_range": 0.02, "intermediate_size": shape.mlp,
            "model_type": "qwen3_vl", "num_heads": shape.heads, "num_position_embeddings": shape.side**2,
            "out_hidden_size": out, "patch_size": PATCH_PX, "spatial_merge_size": MERGE, "temporal_patch_size": 2,
        }  # fmt: skip
