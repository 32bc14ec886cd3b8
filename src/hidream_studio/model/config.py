"""The shape of an O1 model, read from a checkpoint's config.json. Knows nothing of tensors."""

from __future__ import annotations

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

    @property
    def qkv_size(self) -> int:
        return (self.heads + 2 * self.kv_heads) * self.head_dim


CONFIG_8B = ModelConfig.of(
    SHAPE_8B, vocab_size=151936, rope_theta=5e6, mrope_section=(24, 20, 20), rms_eps=1e-6, bottleneck=1024
)


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


def _count(text: Mapping[str, Any], key: str) -> int:
    found = text.get(key)
    if isinstance(found, bool) or not isinstance(found, int) or found < 1:
        raise CheckpointError(f"config.json: text_config.{key} is missing or is not a positive whole number")
    return found
