"""One scaled dot-product attention, with the fastest backend that the device has. Knows nothing of text or pictures."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

# best first. On one H200, 4k tokens: cuDNN 610 TFLOP/s, torch's flash 357 (docs/lab-log.md)
DENSE_BACKENDS = [
    SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH,
]  # fmt: skip
MASKED_BACKENDS = [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


def backends(device: torch.device, *, masked: bool) -> AbstractContextManager[object]:
    """Which attention kernels may run inside; on a CPU torch has one choice only, and takes it by itself."""
    if device.type != "cuda" or torch.version.hip is not None:
        return nullcontext()
    return sdpa_kernel(MASKED_BACKENDS if masked else DENSE_BACKENDS, set_priority=True)


def attend(
    q: Tensor,  # (B, S, heads, head_dim)
    k: Tensor,  # (B, K, kv_heads, head_dim)
    v: Tensor,  # (B, K, kv_heads, head_dim)
    *,
    causal: bool = False,
    key_mask: Tensor | None = None,  # (B, K) bool, False where nobody may look; None: everything is seen
    mask: Tensor | None = None,  # (S, K) bool in place of it, False where that query may not look
) -> Tensor:  # (B, S, heads * head_dim)
    B, S, heads, _ = q.shape
    groups = heads // k.shape[2]
    if key_mask is not None:
        mask = key_mask[:, None, None].expand(B, 1, S, key_mask.shape[1])
    if groups > 1 and mask is not None:
        # only the dense kernels share K/V among heads by themselves; masked, CUDA would fall back to the slowest
        k, v = k.repeat_interleave(groups, dim=2), v.repeat_interleave(groups, dim=2)
        groups = 1
    out = F.scaled_dot_product_attention(
        q.transpose(1, 2),
        k.transpose(1, 2),
        v.transpose(1, 2),
        attn_mask=mask,
        is_causal=causal,
        enable_gqa=groups > 1,
    )
    return out.transpose(1, 2).reshape(B, S, -1)
