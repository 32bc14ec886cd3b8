"""The names and shapes of an O1 checkpoint's tensors, and where each goes in our modules. Knows nothing of files.

Key prefixes are upstream's (models/qwen3_vl_transformers.py). Q, K and V are three tensors there and one here, so are
gate and up: such a tensor goes to a range of rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hidream_studio.job.sizes import PATCH_VALUES
from hidream_studio.model.config import TIMESTEP_FREQUENCIES, ModelConfig, VisionConfig

MARKER_KEY = "model.final_layer2.linear.weight"  # no other Qwen3-VL checkpoint has it
BOTTLENECK_KEY = "model.x_embedder.proj1.weight"
IGNORED_PREFIX = "lm_head."  # unused here
VISION_PREFIX = "model.visual."  # for pictures as input: checked and read when the first one comes


@dataclass(frozen=True)
class Slot:
    """One tensor of a checkpoint: its key there, its parameter here, and which of that parameter's rows it fills."""

    key: str
    parameter: str
    shape: tuple[int, ...]
    first_row: int = 0


def slots(config: ModelConfig) -> Iterator[Slot]:
    """All tensors of a checkpoint of this shape, in no order that matters."""
    H, D, M = config.hidden_size, config.head_dim, config.mlp_size
    Q, KV = config.heads * D, config.kv_heads * D
    yield Slot("model.language_model.embed_tokens.weight", "embed.weight", (config.vocab_size, H))
    yield Slot("model.language_model.norm.weight", "norm.weight", (H,))
    yield Slot("model.t_embedder1.mlp.0.weight", "timestep.linear1.weight", (H, TIMESTEP_FREQUENCIES))
    yield Slot("model.t_embedder1.mlp.0.bias", "timestep.linear1.bias", (H,))
    yield Slot("model.t_embedder1.mlp.2.weight", "timestep.linear2.weight", (H, H))
    yield Slot("model.t_embedder1.mlp.2.bias", "timestep.linear2.bias", (H,))
    yield Slot(BOTTLENECK_KEY, "patch_in1.weight", (config.bottleneck, PATCH_VALUES))
    yield Slot("model.x_embedder.proj2.weight", "patch_in2.weight", (H, config.bottleneck))
    yield Slot("model.x_embedder.proj2.bias", "patch_in2.bias", (H,))
    yield Slot(MARKER_KEY, "patch_out.weight", (PATCH_VALUES, H))
    yield Slot("model.final_layer2.linear.bias", "patch_out.bias", (PATCH_VALUES,))
    for layer in range(config.layers):
        there, here = f"model.language_model.layers.{layer}.", f"blocks.{layer}."
        yield Slot(there + "input_layernorm.weight", here + "attention_norm.weight", (H,))
        yield Slot(there + "self_attn.q_proj.weight", here + "attention.qkv.weight", (Q, H))
        yield Slot(there + "self_attn.k_proj.weight", here + "attention.qkv.weight", (KV, H), Q)
        yield Slot(there + "self_attn.v_proj.weight", here + "attention.qkv.weight", (KV, H), Q + KV)
        yield Slot(there + "self_attn.o_proj.weight", here + "attention.out.weight", (H, Q))
        yield Slot(there + "self_attn.q_norm.weight", here + "attention.q_norm.weight", (D,))
        yield Slot(there + "self_attn.k_norm.weight", here + "attention.k_norm.weight", (D,))
        yield Slot(there + "post_attention_layernorm.weight", here + "mlp_norm.weight", (H,))
        yield Slot(there + "mlp.gate_proj.weight", here + "gate_up.weight", (M, H))
        yield Slot(there + "mlp.up_proj.weight", here + "gate_up.weight", (M, H), M)
        yield Slot(there + "mlp.down_proj.weight", here + "down.weight", (H, M))


def vision_slots(config: VisionConfig) -> Iterator[Slot]:
    """All tensors of a vision tower of this shape, in `VisionTower`."""
    H, M, four = config.hidden_size, config.mlp_size, config.merged_size
    V = VISION_PREFIX
    patch = (3, config.frames, config.patch_px, config.patch_px)
    yield Slot(V + "patch_embed.proj.weight", "patch_in.weight", (H, *patch))  # a convolution over one patch alone
    yield Slot(V + "patch_embed.proj.bias", "patch_in.bias", (H,))
    yield Slot(V + "pos_embed.weight", "positions.weight", (config.positions, H))
    for layer in range(config.layers):
        there, here = f"{V}blocks.{layer}.", f"blocks.{layer}."
        yield from _affine(there + "norm1", here + "attention_norm", (H,))
        yield from _affine(there + "attn.qkv", here + "qkv", (3 * H, H))
        yield from _affine(there + "attn.proj", here + "out", (H, H))
        yield from _affine(there + "norm2", here + "mlp_norm", (H,))
        yield from _affine(there + "mlp.linear_fc1", here + "up", (M, H))
        yield from _affine(there + "mlp.linear_fc2", here + "down", (H, M))
    mergers = [("merger", "merger", H)]
    mergers += [(f"deepstack_merger_list.{i}", f"deepstack.{i}", four) for i in range(len(config.deepstack_after))]
    for there, here, normed in mergers:
        yield from _affine(f"{V}{there}.norm", f"{here}.norm", (normed,))
        yield from _affine(f"{V}{there}.linear_fc1", f"{here}.linear1", (four, four))
        yield from _affine(f"{V}{there}.linear_fc2", f"{here}.linear2", (config.out_size, four))


def _affine(there: str, here: str, weight: tuple[int, ...]) -> Iterator[Slot]:
    yield Slot(there + ".weight", here + ".weight", weight)
    yield Slot(there + ".bias", here + ".bias", weight[:1])
