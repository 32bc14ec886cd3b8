"""The shape of an O1 model and of its vision tower, read from a checkpoint's config.json. Knows nothing of tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hidream_studio.errors import CheckpointError
from hidream_studio.job.workload import SHAPE_8B, ModelShape

TIMESTEP_FREQUENCIES = 256  # upstream models/qwen3_vl_transformers.py TimestepEmbedder


@dataclass(frozen=True)
class ModelConfig:
    """Everything that decides the shapes and the arithmetic of an `O1Transformer`."""

    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp_size: int
    vocab_size: int
    rope_theta: float
    mrope_section: tuple[int, int, int]  # how many rotary frequencies follow t, h, w; together head_dim / 2
    rms_eps: float
    bottleneck: int  # of the patch embedder; hidden_size / 4 in the 8B model, the weights decide

    @classmethod
    def of(cls, shape: ModelShape, **rest: Any) -> ModelConfig:
        """A configuration of that shape; `rest` are the fields that a shape does not have."""
        return cls(
            hidden_size=shape.hidden, layers=shape.layers, heads=shape.heads, kv_heads=shape.kv_heads,
            head_dim=shape.head_dim, mlp_size=shape.mlp, **rest,
        )  # fmt: skip

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ModelConfig:
        """The configuration in a checkpoint's config.json, as transformers 4.57 or 5 wrote it.

        4.57 has `rope_scaling` and `rope_theta` in `text_config`, 5 moves both into `rope_parameters`.
        `bottleneck` is set to hidden_size / 4; `open_checkpoint` replaces it by what the weights say.

        Raises
        ------
        CheckpointError
            naming the key that is missing or does not fit.
        """
        text = _mapping(values, "text_config", "")
        if "rope_parameters" in text:
            rope = _mapping(text, "rope_parameters", "text_config.")
            theta, where = _number(rope, "rope_theta", "text_config.rope_parameters."), "text_config.rope_parameters."
        else:
            rope = _mapping(text, "rope_scaling", "text_config.")
            theta, where = _number(text, "rope_theta", "text_config."), "text_config.rope_scaling."
        section = rope.get("mrope_section")
        if not (
            isinstance(section, list) and len(section) == 3 and all(isinstance(n, int) and n >= 0 for n in section)
        ):
            raise CheckpointError(f"config.json: {where}mrope_section is missing or is not three whole numbers")
        if rope.get("rope_type", "default") != "default":
            raise CheckpointError(
                f"config.json: {where}rope_type is {rope['rope_type']!r}; only 'default' is supported"
            )
        shape = ModelShape.from_config(values)
        config = cls.of(
            shape, vocab_size=_count(text, "vocab_size"), rope_theta=theta,
            mrope_section=(section[0], section[1], section[2]), rms_eps=_number(text, "rms_norm_eps", "text_config."),
            bottleneck=max(1, shape.hidden // 4),
        )  # fmt: skip
        config.check()
        return config

    def check(self) -> None:
        """Refuse shapes that cannot be computed; names the key.

        Raises
        ------
        CheckpointError
        """
        if self.head_dim % 2 or sum(self.mrope_section) != self.head_dim // 2:
            raise CheckpointError(
                f"config.json: mrope_section {list(self.mrope_section)} must add up to half of head_dim {self.head_dim}"
            )
        if 3 * max(self.mrope_section[1:]) > self.head_dim // 2:
            raise CheckpointError(
                f"config.json: mrope_section {list(self.mrope_section)} cannot be interleaved: "
                f"h and w take at most {self.head_dim // 6} frequencies each"
            )
        if self.heads % self.kv_heads:
            raise CheckpointError(
                f"config.json: num_attention_heads {self.heads} is no multiple of num_key_value_heads {self.kv_heads}"
            )

    def text_bytes_per_token(self, value_bytes: int) -> int:
        """Of a prompt's keys and values in all layers, which are kept while its picture is drawn."""
        return 2 * self.layers * self.kv_heads * self.head_dim * value_bytes

    @property
    def qkv_size(self) -> int:
        return (self.heads + 2 * self.kv_heads) * self.head_dim


CONFIG_8B = ModelConfig.of(
    SHAPE_8B, vocab_size=151936, rope_theta=5e6, mrope_section=(24, 20, 20), rms_eps=1e-6, bottleneck=1024
)


VISION_ACTIVATION = "gelu_pytorch_tanh"  # Qwen3-VL's; others are not computed


@dataclass(frozen=True)
class VisionConfig:
    """Everything that decides the shapes and the arithmetic of a `VisionTower`."""

    hidden_size: int
    layers: int
    heads: int
    mlp_size: int
    patch_px: int
    frames: int  # a still picture is repeated as often
    merge: int  # patches a side that become one token
    positions: int  # learned ones, a square grid
    deepstack_after: tuple[int, ...]  # layers whose tokens also go to the decoder's first ones, in this order
    out_size: int  # the decoder's hidden size

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> VisionConfig:
        """The tower's configuration in a checkpoint's config.json.

        Raises
        ------
        CheckpointError
            naming the key that is missing or does not fit.
        """
        vision, where = _mapping(values, "vision_config", ""), "vision_config."
        after = vision.get("deepstack_visual_indexes")
        layers = _count(vision, "depth", where)
        if not (isinstance(after, list) and all(isinstance(n, int) and 0 <= n < layers for n in after)):
            raise CheckpointError(
                f"config.json: {where}deepstack_visual_indexes is missing or does not name layers under {layers}"
            )
        if vision.get("hidden_act") != VISION_ACTIVATION or vision.get("in_channels", 3) != 3:
            raise CheckpointError(
                f"config.json: {where}hidden_act must be {VISION_ACTIVATION} and {where}in_channels 3; others are not "
                "supported"
            )
        config = cls(
            hidden_size=_count(vision, "hidden_size", where),
            layers=layers,
            heads=_count(vision, "num_heads", where),
            mlp_size=_count(vision, "intermediate_size", where),
            patch_px=_count(vision, "patch_size", where),
            frames=_count(vision, "temporal_patch_size", where),
            merge=_count(vision, "spatial_merge_size", where),
            positions=_count(vision, "num_position_embeddings", where),
            deepstack_after=tuple(after),
            out_size=_count(vision, "out_hidden_size", where),
        )
        if config.hidden_size % (4 * config.heads) or math.isqrt(config.positions) ** 2 != config.positions:
            raise CheckpointError(
                f"config.json: {where}hidden_size {config.hidden_size} must be a multiple of 4 × {config.heads} heads, "
                f"and num_position_embeddings {config.positions} a square"
            )
        return config

    @property
    def patch_values(self) -> int:
        return 3 * self.frames * self.patch_px * self.patch_px

    @property
    def merged_size(self) -> int:
        return self.merge * self.merge * self.hidden_size


VISION_8B = VisionConfig(
    hidden_size=1152, layers=27, heads=16, mlp_size=4304, patch_px=16, frames=2, merge=2, positions=2304,
    deepstack_after=(8, 16, 24), out_size=4096,
)  # fmt: skip


def _mapping(values: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    found = values.get(key)
    if not isinstance(found, Mapping):
        raise CheckpointError(f"config.json: {where}{key} is missing or is not an object")
    return found


def _number(values: Mapping[str, Any], key: str, where: str) -> float:
    found = values.get(key)
    if isinstance(found, bool) or not isinstance(found, int | float) or not found > 0:
        raise CheckpointError(f"config.json: {where}{key} is missing or is not a positive number")
    return float(found)


def _count(values: Mapping[str, Any], key: str, where: str = "text_config.") -> int:
    found = values.get(key)
    if isinstance(found, bool) or not isinstance(found, int) or found < 1:
        raise CheckpointError(f"config.json: {where}{key} is missing or is not a positive whole number")
    return found
