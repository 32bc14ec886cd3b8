"""What is trained, on which sizes, and how the rates follow the clock. Plain numbers; knows no tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from random import Random

from hidream_studio.model.config import ModelConfig

NOISE_SCALE = 8.0  # upstream models/pipeline.py
PLACES_AFTER = 2  # blocks after which a patch should know where it is
OUTLINES_AFTER = 6  # and how far outlines are
PICTURES_STEP = 8  # a batch is a multiple of this many pictures


@dataclass(frozen=True)
class Recipe:
    hidden_size: int = 576
    layers: int = 9
    heads: int = 8
    mlp_size: int = 608
    rope_theta: float = 200.0  # upstream's 5e6 leaves three or four waves that tell 24 patches apart
    micro_tokens: int = 16_384  # image tokens of one forward and backward
    draws: int = 4  # noise levels at which each drawn scene is seen
    muon_rate: float = 0.02
    slow_rate: float = 1e-3  # patch embedder, final layer, timestep embedder
    fast_rate: float = 3e-3  # embeddings, norms, biases, the probes
    warm_up: float = 0.02  # shares of the time
    decay_from: float = 0.75
    fine_from: tuple[float, float] = (0.35, 0.6)  # the fine phase: where it begins, and from where it is in full
    average_from: float = 0.05
    average_keep: float = 0.999  # a step
    growth: tuple[tuple[float, int], ...] = (
        (0.0, 1),
        (0.5, 2),
    )  # from this share of the time: forwards a step
    pool_scenes: int = 131_072

    def __post_init__(self) -> None:
        if self.draws < 1 or PICTURES_STEP % self.draws:
            raise ValueError(f"draws is {self.draws}; it must divide {PICTURES_STEP}, of which batches are multiples")
        if self.layers < PLACES_AFTER:
            raise ValueError(f"layers is {self.layers}; patches are asked for their places after {PLACES_AFTER}")

    def config(self, vocabulary: int) -> ModelConfig:
        return ModelConfig(
            hidden_size=self.hidden_size, layers=self.layers, heads=self.heads, kv_heads=2, head_dim=64,
            mlp_size=self.mlp_size, vocab_size=vocabulary, rope_theta=self.rope_theta, mrope_section=(12, 10, 10),
            rms_eps=1e-6, bottleneck=self.hidden_size // 4,
        )  # fmt: skip

    def rate(self, progress: float) -> float:
        """The share of the full learning rate at `progress` (0 to 1) of the time."""
        if progress < self.warm_up:
            return max(progress / self.warm_up, 0.02)
        if progress < self.decay_from:
            return 1.0
        return max((1 - progress) / (1 - self.decay_from), 0.0)

    def fine_share(self, progress: float) -> float:
        """How far the fine phase is, 0 to 1: layout first, then clean edges.

        In it plain error counts, most levels move towards clean ones, half of them start from disturbed patches, and
        the noisiest weigh less.
        """
        start, full = self.fine_from
        return min(max((progress - start) / (full - start), 0.0), 1.0)

    def forwards(self, progress: float) -> int:
        return max(count for start, count in self.growth if max(progress, 0.0) >= start)


CONTINUED_RATE = 0.6  # of the full one, at the start of a run that goes on from a checkpoint


def continued(recipe: Recipe) -> Recipe:
    """The recipe of a run that goes on from a trained model: rates fall from the start."""
    return replace(
        recipe, muon_rate=recipe.muon_rate * CONTINUED_RATE, slow_rate=recipe.slow_rate * CONTINUED_RATE,
        fast_rate=recipe.fast_rate * CONTINUED_RATE, warm_up=0.01, decay_from=0.05, growth=((0.0, 2),),
        fine_from=(-1.0, 0.0),
    )  # fmt: skip


def changed(recipe: Recipe, wishes: list[str]) -> Recipe:
    """`recipe` with other numbers, each said as `name=value`.

    Raises
    ------
    ValueError
        naming the wish that is no whole or decimal number of the recipe, or does not fit it.
    """
    for wish in wishes:
        name, _, text = wish.partition("=")
        kind = type(getattr(recipe, name, None))
        if kind not in (int, float):
            raise ValueError(f"{wish!r}: not a number of the recipe; there are {', '.join(_numbers(recipe))}")
        try:
            number = kind(text)
        except ValueError as error:
            raise ValueError(f"{wish!r}: {name} takes a number like {getattr(recipe, name)}") from error
        recipe = replace(recipe, **{name: number})
    return recipe


def _numbers(recipe: Recipe) -> list[str]:
    return [field.name for field in fields(recipe) if isinstance(getattr(recipe, field.name), int | float)]


TINY = Recipe(
    hidden_size=128, layers=2, heads=2, mlp_size=256, micro_tokens=512, pool_scenes=2048
)  # for tests on a CPU

# (columns, rows) of patches; the profile's fixed sizes and what lies between a draft and them
NATIVE = ((16, 16), (18, 14), (14, 18), (20, 11), (11, 20), (19, 13), (13, 19), (24, 10), (10, 24))
SMALLER = (
    (8, 8),
    (12, 12),
    (10, 10),
    (12, 8),
    (8, 12),
    (10, 8),
    (8, 10),
    (14, 8),
    (8, 14),
    (14, 10),
    (10, 14),
    (14, 14),
)
WEIGHTS = {(8, 8): 20.0, (12, 12): 8.0, (16, 16): 44.0, (14, 14): 2.0}  # the presets' sizes; the others: 1
SIZES = SMALLER + NATIVE


def draw_size(random: Random, sizes: tuple[tuple[int, int], ...] = SIZES) -> tuple[int, int]:
    """Columns and rows of patches of the next batch."""
    return random.choices(sizes, [WEIGHTS.get(size, 1.0) for size in sizes])[0]


def pictures(size: tuple[int, int], micro_tokens: int) -> int:
    """How many pictures of that size make one forward: about `micro_tokens`, all draws of whole scenes."""
    return max(PICTURES_STEP, math.floor(micro_tokens / (size[0] * size[1]) / PICTURES_STEP + 0.5) * PICTURES_STEP)
