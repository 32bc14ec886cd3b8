"""All blocks of a step on a CUDA device, with nothing between their matrix products but one kernel each.

The same function as `transformer.Block`, whose arithmetic is the reference; what is rounded less often here makes it
more accurate in bf16. No size, prompt or number of branches is ever compiled for itself. Knows nothing of pictures.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from hidream_studio.model.attention import attend, backends
from hidream_studio.model.fp8 import Fp8Linear, restored, scaled_product
from hidream_studio.model.lora import NO_LORAS, BlockLoras, LowRank
from hidream_studio.model.transformer import Block, O1Transformer, TextPrefix

LEAST_CAPABILITY = (8, 0)  # bf16 in the tensor cores
KEY_TILE = 128  # cuDNN's attention on Hopper slows down by a tenth where the last tile of keys is not full
LONGEST_TAIL = 4 * KEY_TILE  # keys that the second kernel takes at most; more are worth a call of their own
QUERY_TILE = 128  # of cuDNN's attention on Hopper, which gives each processor one tile at a time
TRIAL_ROWS, TRIAL_TEXTS = 1 + 12 * 12, (9, 3)  # the least with a whole tile of keys, and a rest


def why_not_fused(model: O1Transformer) -> str | None:
    """What this machine, precision or shape lacks for these kernels; None where nothing is known to."""
    half = model.config.head_dim // 2
    if model.device.type != "cuda":
        return "they are for CUDA devices"
    if torch.version.hip is not None:
        return "they are for NVIDIA's GPUs"
    if model.dtype != torch.bfloat16:
        return "they compute in bf16 or FP8"
    if torch.cuda.get_device_capability(model.device) < LEAST_CAPABILITY:
        return f"{torch.cuda.get_device_name(model.device)} is too old for them"
    if half & (half - 1) or half < 16:
        return f"heads of {2 * half} do not suit them"
    if importlib.util.find_spec("triton") is None:
        return "Triton, in which they are written, is not installed"
    return None


def keep_kernels(folder: Path) -> None:
    """Keep compiled kernels in `folder`, over restarts and reboots, unless the environment names another place."""
    os.environ.setdefault("TRITON_CACHE_DIR", str(folder))


@dataclass(frozen=True, slots=True)
class _Matrix:
    """Of a linear layer without bias, as its product reads it."""

    weight: Tensor  # (in, out)
    scale: Tensor | None  # (1, out) float32, of FP8
    kept_only: bool = False  # in FP8, where products are in bf16

    @classmethod
    def of(cls, linear: nn.Module) -> _Matrix:
        if isinstance(linear, Fp8Linear):
            return cls(linear.weight.t(), linear.scale.t(), linear.kept_only)
        assert isinstance(linear, nn.Linear)
        return cls(linear.weight.t(), None)

    def product(self, rows: Tensor | tuple[Tensor, Tensor], change: LowRank | None = None) -> Tensor:
        """With what LoRAs add: before the matrix's own product where that can add to it, which then costs least."""
        if isinstance(rows, Tensor):
            weight = self.weight if self.scale is None else restored(self.weight, self.scale, rows.dtype)
            if change is None:
                return torch.mm(rows, weight)
            return torch.mm(change.narrow(rows), change.up).addmm_(rows, weight)
        assert self.scale is not None
        found = scaled_product(rows[0], rows[1], self.weight, self.scale, torch.bfloat16)
        return found if change is None else found.addmm_(change.narrow(rows), change.up)


@dataclass(frozen=True, slots=True)
class _Layer:
    """A block's weights, found once: looking them up takes as long as launching a kernel."""

    attention_norm: Tensor
    qkv: _Matrix
    head_norms: tuple[Tensor, Tensor]
    out: _Matrix
    mlp_norm: Tensor
    gate_up: _Matrix
    down: _Matrix

    @classmethod
    def of(cls, block: nn.Module) -> _Layer:
        assert isinstance(block, Block)
        return cls(
            block.attention_norm.weight, _Matrix.of(block.attention.qkv),
            (block.attention.q_norm.weight, block.attention.k_norm.weight), _Matrix.of(block.attention.out),
            block.mlp_norm.weight, _Matrix.of(block.gate_up), _Matrix.of(block.down),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Texts:
    """Keys and values of one layer, (1, T, kv_heads, head_dim)."""

    own: Sequence[tuple[Tensor, Tensor]]  # each branch's
    shared: tuple[Tensor, Tensor] | None  # what stands before all of them: pictures

    @classmethod
    def of(cls, prefixes: Sequence[TextPrefix], before: TextPrefix | None, layer: int) -> _Texts:
        if before is None:
            return cls([prefix.layer(layer) for prefix in prefixes], None)
        return cls([(prefix.keys[layer], prefix.values[layer]) for prefix in prefixes], before.layer(layer))


@dataclass(frozen=True, slots=True)
class _Room:
    """Where a step's attention works, layer after layer."""

    q: Tensor  # (B, S, heads, head_dim)
    k: Tensor  # (B, longest K, kv_heads, head_dim): a branch's own keys, then its text's
    v: Tensor  # as k
    keys: tuple[int, ...]  # each branch's K
    first: int  # so many keys go to cuDNN, in one call for all branches; 0: all of them, branch by branch
    alone: bool  # the tms token's query does not go with the others


class FusedBlocks:
    """The blocks of one model, as one function of tensors. The weights may still change, but not move."""

    def __init__(self, model: O1Transformer, *, accumulate: bool = True, whole_tiles: bool | None = None) -> None:
        from hidream_studio.model import kernels

        self._kernels = kernels
        self._config = model.config
        self._model = model
        self._layers: list[_Layer] = []
        self.look_again()
        kept = self._layers[0].qkv
        self._fp8 = kept.scale is not None and not kept.kept_only  # of the products
        self._accumulate = accumulate and kept.scale is None  # the residual sum inside the matrix product
        if whole_tiles is None:  # measured there alone
            whole_tiles = torch.cuda.get_device_capability(model.device) == (9, 0)
        self._whole_tiles = whole_tiles
        on_cuda = model.device.type == "cuda"
        self._processors = torch.cuda.get_device_properties(model.device).multi_processor_count if on_cuda else 1

    def forget(self) -> None:
        """Hold no weights, which are about to move."""
        self._layers = []

    def look_again(self) -> None:
        """Find the blocks' weights where they are now."""
        self._layers = [_Layer.of(block) for block in self._model.blocks]

    def __call__(
        self,
        x: Tensor,  # (B, S, hidden), is overwritten
        cos: Tensor,  # (B, S, 1, head_dim)
        sin: Tensor,
        prefixes: Sequence[TextPrefix],  # B of one prompt each
        wanted: slice | None = None,  # of the S rows; the last layer computes no others
        loras: Sequence[BlockLoras] = (),  # beside each layer, or none
    ) -> Tensor:  # (B, S or wanted, hidden)
        return self._run(self._model.in_turn(self._layers), x, cos, sin, prefixes, wanted, loras=loras)

    @torch.inference_mode()
    def try_out(self) -> None:
        """Run one layer on zeros, so that every kernel is compiled, or says why it cannot be.

        The weights need not be there yet.
        """
        c, like, n = self._config, self._layers[0].attention_norm, len(TRIAL_TEXTS)
        with backends(like.device, masked=False):
            x = like.new_zeros((n, TRIAL_ROWS, c.hidden_size))
            turn = like.new_zeros((n, TRIAL_ROWS, 1, c.head_dim))
            texts = [like.new_zeros((1, length, c.kv_heads, c.head_dim)) for length in TRIAL_TEXTS]
            prefixes = [TextPrefix((text,), (text,)) for text in texts]
            for alone in (False, True):
                self._run(self._layers[:1], x, turn, turn, prefixes, None, alone)

    def _run(
        self,
        layers: Iterable[_Layer],
        x: Tensor,
        cos: Tensor,
        sin: Tensor,
        prefixes: Sequence[TextPrefix],
        wanted: slice | None = None,
        alone: bool | None = None,  # None: as it is faster
        loras: Sequence[BlockLoras] = (),
    ) -> Tensor:
        (B, _, hidden), room = x.shape, self._room(x, [prefix.length for prefix in prefixes], alone)
        turn = cos.contiguous(), sin.contiguous()
        before = prefixes[0].before if all(prefix.before is prefixes[0].before for prefix in prefixes) else None
        stream = x.reshape(-1, hidden)
        delta = None
        with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
            for number, layer in enumerate(layers):
                texts = _Texts.of(prefixes, before, number)
                rows = wanted if number == len(self._layers) - 1 else None
                own = loras[number] if loras else NO_LORAS
                stream, delta = self._block(layer, stream, delta, turn, texts, room, rows, own)
        return (stream if delta is None else stream.add_(delta)).view(B, -1, hidden)

    def _block(
        self,
        layer: _Layer,
        x: Tensor,  # (B * S, hidden), is overwritten
        delta: Tensor | None,  # what x still lacks
        turn: tuple[Tensor, Tensor],  # cos, sin
        texts: _Texts,
        room: _Room,
        wanted: slice | None,  # of each branch's S rows
        loras: BlockLoras,
    ) -> tuple[Tensor, Tensor | None]:  # x (B * S or wanted, hidden), and what it still lacks afterwards
        kernels, eps, fp8 = self._kernels, self._config.rms_eps, self._fp8
        qkv = layer.qkv.product(kernels.add_rms_norm(x, delta, layer.attention_norm, eps, fp8=fp8), loras.qkv)
        kernels.rotate_heads(qkv, layer.head_norms, turn, texts.own, eps, room.q, room.k, room.v, texts.shared)
        del qkv
        if wanted is not None:
            x = x.view(*room.q.shape[:2], -1)[:, wanted].reshape(-1, x.shape[-1])
            room = replace(room, q=room.q[:, wanted].contiguous(), alone=False)
        attended = self._attention(room).view(x.shape[0], -1)
        delta = self._add(x, layer.out, kernels.quantise_rows(attended) if fp8 else attended, loras.out)
        wide = layer.gate_up.product(kernels.add_rms_norm(x, delta, layer.mlp_norm, eps, fp8=fp8), loras.gate_up)
        return x, self._add(x, layer.down, kernels.silu_times(wide, fp8=fp8), loras.down)

    def _add(
        self, x: Tensor, matrix: _Matrix, rows: Tensor | tuple[Tensor, Tensor], change: LowRank | None
    ) -> Tensor | None:
        """x takes the product, at once or as what this returns."""
        if self._accumulate:
            x.addmm_(rows, matrix.weight)  # type: ignore[arg-type]
            if change is not None:
                x.addmm_(change.narrow(rows), change.up)
            return None
        return matrix.product(rows, change)

    def _room(self, x: Tensor, text_lengths: Sequence[int], alone: bool | None) -> _Room:
        c, (B, S, _) = self._config, x.shape
        keys = tuple(S + length for length in text_lengths)  # own ones, then the text's
        first = min(keys) // KEY_TILE * KEY_TILE if self._whole_tiles else 0
        if max(keys) - first > LONGEST_TAIL:
            first = 0
        if alone is None:
            alone = self._waves(B, S) > self._waves(B, S - 1)
        q = x.new_empty((B, S, c.heads, c.head_dim))
        k, v = (x.new_empty((B, max(keys), c.kv_heads, c.head_dim)) for _ in range(2))
        return _Room(q, k, v, keys, first, alone)

    def _waves(self, branches: int, queries: int) -> int:
        """How often all processors of the device work on a tile of queries each."""
        tiles = -(queries // -QUERY_TILE)
        return -(branches * self._config.heads * tiles // -self._processors)

    def _attention(self, room: _Room) -> Tensor:  # (B, S, heads, head_dim) in memory
        q, k, v, first = room.q, room.k, room.v, room.first
        if first == 0:
            parts = [attend(q[b : b + 1], k[b : b + 1, :K], v[b : b + 1, :K]) for b, K in enumerate(room.keys)]
            return parts[0] if len(parts) == 1 else torch.cat(parts)
        partial, log_sum = _attend_cudnn(q[:, 1:] if room.alone else q, k[:, :first], v[:, :first])
        self._kernels.finish_attention(q, k, v, room.keys, first, partial, log_sum)
        return q


def _attend_cudnn(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:  # (B, heads, S, head_dim), (B, heads, S)
    """As `attend`, and the logarithm of each softmax's sum."""
    found = torch.ops.aten._scaled_dot_product_cudnn_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), None, True
    )
    return found[0], found[1].view(found[0].shape[:3])
