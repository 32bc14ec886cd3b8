"""The training loop: batches, CUDA graphs, the clock. Knows neither what a scene is nor how files are written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from torch import Tensor

from hidream_studio.model.transformer import O1Transformer
from o1_tiny.training.optim import Average, Optimizer
from o1_tiny.training.pool import ScenePool, SceneStream
from o1_tiny.training.probes import OUTLINE_WEIGHT, PLACE_WEIGHT, Probes, places
from o1_tiny.training.recipe import Recipe, draw_size, pictures
from o1_tiny.training.render import Tables, grid, outline_distances
from o1_tiny.training.team import Team
from o1_tiny.training.trainee import (
    GUIDED_WEIGHT,
    PAIRED_SHARE,
    Angles,
    Compiler,
    Dims,
    draw_sigma,
    eager,
    paired,
    parts,
    predict,
)
from o1_tiny.training.unmasked import attend_unmasked

Size = tuple[int, int]  # columns, rows of patches

AGREE_EVERY = 10  # steps; on the time, so that all processes end at the same step, and none runs ahead of its device


@dataclass(frozen=True)
class Progress:
    """What the loop tells now and then."""

    step: int
    share: float  # of the training time, 0 to 1
    elapsed_s: float
    loss: float
    image_tokens: int  # trained on so far
    pictures: int
    scenes: int  # drawn by the workers so far


class Trainer:
    """Model, optimizer, averages and one compiled, captured micro-step for each size."""

    def __init__(
        self,
        model: O1Transformer,
        recipe: Recipe,
        pool: ScenePool,
        unconditional: list[int],
        *,
        compiled: bool,
        graphs: bool,
        team: Team,
    ) -> None:
        self.model, self.recipe, self.pool, self.team = model, recipe, pool, team
        self.device = model.device
        self.graphs = graphs and self.device.type == "cuda"
        self.run = parts(_compiler() if compiled else eager)
        self.tables = Tables.on(self.device)
        self.angles = Angles(model, pool.ids.shape[1] + 8)
        self.probes = Probes(model.config.hidden_size, self.device)
        self.places: dict[Size, Tensor] = {}
        self.optimizer = _optimizer(model, self.probes)
        self.average = Average(model.parameters())
        self.loss_sum = torch.zeros((), device=self.device)
        self.fine_share = torch.zeros((), device=self.device)
        if self.device.type == "cuda":
            for block in model.blocks:
                block.attend = attend_unmasked  # type: ignore[assignment]
        row = torch.zeros(pool.ids.shape[1], dtype=torch.long)
        row[: len(unconditional)] = torch.tensor(unconditional)
        self._unconditional = row.to(self.device)
        self._unconditional_length = torch.tensor(len(unconditional), device=self.device)
        self._replays: dict[object, Callable[[], None]] = {}
        self._memory: Any = None

    def micro_step(self, size: Size) -> None:
        """One forward and backward on fresh scenes of that size; gradients add up."""
        self._replay(size, lambda: self._forward_backward(size))

    def optimizer_step(self) -> None:
        self._replay("optimizer", self.optimizer.step)

    def _replay(self, key: object, work: Callable[[], None]) -> None:
        if not self.graphs:
            work()
            return
        if key not in self._replays:
            self._replays[key] = self._capture(work, warm=key != "optimizer")
        self._replays[key]()

    def _capture(self, work: Callable[[], None], *, warm: bool) -> Callable[[], None]:
        """`work` as one CUDA graph, after two runs outside of it that compile and plan what they need."""
        if warm:
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                work()
                work()
            torch.cuda.current_stream().wait_stream(side)
            torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._memory):
            work()
        self._memory = graph.pool()
        replay: Callable[[], None] = graph.replay
        return replay

    def _forward_backward(self, size: Size) -> None:
        cols, rows = size
        draws = self.recipe.draws
        scenes = pictures(size, self.recipe.micro_tokens) // draws
        pairs = max(round(scenes * PAIRED_SHARE), 1)
        if 2 * pairs > scenes:
            raise ValueError(f"micro_tokens and draws leave {scenes} scene of {cols}x{rows} patches; it takes two")
        values, ids, mask = self._draw(scenes, pairs)
        with torch.no_grad():
            clean = self._render(values, rows, cols)
            distances = outline_distances(values, rows, cols, self.tables).flatten(2).repeat_interleave(draws, dim=0)
            sigma = paired(draw_sigma(scenes, draws, rows * cols, self.fine_share), pairs)
            noisy = paired(self.run.noise(clean, sigma, self.fine_share), pairs).flatten(0, 1)
        with self._autocast():
            t = 1 - sigma.flatten()
            inner: list[Tensor] = []
            predicted = predict(self.model, self.run, self.angles, ids, mask, noisy, t, rows, cols, draws, inner)
            if size not in self.places:
                self.places[size] = places(rows, cols, self.device)
            placed = self.run.place_loss(self.probes.places, inner[0], self.places[size])
            outlined = self.run.outline_loss(self.probes.outlines, inner[-1], distances, sigma.flatten())
        tiles = (rows, cols, 3, 32, 32)
        found = self.run.loss(predicted.view(scenes, draws, *tiles), clean.view(scenes, *tiles), sigma, self.fine_share)
        each = predicted.view(scenes, draws, rows * cols, -1)
        guided = self.run.guided_loss(each[:pairs], each[-pairs:], clean[:pairs], sigma[:pairs])
        found = found + self.fine_share * (GUIDED_WEIGHT * pairs / scenes) * guided
        found = found + PLACE_WEIGHT * placed + OUTLINE_WEIGHT * outlined
        found.backward()
        self.loss_sum += found.detach()

    def _draw(self, count: int, pairs: int) -> tuple[Tensor, Tensor, Tensor]:
        """Scene values (S, V), token ids (S, T), and which of those are a prompt's own (S, T).

        The last `pairs` scenes are the first ones again, with the unconditional prompt.
        """
        index = paired(torch.randint(self.pool.capacity, (count,), device=self.device), pairs)
        dropped = torch.arange(count, device=self.device) >= count - pairs
        ids = torch.where(dropped[:, None], self._unconditional, self.pool.ids[index].long())
        lengths = torch.where(dropped, self._unconditional_length, self.pool.lengths[index].long())
        mask = torch.arange(ids.shape[1], device=self.device) < lengths[:, None]
        return self.pool.values[index], ids, mask

    def _render(self, values: Tensor, rows: int, cols: int) -> Tensor:  # (B, N, 3072)
        x, y = grid(rows, cols, self.device)
        size = torch.zeros(3, device=self.device)
        size[0].fill_(cols * 32.0)
        size[1].fill_(rows * 32.0)
        size[2].fill_(min(cols, rows) * 32.0)
        layers = self.run.coverages(values, x, y, size, self.tables.shapes, self.tables.glyphs)
        return self.run.mix(values, layers).flatten(2)

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast("cuda", torch.bfloat16) if self.device.type == "cuda" else nullcontext()

    def warm_up(self, sizes: tuple[Size, ...], say: Callable[[str], None]) -> None:
        """Compile and capture everything, so that the training time is training."""
        for size in sizes:
            start = time.monotonic()
            self.micro_step(size)
            say(f"{size[0] * 32}x{size[1] * 32} ready in {time.monotonic() - start:.1f} s")
        self.optimizer.set_step(1, 0.0, 0.0, 0.0)
        self.optimizer_step()
        self.optimizer.forget()
        self.loss_sum.zero_()

    def train(
        self, stream: SceneStream, sizes: tuple[Size, ...], seconds: float, seed: int, *, report_every: int = 100,
        max_steps: int | None = None,
    ) -> Iterator[Progress]:  # fmt: skip
        """Train for that long, by the clock; yields every `report_every` steps and at the end."""
        random, recipe = Random(seed), self.recipe
        begin = time.monotonic()
        step = tokens = drawn = since = forwards = 0
        share = 0.0
        while share < 1 and (max_steps is None or step < max_steps):
            step += 1
            rate = recipe.rate(share)
            self.fine_share.fill_(recipe.fine_share(share))
            self.optimizer.set_step(step, recipe.muon_rate * rate, recipe.slow_rate * rate, recipe.fast_rate * rate)
            for _ in range(recipe.forwards(share)):
                size = draw_size(random, sizes)
                self.micro_step(size)
                count = pictures(size, recipe.micro_tokens)
                tokens, drawn, forwards = tokens + count * size[0] * size[1], drawn + count, forwards + 1
            self.team.sum(self.optimizer.gradient)
            self.optimizer_step()
            self._update_average(share, step)
            while (shard := stream.take_ready()) is not None:
                self.pool.add(shard)
            if step % AGREE_EVERY == 0:
                share = self.team.agree((time.monotonic() - begin) / seconds, self.device)
            if step % report_every == 0 or share >= 1:
                mean = float(self.loss_sum) / max(forwards - since, 1)
                since = forwards
                self.loss_sum.zero_()
                elapsed, count = time.monotonic() - begin, self.team.count
                seen = self.pool.scenes_seen
                yield Progress(step, share, elapsed, mean, tokens * count, drawn * count, seen * count)

    def _update_average(self, share: float, step: int) -> None:
        every = 4
        if step % every:
            return
        if share < self.recipe.average_from:
            self.average.restart()
        else:
            self.average.update(self.recipe.average_keep**every)


def _optimizer(model: O1Transformer, probes: Probes) -> Optimizer:
    c = model.config
    heads, kv = c.heads * c.head_dim, c.kv_heads * c.head_dim
    fused = {"attention.qkv": (heads, kv, kv), "gate_up": (c.mlp_size, c.mlp_size)}
    matrices, slow, fast = [], [], list(probes.parameters())
    for name, parameter in model.named_parameters():
        if name.startswith("blocks.") and parameter.ndim == 2:
            layer = name.split(".", 2)[2].removesuffix(".weight")
            matrices.append((parameter, fused.get(layer, (parameter.shape[0],))))
        elif name.startswith(("patch_in", "patch_out", "timestep")) and parameter.ndim == 2:
            slow.append(parameter)
        else:
            fast.append(parameter)
    return Optimizer(matrices, slow, fast)


def _compiler() -> Compiler:
    import torch._dynamo
    import torch.fx.experimental._config as symbolic

    symbolic.use_duck_shape = False  # equal sizes in one batch need not be equal in the next
    torch._dynamo.config.recompile_limit = 64
    torch._dynamo.config.accumulated_recompile_limit = 512

    def compiler(function: Any, dims: tuple[Dims, ...]) -> Any:
        compiled = torch.compile(function)

        def call(*arguments: Any) -> Any:
            # dynamic=True would make the weights' sizes symbolic too; so what differs is marked
            for argument, differing in zip(arguments, dims, strict=False):
                for tensor in argument if isinstance(argument, (list, tuple)) else (argument,):
                    for dim in differing:
                        torch._dynamo.maybe_mark_dynamic(tensor, dim)
            return compiled(*arguments)

        return call

    return compiler
