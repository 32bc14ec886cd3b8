"""`python3 -m o1_tiny.illustrated.training.judging`: trains the judge, and tells how often it is right."""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

from o1_tiny.illustrated.scene import draw_scene
from o1_tiny.illustrated.training.truths import Pool, Truths, empty_rows, fill

HELD_OUT_SEED = 1_000_003
GRIDS = ((8, 8), (16, 16), (12, 12), (6, 10), (10, 6), (7, 9), (9, 7), (12, 20), (20, 12))
GRID_WEIGHTS = (14, 8, 2, 1, 1, 1, 1, 1, 1)
RATE, WARM_UP, LOOKING = 2e-3, 150, 0.5  # steps; weight of the loss that tells where letters are
AVERAGE_KEEP = 0.995  # a step
MOST_NOISE = 0.06
MOST_SHARDS = 4  # taken from the workers in one step
FILE = "judge.safetensors"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python3 -m o1_tiny.illustrated.training.judging", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--processes", type=int, default=14)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--width", type=int, default=48)
    parser.add_argument("--pool", type=int, default=65_536, help="scenes kept on the device")
    parser.add_argument("--held-out", type=int, default=4096)
    parser.add_argument(
        "--report-every", type=int, default=200, help="steps between lines that tell what it has learnt"
    )
    options = parser.parse_args(arguments)
    begin = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - begin:5.1f} s] {text}", file=sys.stderr, flush=True)

    truths = Truths(options.processes)  # they start to draw while torch is imported
    try:
        found = _train(options, truths, say)
    finally:
        truths.close()
    found["right"] = measure(options.out / FILE, options.held_out)
    (options.out / "judge.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=2))
    return 0


def _train(options: argparse.Namespace, truths: Truths, say: Any) -> dict[str, Any]:
    import torch

    from o1_tiny.illustrated.judge import Judge, looking_loss, loss, right

    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True  # there are few sizes
    random, device = Random(0), torch.device("cuda" if torch.cuda.is_available() else "cpu")
    judge = Judge(options.width).to(device, memory_format=torch.channels_last)
    pool = Pool(truths, options.pool, device)
    say(f"{pool.seen:,} scenes")
    optimizer = torch.optim.AdamW(
        judge.parameters(), lr=RATE, weight_decay=0.02, betas=(0.9, 0.98), fused=device.type == "cuda"
    )
    averaged = copy.deepcopy(judge)
    weights, averages = list(judge.parameters()), list(averaged.parameters())
    begin, step, share = time.monotonic(), 0, 0.0
    while share < 1:
        share = min((time.monotonic() - begin) / options.seconds, 1.0)
        step += 1
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(step / WARM_UP, 1.0) * min((1 - share) / 0.7 + 1e-3, 1.0)
        pictures, index = _batch(pool, options.batch, random.choices(GRIDS, GRID_WEIGHTS)[0])
        wanted = pool.wanted[index].long()
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            logits, looks = judge.both(pictures)
        lost = loss(logits, wanted) + LOOKING * looking_loss(looks, pool.signs[index], wanted, *pictures.shape[-2:])
        optimizer.zero_grad()
        lost.backward()
        torch.nn.utils.clip_grad_norm_(judge.parameters(), 5.0)
        optimizer.step()
        with torch.no_grad():  # without a look at a tensor's value, so that the host need not wait for the device
            torch._foreach_lerp_(averages, weights, max(1 - AVERAGE_KEEP, 1 / step))
        pool.refresh(MOST_SHARDS)
        if step % options.report_every == 0:
            shares = {name: good / max(of, 1) for name, (good, of) in right(logits.detach(), wanted).items()}
            told = ", ".join(f"{name} {value:.3f}" for name, value in shares.items())
            say(f"step {step} loss {lost.item():.3f}, {pool.seen:,} scenes; right: {told}")
    options.out.mkdir(parents=True, exist_ok=True)
    for average, value in zip(averaged.buffers(), judge.buffers(), strict=True):
        average.copy_(value)
    save_judge(averaged, options.out / FILE)
    return {"steps": step, "pictures": step * options.batch, "scenes": pool.seen, "seconds": options.seconds}


def _batch(pool: Pool, count: int, grid: tuple[int, int]) -> tuple[Any, Any]:
    """Pictures by lot, in [-1, 1] and not quite clean, as a model's are not; and which scenes they are."""
    import torch

    from hidream_studio.model.patches import unpatchify
    from o1_tiny.illustrated.batch import draw_patches
    from o1_tiny.illustrated.judge import looked_at

    device = pool.parts.device
    index = torch.randint(pool.capacity, (count,), device=device)
    patches, _ = draw_patches(pool.parts, pool.counts, pool.waters, index, *grid)
    pictures = looked_at(unpatchify(patches, *grid))
    noise = MOST_NOISE * torch.rand(count, 1, 1, 1, device=device)
    pictures = torch.addcmul(pictures, noise, torch.randn_like(pictures))
    return pictures, index


def save_judge(judge: Any, path: Path) -> None:
    from safetensors.torch import save_file

    # how many batches the norms have seen is not needed: torch fills it in
    decimals = {key: value for key, value in judge.state_dict().items() if value.is_floating_point()}
    save_file({key: value.half().contiguous() for key, value in decimals.items()}, path)


def load_judge(path: Path, device: Any) -> Any:
    """The trained judge, in float32; its width is what the file says."""
    from safetensors.torch import load_file

    from o1_tiny.illustrated.judge import Judge

    state = load_file(path)
    judge = Judge(len(state["start.0.weight"]))
    judge.load_state_dict(state)
    return judge.to(device).eval().float()


def measure(path: Path, count: int) -> dict[str, dict[str, float]]:
    """Shares of right answers over `count` scenes that were never trained on, by size."""
    import torch

    from hidream_studio.model.patches import unpatchify
    from o1_tiny.illustrated.batch import draw_patches
    from o1_tiny.illustrated.judge import right

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    judge = load_judge(path, device)
    rows = fill(empty_rows(count), Random(HELD_OUT_SEED), draw_scene)
    parts, counts, waters, wanted, _ = (torch.from_numpy(field).to(device) for field in rows)
    found: dict[str, dict[str, float]] = {}
    for grid in ((8, 8), (16, 16), (12, 20), (20, 12)):
        sums: dict[str, list[int]] = {}
        for index in torch.arange(count, device=device).split(128):
            patches, _ = draw_patches(parts, counts, waters, index, *grid)
            with torch.no_grad():
                logits = judge(unpatchify(patches, *grid))
            for name, (good, of) in right(logits, wanted[index].long()).items():
                both = sums.setdefault(name, [0, 0])
                both[0], both[1] = both[0] + good, both[1] + of
        found[f"{grid[1] * 32}x{grid[0] * 32}"] = {
            name: round(good / max(of, 1), 4) for name, (good, of) in sums.items()
        }
    return found


if __name__ == "__main__":
    sys.exit(main())
