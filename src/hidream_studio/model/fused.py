"""All blocks of a step on a CUDA device, with nothing between their matrix products but one kernel each.

The same function as `transformer.Block`, whose arithmetic is the reference; what is rounded less often here makes it
more accurate in bf16. No size, prompt or number of branches is ever compiled for itself. Knows nothing of pictures.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hidream_studio.model.attention import attend
from hidream_studio.model.fp8 import Fp8Linear
from hidream_studio.model.transformer import Block, O1Transformer, TextPrefix

KEY_TILE = 128  # cuDNN's attention on Hopper slows down by a tenth where the last tile of keys is not full
LONGEST_TAIL = 4 * KEY_TILE  # keys that the second kernel takes at most; more are worth a call of their own


def can_fuse(model: O1Transformer) -> bool:
    """Whether this machine and this shape have what the kernels need."""
    half = model.config.head_dim // 2
    return (
        model.device.type == "cuda"
        and model.dtype == torch.bfloat16
        and half & (half - 1) == 0
        and half >= 16
        and importlib.util.find_spec("triton") is not None
    )


class FusedBlocks:
    """The blocks of one model, as one function of tensors."""

    def __init__(self, model: O1Transformer, *, accumulate: bool = True, whole_tiles: bool | None = None) -> None:
        from hidream_studio.model import kernels

        self._kernels = kernels
        self._config = model.config
        self._blocks = [block for block in model.blocks if isinstance(block, Block)]
        self._fp8 = isinstance(self._blocks[0].gate_up, Fp8Linear)
        self._accumulate = accumulate and not self._fp8  # the residual sum inside the matrix product
        if whole_tiles is None:  # measured there alone
            whole_tiles = torch.cuda.get_device_capability(model.device) == (9, 0)
        self._whole_tiles = whole_tiles

    def __call__(
        self,
        x: Tensor,  # (B, S, hidden), is overwritten
        cos: Tensor,  # (B, S, 1, head_dim)
        sin: Tensor,
        prefixes: Sequence[TextPrefix],  # B of one prompt each
    ) -> Tensor:  # (B, S, hidden)
        shape = x.shape
        cos, sin = cos.contiguous(), sin.contiguous()
        stream = x.reshape(-1, shape[-1])
        delta = None
        with torch.cuda.device_of(x):
            for layer, block in enumerate(self._blocks):
                texts = [(prefix.keys[layer][0], prefix.values[layer][0]) for prefix in prefixes]
                delta = self._block(block, stream, delta, cos, sin, texts)
        return (stream if delta is None else stream.add_(delta)).view(shape)

    def _block(
        self,
        block: Block,
        x: Tensor,  # (B * S, hidden), is overwritten
        delta: Tensor | None,  # what x still lacks
        cos: Tensor,
        sin: Tensor,
        texts: Sequence[tuple[Tensor, Tensor]],
    ) -> Tensor | None:  # what x still lacks afterwards
        norm, eps, fp8 = self._kernels.add_rms_norm, self._config.rms_eps, self._fp8
        qkv = _product(block.attention.qkv, norm(x, delta, block.attention_norm.weight, eps, fp8=fp8))
        attended = self._attention(block, qkv, cos, sin, texts)
        delta = self._add(x, block.attention.out, self._kernels.quantise_rows(attended) if fp8 else attended)
        wide = _product(block.gate_up, norm(x, delta, block.mlp_norm.weight, eps, fp8=fp8))
        return self._add(x, block.down, self._kernels.silu_times(wide, fp8=fp8))

    def _add(self, x: Tensor, linear: nn.Module, rows: Tensor | tuple[Tensor, Tensor]) -> Tensor | None:
        """x takes the product, at once or as what this returns."""
        if self._accumulate:
            x.addmm_(rows, linear.weight.t())  # type: ignore[arg-type, operator, union-attr]
            return None
        return _product(linear, rows)

    def _attention(
        self, block: Block, qkv: Tensor, cos: Tensor, sin: Tensor, texts: Sequence[tuple[Tensor, Tensor]]
    ) -> Tensor:  # (B * S, heads * head_dim)
        c, B = self._config, len(texts)
        S = qkv.shape[0] // B
        keys = [S + text_k.shape[0] for text_k, _ in texts]  # own ones, then the text's
        q = qkv.new_empty((B, S, c.heads, c.head_dim))
        k, v = (qkv.new_empty((B, max(keys), c.kv_heads, c.head_dim)) for _ in range(2))
        norms = (block.attention.q_norm.weight, block.attention.k_norm.weight)
        for b, (mine, text) in enumerate(zip(qkv.chunk(B), texts, strict=True)):
            self._kernels.rotate_heads(
                mine, norms, (cos[b], sin[b]), text, c.rms_eps, q[b], k[b, : keys[b]], v[b, : keys[b]]
            )
        first = min(keys) // KEY_TILE * KEY_TILE if self._whole_tiles else 0
        if first == 0 or max(keys) - first > LONGEST_TAIL:
            parts = [attend(q[b : b + 1], k[b : b + 1, :K], v[b : b + 1, :K]) for b, K in enumerate(keys)]
            return (parts[0] if B == 1 else torch.cat(parts)).view(B * S, -1)
        partial, log_sum = _attend_cudnn(q, k[:, :first], v[:, :first])
        out = torch.empty_like(q)
        for b, K in enumerate(keys):
            self._kernels.finish_attention(q[b], k[b, :K], v[b, :K], first, partial[b], log_sum[b], out[b])
        return out.view(B * S, -1)


def _attend_cudnn(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:  # (B, heads, S, head_dim), (B, heads, S)
    """As `attend`, and the logarithm of each softmax's sum."""
    found = torch.ops.aten._scaled_dot_product_cudnn_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), None, True
    )
    return found[0], found[1].view(found[0].shape[:3])


def _product(linear: nn.Module, rows: Tensor | tuple[Tensor, Tensor]) -> Tensor:
    if isinstance(linear, Fp8Linear):
        assert isinstance(rows, tuple)
        return linear.product(*rows, torch.bfloat16)
    assert isinstance(linear, nn.Linear) and isinstance(rows, Tensor)
    return torch.mm(rows, linear.weight.t())
