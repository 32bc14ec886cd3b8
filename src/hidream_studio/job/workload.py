"""How much one picture computes, counted from the model's shape. Knows nothing of seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hidream_studio.errors import CheckpointError
from hidream_studio.job.job import Job
from hidream_studio.job.sizes import PATCH_VALUES

LORA_SLOWNESS = 3.0  # a guess: their products are narrow, and wait for memory more than they compute
TEMPLATE_TOKENS = 12  # of the chat template around a prompt, boi and tms with it; a few either way cost nothing


@dataclass(frozen=True)
class ModelShape:
    """The numbers of a checkpoint's config.json that decide how much a forward computes."""

    layers: int
    hidden: int
    mlp: int
    heads: int
    kv_heads: int
    head_dim: int

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ModelShape:
        """The shape that config.json tells.

        Raises
        ------
        CheckpointError
            when a key is missing or no positive whole number; names the key.
        """
        text = config.get("text_config", config)
        keys = {
            "layers": "num_hidden_layers", "hidden": "hidden_size", "mlp": "intermediate_size",
            "heads": "num_attention_heads", "kv_heads": "num_key_value_heads", "head_dim": "head_dim",
        }  # fmt: skip
        values: dict[str, int] = {}
        for name, key in keys.items():
            value = text.get(key) if isinstance(text, Mapping) else None
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise CheckpointError(
                    f"config.json: text_config.{key} is {value!r}; it must be a positive whole number"
                )
            values[name] = value
        return cls(**values)


SHAPE_8B = ModelShape(layers=36, hidden=4096, mlp=12288, heads=32, kv_heads=8, head_dim=128)  # upstream config.json


def forward_flop(shape: ModelShape, image_tokens: int, text_tokens: int, reference_tokens: int = 0) -> float:
    """Floating-point operations of one denoising forward: image tokens and the timestep's, over the kept text.

    Linears per token, attention over `[text K/V, own K/V]` without a mask; a multiply-add is two operations. Patches of
    references run beside the target's; where there are some, the last layer's answer is computed for the target alone.
    """
    own = image_tokens + 1 + reference_tokens  # the timestep's token
    wanted = image_tokens if reference_tokens else own  # of the last layer
    seen = own + text_tokens
    in_and_out = 2 * (PATCH_VALUES * shape.hidden // 4 + shape.hidden * shape.hidden // 4 + shape.hidden * PATCH_VALUES)
    every = own * _layer_linear_flop(shape) + 4 * shape.heads * shape.head_dim * own * seen
    projected = 2 * shape.hidden * shape.head_dim * (shape.heads + 2 * shape.kv_heads)
    rest = _layer_linear_flop(shape) - projected
    last = own * projected + wanted * rest + 4 * shape.heads * shape.head_dim * wanted * seen
    return float((shape.layers - 1) * every + last + image_tokens * in_and_out)


def text_flop(shape: ModelShape, text_tokens: int) -> float:
    """Operations of the text's K/V in every layer, computed once a prompt: causal, so half the attention."""
    attention = shape.layers * 2 * shape.heads * shape.head_dim * text_tokens * text_tokens
    return float(text_tokens * shape.layers * _layer_linear_flop(shape) + attention)


def _layer_linear_flop(shape: ModelShape) -> int:
    """Per token: q, k, v and output projections, gate, up and down."""
    attention = shape.hidden * shape.head_dim * (2 * shape.heads + 2 * shape.kv_heads)
    return 2 * (attention + 3 * shape.hidden * shape.mlp)


def lora_share(shape: ModelShape, values: int) -> float:
    """How much longer a picture takes with LoRAs of so many numbers, as a share of what it takes without."""
    return LORA_SLOWNESS * 2 * values / (shape.layers * _layer_linear_flop(shape))


@dataclass(frozen=True)
class Workload:
    """What one picture asks of the machine."""

    image_tokens: int
    steps: int
    text_tokens: int  # of the prompt, with the chat template and the vision tokens of pictures
    negative_tokens: int | None = None  # of the unconditional branch; None: one forward a step
    reference_tokens: int = 0  # patches of pictures as input, which run in every forward beside the target's

    @property
    def forwards(self) -> int:
        return self.steps * (1 if self.negative_tokens is None else 2)

    def steps_flop(self, shape: ModelShape) -> float:
        branches = [self.text_tokens] if self.negative_tokens is None else [self.text_tokens, self.negative_tokens]
        return self.steps * sum(
            forward_flop(shape, self.image_tokens, tokens, self.reference_tokens) for tokens in branches
        )


def workload(
    job: Job,
    *,
    text_tokens: int | None = None,
    negative_tokens: int | None = None,
    vision_tokens: int = 0,
    reference_tokens: int = 0,
) -> Workload:
    """The job's workload. Token counts that are not known are guessed from the texts' lengths, 4 characters each.

    Those of pictures as input are of `job.references`; `text_tokens` and `negative_tokens` are without them.
    """
    text = text_tokens if text_tokens is not None else TEMPLATE_TOKENS + len(job.prompt) // 4
    negative = negative_tokens if negative_tokens is not None else TEMPLATE_TOKENS + len(job.negative_prompt or "") // 4
    return Workload(
        job.image_tokens, job.steps, text + vision_tokens, negative + vision_tokens if job.cfg else None,
        reference_tokens,
    )  # fmt: skip
