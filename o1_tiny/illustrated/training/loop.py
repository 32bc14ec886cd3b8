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
from o1_tiny.illustrated.batch import draw_patches
from o1_tiny.illustrated.training.layout import Layout, layout_of
from o1_tiny.illustrated.training.optim import Average, Optimizer
from o1_tiny.illustrated.training.probes import LETTER_WEIGHT, PLACE_WEIGHT, Probes, letters_seen, places
from o1_tiny.illustrated.training.recipe import Mode, Recipe, batch_pictures, draw_mode
from o1_tiny.illustrated.training.stream import SHARD, Pool, Stream
from o1_tiny.illustrated.training.tower import Tower
from o1_tiny.illustrated.training.trainee import (
    GUIDED_WEIGHT,
    PAIRED_SHARE,
    Compiler,
    Dims,
    Pictures,
    disturbed,
    draw_sigma,
    eager,
    paired,
    parts,
    predict,
    with_pictures,
)  # fmt: skip
from o1_tiny.illustrated.training.unmasked import attend_unmasked

CHECK_EVERY = 10  # steps; on the time: the host must not run far ahead of its device
FRESH_EVERY = 4  # steps between shards from the workers
DISTURBED_REFERENCES = 0.3  # of the references, those that look a little as if the model had drawn them


@dataclass(frozen=True)
class Progress:
    """What the loop tells now and then."""

    step: int
    share: float  # of the training time, 0 to 1
    elapsed_s: float
    loss: float
    edit_loss: float
    image_tokens: int  # trained on so far
    pictures: int
    scenes: int  # drawn by the workers so far


class Trainer:
    """Model, optimizer, averages and one compiled, captured micro-step for each mode."""

    def __init__(
        self, model: O1Transformer, tower: Tower, recipe: Recipe, pools: dict[str, Pool], unconditional: list[int],
        picture_ids: tuple[int, int, int], modes: tuple[Mode, ...], *, compiled: bool, graphs: bool,
    ) -> None:  # fmt: skip
        self.model, self.tower, self.recipe, self.pools = model, tower, recipe, pools
        self.device = model.device
        self.graphs = graphs and self.device.type == "cuda"
        self.run = parts(_compiler() if compiled else eager)
        text_tokens = pools["scenes"].ids.shape[1]
        self.layouts: dict[Mode, Layout] = {
            mode: layout_of(mode, model.config, tower.shape, text_tokens, picture_ids, self.device) for mode in modes
        }
        self.probes = Probes(model.config.hidden_size, self.device)
        self.places = {mode: places(*mode.grid, self.device) for mode in modes}
        if self.device.type == "cuda":
            for block in model.blocks:
                block.attend = attend_unmasked
        self.trained = [*model.parameters(), *tower.parameters()]
        self.optimizer = _optimizer(model, tower, self.probes)
        self.average = Average(self.trained)
        self.loss_sums = torch.zeros(2, device=self.device)  # of pictures from text, and of edits
        self.fine_share = torch.zeros((), device=self.device)
        row = torch.zeros(text_tokens, dtype=torch.long)
        row[: len(unconditional)] = torch.tensor(unconditional)
        self._unconditional = row.to(self.device)
        self._unconditional_length = torch.tensor(len(unconditional), device=self.device)
        self._replays: dict[object, Callable[[], None]] = {}
        self._memory: Any = None
        self.step, self.seconds, self.tokens, self.drawn = 0, 0.0, 0, 0

    def micro_step(self, mode: Mode) -> None:
        """One forward and backward on fresh rows; gradients add up."""
        self._replay(mode, lambda: self._forward_backward(mode))

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

    def _forward_backward(self, mode: Mode) -> None:
        rows, cols = mode.grid
        draws, layout, edits = self.recipe.draws, self.layouts[mode], bool(mode.references)
        pool = self.pools["edits" if edits else "scenes"]
        scenes = batch_pictures(mode, self.recipe.micro_tokens) // draws
        pairs = max(round(scenes * PAIRED_SHARE), 1)
        if 2 * pairs > scenes:
            raise ValueError(f"micro_tokens and draws leave {scenes} scene of {cols}x{rows} patches; it takes two")
        index = paired(self._draw_rows(pool, scenes, len(mode.references)), pairs)
        ids, lengths = self._prompts(pool, index, pairs, layout)
        with torch.no_grad():
            clean, care = self._picture(pool, index, 0, mode)
            pictures = self._references(pool, index, mode) if edits else None
            seen = letters_seen(pool.signs[index], pool.codes[index], rows, cols).repeat_interleave(draws, dim=0)
            sigma = paired(draw_sigma(scenes, draws, rows * cols, self.fine_share), pairs)
            noisy = paired(self.run.noise(clean, sigma, self.fine_share), pairs).flatten(0, 1)
        with self._autocast():
            inner: list[Tensor] = []
            t = 1 - sigma.flatten()
            predicted = predict(
                self.model, self.tower, self.run, layout, ids, lengths, noisy, t, pictures, draws, inner
            )
            placed = self.run.place_loss(self.probes.places, inner[0], self.places[mode])
            lettered = self.run.letter_loss(self.probes.letters, inner[-1], seen, sigma.flatten())
        tiles = (rows, cols, 3, 32, 32)
        found = self.run.loss(
            predicted.view(scenes, draws, *tiles),
            clean.view(scenes, *tiles),
            sigma,
            self.fine_share,
            care.view(scenes, rows, cols),
        )
        each = predicted.view(scenes, draws, rows * cols, -1)
        guided = self.run.guided_loss(each[:pairs], each[-pairs:], clean[:pairs], sigma[:pairs])
        total = found + self.fine_share * (GUIDED_WEIGHT * pairs / scenes) * guided
        total = total + PLACE_WEIGHT * placed + LETTER_WEIGHT * lettered
        total.backward()
        self.loss_sums[int(edits)] += found.detach()

    def _draw_rows(self, pool: Pool, count: int, references: int) -> Tensor:
        """Rows of the pool by lot, those with as many references as are asked for."""
        index = torch.randint(pool.capacity, (count,), device=self.device)
        if not references:
            return index
        start, many = (pool.two_from, SHARD - pool.two_from) if references == 2 else (0, pool.two_from)
        return index // SHARD * SHARD + start + torch.randint(many, (count,), device=self.device)

    def _prompts(self, pool: Pool, index: Tensor, pairs: int, layout: Layout) -> tuple[Tensor, Tensor]:
        """Token ids (S, T) and lengths (S,); the last `pairs` rows have the unconditional prompt."""
        dropped = torch.arange(len(index), device=self.device) >= len(index) - pairs
        ids = torch.where(dropped[:, None], self._unconditional, pool.ids[index].long())
        lengths = torch.where(dropped, self._unconditional_length, pool.lengths[index].long())
        return with_pictures(ids, layout), lengths + layout.picture_tokens

    def _picture(self, pool: Pool, index: Tensor, which: int, mode: Mode) -> tuple[Tensor, Tensor]:
        return draw_patches(pool.parts, pool.counts, pool.waters, index * pool.pictures + which, *mode.grid)

    def _references(self, pool: Pool, index: Tensor, mode: Mode) -> Pictures:
        drawn = []
        for number in range(len(mode.references)):
            picture, _ = self._picture(pool, index, 1 + number, mode)
            chance, much = torch.rand(2, len(index), 1, device=self.device).unbind()
            drawn.append(disturbed(picture, torch.where(chance < DISTURBED_REFERENCES, much, 0.0))[:, 0])
        return Pictures.of(drawn, self.layouts[mode])

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast("cuda", torch.bfloat16) if self.device.type == "cuda" else nullcontext()

    def warm_up(self, modes: tuple[Mode, ...], say: Callable[[str], None]) -> None:
        """Compile and capture everything, so that the training time is training."""
        for mode in modes:
            start = time.monotonic()
            self.micro_step(mode)
            name = f"{mode.grid[1] * 32}x{mode.grid[0] * 32} with {mode.references}"
            say(f"{name} ready in {time.monotonic() - start:.1f} s")
        self.optimizer.set_step(1, 0.0, 0.0, 0.0)
        self.optimizer_step()
        self.optimizer.forget()
        self.loss_sums.zero_()

    def train(
        self, stream: Stream, drawn: dict[Mode, float], edited: dict[Mode, float], seconds: float, until: float,
            seed: int,
        *, report_every: int = 100, max_steps: int | None = None,
    ) -> Iterator[Progress]:  # fmt: skip
        """Train up to `seconds` in all, or `until` then by the monotonic clock; yields now and then, and at the end."""
        random, recipe = Random(f"{seed} {self.step}"), self.recipe
        before, begin = self.seconds, time.monotonic()
        forwards = [0, 0]
        share, going = self.seconds / seconds, True
        while going and share < 1 and (max_steps is None or self.step < max_steps):
            self.step += 1
            rate = recipe.rate(share)
            self.fine_share.fill_(recipe.fine_share(share))
            self.optimizer.set_step(
                self.step, recipe.muon_rate * rate, recipe.slow_rate * rate, recipe.fast_rate * rate
            )
            for _ in range(recipe.forwards(share)):
                edits = share >= recipe.edits_from and random.random() < recipe.edit_share
                mode = draw_mode(random, edited if edits else drawn)
                self.micro_step(mode)
                count = batch_pictures(mode, recipe.micro_tokens)
                self.tokens, self.drawn = self.tokens + count * mode.own_tokens, self.drawn + count
                forwards[int(edits)] += 1
            self.optimizer_step()
            self._update_average(share)
            if self.step % FRESH_EVERY == 0 and (shard := stream.take_ready()) is not None:
                self.pools[shard.kind].add(shard)
            if self.step % CHECK_EVERY == 0 or max_steps is not None:
                if self.device.type == "cuda":
                    torch.cuda.synchronize()
                now = time.monotonic()
                self.seconds = before + now - begin
                share, going = self.seconds / seconds, now < until
            if self.step % report_every == 0 or share >= 1 or not going:
                losses = (self.loss_sums / torch.tensor(forwards, device=self.device).clamp(min=1)).tolist()
                forwards = [0, 0]
                self.loss_sums.zero_()
                scenes = sum(pool.rows_seen for pool in self.pools.values())
                yield Progress(self.step, share, self.seconds, *losses, self.tokens, self.drawn, scenes)

    def _update_average(self, share: float) -> None:
        every = 4
        if self.step % every:
            return
        if share < self.recipe.average_from:
            self.average.restart()
        else:
            self.average.update(self.recipe.average_keep**every)

    def state(self) -> dict[str, Any]:
        """Everything that going on later takes."""
        return {
            "weights": [weight.data for weight in (*self.trained, *self.probes.parameters())],
            "optimizer": self.optimizer.tensors(), "average": self.average.weights,
            "counts": (self.step, self.seconds, self.tokens, self.drawn),
        }  # fmt: skip

    @torch.no_grad()
    def restore(self, state: dict[str, Any]) -> None:
        own = self.state()
        for name in ("weights", "optimizer", "average"):
            for to, kept in zip(own[name], state[name], strict=True):
                to.copy_(kept)
        self.step, self.seconds, self.tokens, self.drawn = state["counts"]


def _optimizer(model: O1Transformer, tower: Tower, probes: Probes) -> Optimizer:
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
    for name, parameter in tower.named_parameters():
        (slow if parameter.ndim == 2 and not name.startswith("pos_embed") else fast).append(parameter)
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
