"""An endless stream of scenes with their captions: CPU processes draw them, the GPU keeps many. Knows no model.

The workers' half imports no torch, so that they start in a moment.
"""

from __future__ import annotations

import multiprocessing
import queue
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from o1_tiny.training.slips import slipped
from o1_tiny.training.tokenizer import encode
from o1_tiny.world.captions import caption
from o1_tiny.world.scenes import SCENE_VALUES, Scene, draw_scene, pack

if TYPE_CHECKING:
    from torch import Tensor, device

TEXT_TOKENS = 55  # the longest caption; with the tms token 56, a multiple of 8 as attention kernels like it
SHARD_SCENES = 2048
QUEUED_SHARDS = 24


@dataclass(frozen=True)
class Shard:
    """Scenes ready to be trained on."""

    values: npt.NDArray[np.float32]  # (scenes, SCENE_VALUES) what is drawn
    ids: npt.NDArray[np.int16]  # (scenes, TEXT_TOKENS), padded with 0
    lengths: npt.NDArray[np.int16]  # (scenes,)


def draw_shard(random: Random, tokenizer: Tokenizer, count: int = SHARD_SCENES, *, slips: bool = True) -> Shard:
    """`count` scenes by lot, each with one caption; with `slips` a few show something else than that.

    A caption that is too long is asked for in another way.
    """
    scenes: list[Scene] = [draw_scene(random) for _ in range(count)]
    ids = encode(tokenizer, [caption(scene, random).prompt for scene in scenes])
    for index, scene in enumerate(scenes):
        while len(ids[index]) > TEXT_TOKENS:
            ids[index] = encode(tokenizer, [caption(scene, random).prompt])[0]
    padded = np.zeros((count, TEXT_TOKENS), dtype=np.int16)
    for index, row in enumerate(ids):
        padded[index, : len(row)] = row
    lengths = np.array([len(row) for row in ids], dtype=np.int16)
    shown = [slipped(scene, random) for scene in scenes] if slips else scenes
    return Shard(np.stack([pack(scene) for scene in shown]), padded, lengths)


def _work(tokenizer_json: str, seed: int, shards: Any) -> None:
    random = Random(seed)
    tokenizer = Tokenizer.from_str(tokenizer_json)
    while True:
        shards.put(draw_shard(random, tokenizer))


class SceneStream:
    """Worker processes that draw shards without end."""

    def __init__(self, tokenizer: Tokenizer, seed: int, processes: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._shards: Any = context.Queue(QUEUED_SHARDS)
        text = tokenizer.to_str()
        self._processes: list[SpawnProcess] = [
            context.Process(target=_work, args=(text, seed * 1000 + index, self._shards), daemon=True)
            for index in range(processes)
        ]
        for process in self._processes:
            process.start()

    def take(self) -> Shard:
        """The next shard, waiting for it.

        Raises
        ------
        RuntimeError
            when all workers have died.
        """
        while True:
            try:
                shard: Shard = self._shards.get(timeout=2.0)
                return shard
            except queue.Empty:
                if not any(process.is_alive() for process in self._processes):
                    raise RuntimeError("all processes that draw scenes have died") from None

    def take_ready(self) -> Shard | None:
        """The next shard, if one is there."""
        try:
            ready: Shard = self._shards.get_nowait()
        except queue.Empty:
            return None
        return ready

    def close(self) -> None:
        for process in self._processes:
            process.terminate()
        self._shards.cancel_join_thread()
        self._shards.close()


class ScenePool:
    """The scenes that batches are drawn from, on the device; old ones give way to new ones in turn."""

    def __init__(self, capacity: int, device: device) -> None:
        import torch

        self.values: Tensor = torch.zeros(capacity, SCENE_VALUES, device=device)
        self.ids: Tensor = torch.zeros(capacity, TEXT_TOKENS, dtype=torch.int16, device=device)
        self.lengths: Tensor = torch.ones(capacity, dtype=torch.int16, device=device)
        self.capacity = capacity
        self.scenes_seen = 0

    def add(self, shard: Shard) -> None:
        import torch

        count = len(shard.values)
        start = self.scenes_seen % self.capacity
        if start + count > self.capacity:
            start = 0
        for store, rows in ((self.values, shard.values), (self.ids, shard.ids), (self.lengths, shard.lengths)):
            store[start : start + count].copy_(torch.from_numpy(rows))
        self.scenes_seen += count
