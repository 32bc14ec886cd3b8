"""What is trained, on which sizes, and how the rates follow the clock. Plain numbers; knows no tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from random import Random

from hidream_studio.model.config import ModelConfig

NOISE_SCALE = 8.0  # upstream models/pipeline.py
PLACES_AFTER = 2  # blocks after which a patch should know where it is
LETTERS_AFTER = 6  # and which letter it shows
PICTURES_STEP = 8  # a batch is a multiple of this many pictures
Grid = tuple[int, int]  # rows, columns of 32-px patches


@dataclass(frozen=True)
class TowerShape:
    """The vision tower's."""

    hidden: int = 96
    heads: int = 3
    depth: int = 3
    mlp: int = 192
    side: int = 8  # of the grid of learned positions
    deepstack: tuple[int, ...] = (1,)  # after which of its layers features go to the decoder's first layers


@dataclass(frozen=True)
class Recipe:
    hidden_size: int = 576
    layers: int = 10
    heads: int = 8
    mlp_size: int = 624
    rope_theta: float = 200.0  # upstream's 5e6 leaves three or four waves that tell 24 patches apart
    tower: TowerShape = TowerShape()
    micro_tokens: int = 16_384  # image tokens of one forward and backward, references among them
    draws: int = 4  # noise levels at which each drawn scene is seen
    muon_rate: float = 0.02
    slow_rate: float = 1e-3  # patch embedder, final layer, timestep embedder
    fast_rate: float = 3e-3  # embeddings, norms, biases, the vision tower, the probes
    warm_up: float = 0.015  # shares of the time
    decay_from: float = 0.72
    fine_from: tuple[float, float] = (0.35, 0.6)  # the fine phase: where it begins, and from where it is in full
    average_from: float = 0.05
    average_keep: float = 0.999  # a step
    edits_from: float = 0.06  # of the time: no edits before, a scene must be drawn before it can be changed
    edit_share: float = 0.28  # of the batches after that
    two_forwards_from: float = 0.5
    pool_scenes: int = 65_536
    pool_edits: int = 16_384

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
        """How far the fine phase is, 0 to 1: layout first, then clean edges."""
        start, full = self.fine_from
        return min(max((progress - start) / (full - start), 0.0), 1.0)

    def forwards(self, progress: float) -> int:
        return 2 if progress >= self.two_forwards_from else 1


def changed(recipe: Recipe, wishes: list[str]) -> Recipe:
    """`recipe` with other numbers, each said as `name=value`.

    Raises
    ------
    ValueError
        naming the wish that is no whole or decimal number of the recipe, or does not fit it.
    """
    numbers = [field.name for field in fields(recipe) if isinstance(getattr(recipe, field.name), int | float)]
    for wish in wishes:
        name, _, text = wish.partition("=")
        if name not in numbers:
            raise ValueError(f"{wish!r}: not a number of the recipe; there are {', '.join(numbers)}")
        kind = type(getattr(recipe, name))
        try:
            number = kind(text)
        except ValueError as error:
            raise ValueError(f"{wish!r}: {name} takes a number like {getattr(recipe, name)}") from error
        recipe = replace(recipe, **{name: number})
    return recipe


TINY = Recipe(
    hidden_size=96, layers=2, heads=2, mlp_size=128, micro_tokens=64, pool_scenes=256, pool_edits=256, draws=2,
    tower=TowerShape(hidden=32, heads=1, depth=1, mlp=32, side=4, deepstack=(0,)),
)  # for tests on a CPU  # fmt: skip


@dataclass(frozen=True)
class Mode:
    """One kind of batch: the picture's grid, and those of its references."""

    grid: Grid
    references: tuple[Grid, ...] = ()  # patches
    pictures: tuple[Grid, ...] = ()  # what the vision tower sees of each, in 32-px tokens

    @property
    def own_tokens(self) -> int:
        """Target and reference patches."""
        return self.grid[0] * self.grid[1] + sum(rows * cols for rows, cols in self.references)


VISION_SIDES = {1: 384, 2: 384}  # by the number of references; upstream models/pipeline.py
REFERENCE_SIDES = {1: (1, 1), 2: (48, 64)}  # of the picture's longer side


@dataclass(frozen=True)
class Fit:
    """How upstream fits a picture to an area: resized to `inner`, then the middle of it cut out."""

    width: int
    height: int
    inner_width: int
    inner_height: int
    left: int
    top: int


def fit(width: int, height: int, side: int) -> Fit:
    """Upstream models/utils.py `resize_pilimage`, but for halving what is more than twice too large."""
    scale = math.sqrt(side * side / (width * height))
    pairs = [
        (a, b)
        for a in (round(width * scale), math.floor(width * scale))
        for b in (round(height * scale), math.floor(height * scale))
    ]
    sizes = sorted(((a // 32 * 32, b // 32 * 32) for a, b in pairs), key=lambda size: -size[0] * size[1])
    new = next((size for size in sizes if size[0] * size[1] <= side * side), sizes[-1])
    across, down = width / new[0], height / new[1]
    if across < down:
        inner = round(height / across)
        return Fit(*new, new[0], inner, 0, (inner - new[1]) // 2)
    inner = round(width / down)
    return Fit(*new, inner, new[1], (inner - new[0]) // 2, 0)


def vision_grid(width: int, height: int, side: int) -> Grid:
    """Upstream models/utils.py `calculate_dimensions`: what the tower is shown, as rows and columns of tokens."""
    ratio = width / height
    wide = math.sqrt(side * side * ratio)
    return int(wide / ratio / 32), int(wide / 32)


def editing(grid: Grid, count: int = 1, *, same: bool = False) -> Mode:
    """A picture of that grid from `count` references of its own shape; `same`: of its own size too."""
    height, width = grid[0] * 32, grid[1] * 32
    up, down = REFERENCE_SIDES[count]
    fitted = fit(width, height, max(width, height) * up // down)
    size = (width, height) if same else (fitted.width, fitted.height)
    picture = vision_grid(*size, VISION_SIDES[count])
    return Mode(grid, ((size[1] // 32, size[0] // 32),) * count, (picture,) * count)


OBLONG = ((12, 20), (20, 12), (14, 18), (18, 14))
HALVES = ((6, 10), (10, 6), (7, 9), (9, 7))
DRAWN = {  # grids of pictures from text alone: how often
    Mode((16, 16)): 32.0, Mode((8, 8)): 16.0, Mode((12, 12)): 6.0, **{Mode(grid): 7.0 for grid in OBLONG},
        **{Mode(grid): 2.5 for grid in HALVES},
}  # fmt: skip
EDITED = {
    editing((16, 16)): 40.0, editing((8, 8)): 20.0, editing((12, 12)): 6.0, **{editing(grid): 3.0 for grid in OBLONG},
    **{editing(grid, same=True): 3.0 for grid in OBLONG}, editing((16, 16), 2): 8.0, editing((8, 8), 2): 4.0,
}  # fmt: skip
TINY_DRAWN = {Mode((2, 2)): 2.0, Mode((2, 3)): 1.0}
TINY_EDITED = {Mode((2, 2), ((2, 2),), ((1, 2),)): 2.0, Mode((2, 2), ((1, 1), (1, 1)), ((1, 1), (2, 1))): 1.0}


def draw_mode(random: Random, modes: dict[Mode, float]) -> Mode:
    return random.choices(tuple(modes), tuple(modes.values()))[0]


def batch_pictures(mode: Mode, micro_tokens: int) -> int:
    """How many pictures make one forward: about `micro_tokens`, all draws of whole scenes."""
    return max(PICTURES_STEP, math.floor(micro_tokens / mode.own_tokens / PICTURES_STEP + 0.5) * PICTURES_STEP)
