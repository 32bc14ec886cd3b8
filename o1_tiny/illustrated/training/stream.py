"""An endless stream of scenes and edits: CPU processes draw them, the device keeps many. Knows no model.

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

from o1_tiny.illustrated.captions import caption
from o1_tiny.illustrated.edits import draw_edit
from o1_tiny.illustrated.letters import CHARACTERS
from o1_tiny.illustrated.parts import FIELDS, MAX_PARTS
from o1_tiny.illustrated.places import painted
from o1_tiny.illustrated.scene import MOST_LETTERS, Scene, draw_scene
from o1_tiny.illustrated.training.tokenizer import encode

if TYPE_CHECKING:
    from torch import Tensor, device

TEXT_TOKENS = 63  # the longest caption; with the tms token 64, a multiple of 8 as attention kernels like it
SHARD = 256
QUEUED_SHARDS = 48
EDIT_SHARDS = 0.3  # of all shards
TWO_SHARE = 0.12  # of the edits in a shard; they fill the back of it
PICTURES = {"scenes": 1, "edits": 3}  # of a row: what is drawn, then up to two references


@dataclass(frozen=True)
class Shard:
    """Rows ready to be trained on, each one picture, or one picture and its references."""

    kind: str
    parts: npt.NDArray[np.float32]  # (all parts, FIELDS), picture after picture
    counts: npt.NDArray[np.int32]  # (rows, pictures)
    waters: npt.NDArray[np.float32]  # (rows, pictures, 4)
    ids: npt.NDArray[np.int16]  # (rows, TEXT_TOKENS), padded with 0
    lengths: npt.NDArray[np.int16]  # (rows,)
    signs: npt.NDArray[np.float32]  # (rows, 4): of the first picture, see probes.letters_seen
    codes: npt.NDArray[np.int16]  # (rows, MOST_LETTERS)


def draw_shard(kind: str, random: Random, tokenizer: Tokenizer, count: int = SHARD) -> Shard:
    """`count` rows by lot; a prompt that is too long is asked for in another way."""
    rows: list[tuple[str, list[Scene]]] = []
    two_from = count - round(count * TWO_SHARE)
    while len(rows) < count:
        if kind == "scenes":
            scene = draw_scene(random)
            prompt, scenes = caption(scene, random).prompt, [scene]
        else:
            edit = draw_edit(random, "two" if len(rows) >= two_from else "")
            prompt, scenes = edit.prompt, [edit.after, *edit.references]
        if len(encode(tokenizer, [prompt])[0]) <= TEXT_TOKENS:
            rows.append((prompt, scenes))
    return _packed(kind, rows, tokenizer)


def _packed(kind: str, rows: list[tuple[str, list[Scene]]], tokenizer: Tokenizer) -> Shard:
    count, pictures = len(rows), PICTURES[kind]
    counts, waters = np.zeros((count, pictures), np.int32), np.zeros((count, pictures, 4), np.float32)
    signs, codes = np.zeros((count, 4), np.float32), np.zeros((count, MOST_LETTERS), np.int16)
    ids, lengths, parts = np.zeros((count, TEXT_TOKENS), np.int16), np.zeros(count, np.int16), []
    for index, (row, (_, scenes)) in enumerate(
        zip(encode(tokenizer, [prompt for prompt, _ in rows]), rows, strict=True)
    ):
        ids[index, : len(row)], lengths[index] = row, len(row)
        for number, scene in enumerate(scenes):
            canvas = painted(scene)
            parts.append(np.array(canvas.rows, np.float32))
            counts[index, number], waters[index, number] = len(canvas.rows), canvas.water
            if number == 0 and canvas.letters and scene.sign:
                signs[index] = canvas.letters[0]
                codes[index, : len(scene.sign.text)] = [1 + CHARACTERS.index(letter) for letter in scene.sign.text]
    return Shard(kind, np.concatenate(parts), counts, waters, ids, lengths, signs, codes)


def _work(tokenizer_json: str, seed: int, shards: Any) -> None:
    random = Random(seed)
    tokenizer = Tokenizer.from_str(tokenizer_json)
    while True:
        shards.put(draw_shard("edits" if random.random() < EDIT_SHARDS else "scenes", random, tokenizer))


class Stream:
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


class Pool:
    """The rows that batches are drawn from, on the device; old ones give way to new ones in turn."""

    def __init__(self, kind: str, capacity: int, device: device) -> None:
        import torch

        pictures = PICTURES[kind]
        self.kind, self.capacity, self.pictures, self.rows_seen = kind, capacity, pictures, 0
        self.parts: Tensor = torch.zeros(capacity * pictures, MAX_PARTS, FIELDS, device=device)
        self.counts: Tensor = torch.zeros(capacity * pictures, dtype=torch.int32, device=device)
        self.waters: Tensor = torch.zeros(capacity * pictures, 4, device=device)
        self.ids: Tensor = torch.zeros(capacity, TEXT_TOKENS, dtype=torch.int16, device=device)
        self.lengths: Tensor = torch.ones(capacity, dtype=torch.int16, device=device)
        self.signs: Tensor = torch.zeros(capacity, 4, device=device)
        self.codes: Tensor = torch.zeros(capacity, MOST_LETTERS, dtype=torch.int16, device=device)

    @property
    def two_from(self) -> int:
        """Of each run of SHARD rows, the first one that has two references."""
        return SHARD - round(SHARD * TWO_SHARE)

    def add(self, shard: Shard) -> None:
        """`shard` in the place of the oldest rows; its size divides the capacity."""
        import torch

        count = len(shard.ids)
        start = self.rows_seen % self.capacity
        for store, rows in (
            (self.ids, shard.ids),
            (self.lengths, shard.lengths),
            (self.signs, shard.signs),
            (self.codes, shard.codes),
        ):
            store[start : start + count].copy_(torch.from_numpy(rows))
        first, last = start * self.pictures, (start + count) * self.pictures
        counts = torch.from_numpy(shard.counts).flatten()
        self.waters[first:last].copy_(torch.from_numpy(shard.waters).flatten(0, 1))
        self.counts[first:last].copy_(counts)
        picture = torch.arange(first, last).repeat_interleave(counts.long())
        ends = counts.cumsum(0)
        within = torch.arange(len(picture)) - (ends - counts).repeat_interleave(counts.long())
        device = self.parts.device
        self.parts[picture.to(device), within.to(device)] = torch.from_numpy(shard.parts).to(device)
        self.rows_seen += count
