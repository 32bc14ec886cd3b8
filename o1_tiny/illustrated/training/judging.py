"""`python3 -m o1_tiny.illustrated.training.judging`: trains the judge, and tells how often it is right."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt

from o1_tiny.illustrated.edits import draw_edit
from o1_tiny.illustrated.judge import labels
from o1_tiny.illustrated.parts import FIELDS, MAX_PARTS
from o1_tiny.illustrated.places import painted
from o1_tiny.illustrated.scene import SLOTS, Scene, draw_scene

SHARD = 256
HELD_OUT_SEED = 1_000_003
EDITED_SHARE, DOUBLED_SHARE = 0.2, 0.1  # of what is trained on
GRIDS = ((8, 8), (16, 16), (12, 12), (6, 10), (10, 6), (7, 9), (9, 7), (12, 20), (20, 12))
GRID_WEIGHTS = (10, 10, 2, 1, 1, 1, 1, 1, 1)
FILE = "judge.safetensors"

Rows = tuple[npt.NDArray[np.float32], npt.NDArray[np.int32], npt.NDArray[np.float32], npt.NDArray[np.int16]]


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


def draw_rows(random: Random, count: int = SHARD, draw: Callable[[Random], Scene] = draw_true) -> Rows:
    """Parts, counts, waters and labels of `count` scenes."""
    parts, counts = np.zeros((count, MAX_PARTS, FIELDS), np.float32), np.zeros(count, np.int32)
    waters, wanted = np.zeros((count, 4), np.float32), []
    for index in range(count):
        scene = draw(random)
        canvas = painted(scene)
        parts[index, : len(canvas.rows)], counts[index], waters[index] = canvas.rows, len(canvas.rows), canvas.water
        wanted.append(labels(scene))
    return parts, counts, waters, np.array(wanted, np.int16)


def _work(seed: int, shards: Any) -> None:
    random = Random(seed)
    while True:
        shards.put(draw_rows(random))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python3 -m o1_tiny.illustrated.training.judging", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=100.0)
    parser.add_argument("--processes", type=int, default=13)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--width", type=int, default=48)
    parser.add_argument("--pool", type=int, default=16_384, help="scenes kept on the device")
    parser.add_argument("--held-out", type=int, default=2048)
    options = parser.parse_args(arguments)
    context = multiprocessing.get_context("spawn")
    shards: Any = context.Queue(32)
    workers = [context.Process(target=_work, args=(seed, shards), daemon=True) for seed in range(options.processes)]
    for worker in workers:
        worker.start()
    try:
        _train(options, shards)
    finally:
        for worker in workers:
            worker.terminate()
        shards.cancel_join_thread()
    return 0


def _train(options: argparse.Namespace, shards: Any) -> None:
    import torch
    from safetensors.torch import save_file

    from hidream_studio.model.patches import unpatchify
    from o1_tiny.illustrated.batch import draw_patches
    from o1_tiny.illustrated.judge import LABELS, Judge, loss

    torch.manual_seed(0)
    random, device = Random(0), torch.device("cuda" if torch.cuda.is_available() else "cpu")
    judge = Judge(options.width).to(device, memory_format=torch.channels_last)
    size = options.pool
    stores = (
        torch.zeros(size, MAX_PARTS, FIELDS, device=device), torch.zeros(size, dtype=torch.int32, device=device),
        torch.zeros(size, 4, device=device), torch.zeros(size, LABELS, dtype=torch.int16, device=device),
    )  # fmt: skip
    seen = 0

    def add(rows: Rows) -> None:
        nonlocal seen
        start = seen % size
        for store, values in zip(stores, rows, strict=True):
            store[start : start + len(values)].copy_(torch.from_numpy(values))
        seen += len(rows[1])

    while seen < size:
        add(shards.get())
    optimizer = torch.optim.AdamW(judge.parameters(), lr=2e-3, weight_decay=0.02, betas=(0.9, 0.98))
    averaged = torch.optim.swa_utils.AveragedModel(
        judge, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.995)
    )
    begin, step, share = time.monotonic(), 0, 0.0
    while share < 1:
        share = min((time.monotonic() - begin) / options.seconds, 1.0)
        step += 1
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(step / 100, 1.0) * min((1 - share) / 0.6 + 1e-3, 1.0)
        rows, cols = random.choices(GRIDS, GRID_WEIGHTS)[0]
        index = torch.randint(size, (options.batch,), device=device)
        with torch.no_grad():
            patches, _ = draw_patches(*stores[:3], index, rows, cols)
            pictures = unpatchify(patches, rows, cols)
            # a model's pictures are not quite clean
            pictures = pictures + 0.06 * torch.rand(len(index), 1, 1, 1, device=device) * torch.randn_like(pictures)
            pictures = pictures.contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            lost = loss(judge(pictures), stores[3][index].long())
        optimizer.zero_grad()
        lost.backward()
        torch.nn.utils.clip_grad_norm_(judge.parameters(), 1.0)
        optimizer.step()
        averaged.update_parameters(judge)
        if step % 4 == 0 and not shards.empty():
            add(shards.get())
        if step % 200 == 0:
            print(
                f"[{time.monotonic() - begin:5.1f} s] step {step} loss {float(lost):.4f}, {seen:,} scenes",
                file=sys.stderr,
                flush=True,
            )
    options.out.mkdir(parents=True, exist_ok=True)
    state = {key: value.half().contiguous() for key, value in averaged.module.state_dict().items()}
    save_file(state, options.out / FILE)
    found = {"steps": step, "scenes": seen, "seconds": options.seconds, "right": _measure(options, device)}
    (options.out / "judge.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=2))


def load_judge(path: Path, device: Any) -> Any:
    """The trained judge, in float32; its width is what the file says."""
    from safetensors.torch import load_file

    from o1_tiny.illustrated.judge import Judge

    state = load_file(path)
    judge = Judge(state["start.0.weight"].shape[0])
    judge.load_state_dict(state)
    return judge.to(device).eval().float()


def _measure(options: argparse.Namespace, device: Any) -> dict[str, dict[str, float]]:
    """Shares of right answers over scenes that were never trained on, by size."""
    import torch

    from hidream_studio.model.patches import unpatchify
    from o1_tiny.illustrated.batch import draw_patches
    from o1_tiny.illustrated.judge import right

    judge = load_judge(options.out / FILE, device)
    stores = [
        torch.from_numpy(rows).to(device) for rows in draw_rows(Random(HELD_OUT_SEED), options.held_out, draw_scene)
    ]
    found: dict[str, dict[str, float]] = {}
    for rows, cols in ((8, 8), (16, 16), (12, 20), (20, 12)):
        sums: dict[str, list[int]] = {}
        for index in torch.arange(options.held_out, device=device).split(128):
            patches, _ = draw_patches(*stores[:3], index, rows, cols)
            with torch.no_grad():
                logits = judge(unpatchify(patches, rows, cols))
            for name, (good, of) in right(logits, stores[3][index].long()).items():
                both = sums.setdefault(name, [0, 0])
                both[0], both[1] = both[0] + good, both[1] + of
        found[f"{cols * 32}x{rows * 32}"] = {name: round(good / max(of, 1), 4) for name, (good, of) in sums.items()}
    return found


if __name__ == "__main__":
    sys.exit(main())
