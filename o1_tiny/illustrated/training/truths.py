"""True scenes and their labels for the judge: CPU processes draw them without end, the device keeps many.

The workers' half imports no torch, so that they start in a moment; they write into memory that all share, so that the
process that trains moves no bytes itself.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt

from o1_tiny.illustrated.answers import LABELS, labels
from o1_tiny.illustrated.edits import draw_edit
from o1_tiny.illustrated.parts import FIELDS, MAX_PARTS
from o1_tiny.illustrated.places import painted
from o1_tiny.illustrated.scene import SLOTS, Scene, draw_scene

SHARD = 128  # scenes that change hands at once
SHELVES = 48  # shards that are drawn or on their way
EDITED_SHARE, DOUBLED_SHARE = 0.2, 0.1  # of what is trained on
FIELD_SHAPES: tuple[tuple[tuple[int, ...], Any], ...] = (  # of a scene
    ((MAX_PARTS, FIELDS), np.float32),
    ((), np.int32),  # how many parts
    ((4,), np.float32),  # its water
    ((LABELS,), np.int16),
    ((4,), np.float32),  # where its letters are: x, y, y offset, grid unit
)
Rows = tuple[npt.NDArray[Any], ...]  # of many scenes, as FIELD_SHAPES


def draw_true(random: Random) -> Scene:
    """A scene by lot, now and then one that only an edit leads to, or one with a thing once more than usual."""
    chance = random.random()
    if chance < EDITED_SHARE:
        return draw_edit(random).after
    scene = draw_scene(random)
    free = [slot for slot in SLOTS if slot not in {thing.slot for thing in scene.things}]
    if chance < EDITED_SHARE + DOUBLED_SHARE and scene.things and free and scene.place != "poster":
        again = replace(random.choice(scene.things), slot=random.choice(free), near=random.random() < 0.5)
        scene = replace(scene, things=(*scene.things, again))
    return scene


def empty_rows(count: int) -> Rows:
    return tuple(np.zeros((count, *shape), kind) for shape, kind in FIELD_SHAPES)


def fill(rows: Rows, random: Random, draw: Callable[[Random], Scene] = draw_true) -> Rows:
    """`rows`, with other scenes; parts beyond a scene's count are left as they are."""
    parts, counts, waters, wanted, signs = rows
    for index in range(len(counts)):
        scene = draw(random)
        canvas = painted(scene)
        count = len(canvas.rows)
        parts[index, :count], counts[index], waters[index], wanted[index] = (
            canvas.rows, count, canvas.water, labels(scene),
        )  # fmt: skip
        signs[index] = canvas.letters[0] if canvas.letters else 0.0
    return rows


def _shelves(memory: Any) -> list[Rows]:
    """The shared memory as SHELVES shards."""
    found, start = [], 0
    for _ in range(SHELVES):
        fields = []
        for shape, kind in FIELD_SHAPES:
            field = np.ndarray((SHARD, *shape), kind, memory, start)
            start += field.nbytes
            fields.append(field)
        found.append(tuple(fields))
    return found


def _work(seed: int, memory: Any, empty: Any, full: Any) -> None:
    random, shelves = Random(seed), _shelves(memory)
    while True:
        number = empty.get()
        fill(shelves[number], random)
        full.put(number)


class Truths:
    """Worker processes, and the shelves that they fill."""

    def __init__(self, processes: int, seed: int = 0) -> None:
        context = multiprocessing.get_context("spawn")
        size = SHELVES * sum(rows.nbytes for rows in empty_rows(SHARD))
        memory: Any = context.RawArray("b", size)
        self.shelves = _shelves(memory)
        self._empty, self._full = context.SimpleQueue(), context.SimpleQueue()
        for number in range(SHELVES):
            self._empty.put(number)
        self._processes = [
            context.Process(target=_work, args=(seed * 1000 + index, memory, self._empty, self._full), daemon=True)
            for index in range(processes)
        ]
        for process in self._processes:
            process.start()

    def take(self, *, wait: bool = False) -> int | None:
        """The number of a full shelf; None where none is full and `wait` is false.

        Raises
        ------
        RuntimeError
            when all workers have died.
        """
        while self._full.empty():
            if not wait:
                return None
            if not any(process.is_alive() for process in self._processes):
                raise RuntimeError("all processes that draw scenes have died")
            time.sleep(0.002)
        number: int = self._full.get()
        return number

    def give_back(self, number: int) -> None:
        self._empty.put(number)

    def close(self) -> None:
        for process in self._processes:
            process.terminate()


class Pool:
    """The scenes that batches are drawn from, on the device; old ones give way to new ones in turn."""

    def __init__(self, truths: Truths, capacity: int, device: Any) -> None:
        import torch

        if capacity % SHARD:
            raise ValueError(f"the pool is to hold {capacity} scenes; it must be a multiple of {SHARD}")
        self.truths, self.capacity, self.seen = truths, capacity, 0
        self.stores = tuple(torch.from_numpy(rows).to(device) for rows in empty_rows(capacity))
        self.parts, self.counts, self.waters, self.wanted, self.signs = self.stores
        while self.seen < capacity:
            self._add(truths.take(wait=True))

    def refresh(self, most: int) -> None:
        """Take up to `most` shards, if there are so many."""
        for _ in range(most):
            number = self.truths.take()
            if number is None:
                return
            self._add(number)

    def _add(self, number: Any) -> None:
        import torch

        start = self.seen % self.capacity
        for store, field in zip(self.stores, self.truths.shelves[number], strict=True):
            rows = torch.from_numpy(field)
            # from pinned memory the device copies while the host goes on
            store[start : start + SHARD].copy_(rows.pin_memory() if store.is_cuda else rows, non_blocking=True)
        self.truths.give_back(number)
        self.seen += SHARD
