"""Attention over keys of unlike numbers without a mask, by flash attention. Knows no model.

Masked attention runs on kernels that take two to three times as long. Here each picture's keys are laid out as
`[its own, its text, the text's padding]`, and the padding is named as a sequence of its own that has no queries, so
that nobody looks at it and nothing is copied out.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class UnmaskedKeys(NamedTuple):
    """Which keys a batch's queries see; takes the place of a key mask."""

    query_starts: Tensor  # (2B + 1,) int32
    key_starts: Tensor  # (2B + 1,) int32

    @classmethod
    def of(
        cls,
        lengths: Tensor,  # (B,) of the texts, in tokens
        text: int,  # tokens that each text is padded to
        own: int,  # tokens of each picture, the tms token among them
    ) -> UnmaskedKeys:
        count, device = len(lengths), lengths.device
        picture = torch.arange(count, device=device)
        queries = torch.full((2 * count + 1,), count * own, dtype=torch.int32, device=device)
        keys = torch.full((2 * count + 1,), count * (own + text), dtype=torch.int32, device=device)
        queries[:-1:2], queries[1::2] = picture * own, (picture + 1) * own
        keys[:-1:2] = picture * (own + text)
        keys[1::2] = keys[:-1:2] + own + lengths
        return cls(queries, keys)


def attend_unmasked(
    q: Tensor,  # (B, S, heads, head_dim)
    k: Tensor,  # (B, T + S, kv_heads, head_dim), the text's first
    v: Tensor,
    *,
    key_mask: UnmaskedKeys,
) -> Tensor:  # (B, S, heads * head_dim)
    """What `model.attention.attend` gives with a mask; on CUDA only."""
    B, S = q.shape[:2]
    T = k.shape[1] - S
    k, v = (torch.cat((both[:, T:], both[:, :T]), dim=1).bfloat16().flatten(0, 1) for both in (k, v))
    out, *_ = torch.ops.aten._flash_attention_forward(
        q.bfloat16().flatten(0, 1), k, v, key_mask.query_starts, key_mask.key_starts, S, T + S, 0.0, False, False
    )
    attended: Tensor = out.view(B, S, -1)
    return attended
