"""What FP8 loses on a trained model: the same held-out prompts and noise in several precisions, judged by adherence.

    python benchmarks/fp8_loss.py [--checkpoint DIR] [--count 64] [--side 512] [--steps 50] [--guidance 2]
                                  [--precisions fp32 bf16 fp8] [--classes one two …] [--json OUT.json]

Random weights exaggerate FP8's error; the embedded model's do not. Weights and activations of its blocks are quantised
as in `model/fp8.py`: by the tensor cores on a GPU that has FP8, by the same arithmetic in software on a CPU. Every
precision is compared with the one before it: so the step from float32 to bf16 stands beside that from bf16 to FP8.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from hidream_studio.job.profiles import read_profile
from hidream_studio.job.sizes import PATCH_PX
from hidream_studio.model.checkpoint import open_checkpoint
from hidream_studio.model.patches import patchify, to_uint8
from hidream_studio.model.tokens import UNCONDITIONAL_PROMPT, PromptTokenizer
from hidream_studio.model.transformer import O1Transformer
from hidream_studio.model.weights import load_model
from hidream_studio.sampler.denoise import denoise, make_solver
from hidream_studio.sampler.noise import initial_noise
from hidream_studio.sampler.schedules import full_schedule
from hidream_studio.settings import EMBEDDED_CHECKPOINT
from o1_tiny.adherence import check
from o1_tiny.world.captions import Asked
from o1_tiny.world.prompts import CLASSES, held_out

Pixels = npt.NDArray[np.uint8]  # (side, side, 3)

RECIPE = read_profile(EMBEDDED_CHECKPOINT / "profile.json").recipes["full"]
MAX_BATCH_TOKENS = 32_768  # of one forward, on a GPU
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp8": torch.bfloat16}


@torch.inference_mode()
def draw(model: O1Transformer, texts: Sequence[list[int]], seeds: Sequence[int], options: Any) -> list[Pixels]:
    """One picture of each prompt; the last text is the unconditional one."""
    side = options.side // PATCH_PX
    noise = [initial_noise(seed, options.side, options.side, RECIPE.noise_scale, "upstream", ()) for seed in seeds]
    z = torch.cat([patchify(one) for one in noise]).to(model.device)
    both = [*texts[:-1], *([texts[-1]] * len(seeds))]
    length = max(map(len, both))
    length += -(length + 1 + side * side) % 8  # keys a multiple of 8, as masked attention likes it
    ids = torch.stack([F.pad(torch.tensor(text), (0, length - len(text))) for text in both]).to(model.device)
    mask = torch.arange(length, device=model.device) < torch.tensor([[len(text)] for text in both]).to(model.device)
    prefix = model.encode_text(ids)

    def predict(z: Tensor, t: Tensor) -> Sequence[Tensor]:
        return model(z.repeat(2, 1, 1), t.expand(len(both)), prefix, side, side, mask).chunk(2)

    schedule = full_schedule(options.steps, RECIPE.shift)
    solver = make_solver(RECIPE.sampler, schedule, noise_scale=RECIPE.noise_scale, seed=0, like=z)
    for state in denoise(predict, z, schedule, solver, options.guidance):
        z = state.z
    return [to_uint8(one[None], side, side) for one in z]


def pictures(precision: str, asked: Sequence[Asked], options: Any) -> list[Pixels]:
    """Of all prompts in one precision; prompt i has seed i."""
    dtype = DTYPES[precision]
    model = load_model(open_checkpoint(str(options.checkpoint)), options.device, dtype, fp8=precision == "fp8")
    tokenizer = PromptTokenizer(options.checkpoint)
    texts = [tokenizer.encode(one.prompt)[:-1] for one in asked]
    empty = tokenizer.encode(UNCONDITIONAL_PROMPT)[:-1]
    batch = max(1, MAX_BATCH_TOKENS // 2 // (options.side // PATCH_PX) ** 2)
    found: list[Pixels] = []
    begun_s = time.perf_counter()
    for first in range(0, len(asked), batch):
        seeds = range(first, min(first + batch, len(asked)))
        found += draw(model, [*(texts[seed] for seed in seeds), empty], seeds, options)
    print(f"{precision}: {len(found)} pictures in {time.perf_counter() - begun_s:.1f} s", file=sys.stderr, flush=True)
    return found


def right(picture: Pixels, asked: Asked) -> bool:
    return check(picture, asked).right


def difference(one: Pixels, other: Pixels) -> float:
    """The mean absolute difference, in levels of 0 to 255."""
    return float(np.abs(one.astype(np.float32) - other.astype(np.float32)).mean())


def compare(before: Sequence[bool], after: Sequence[bool], levels: Sequence[float]) -> dict[str, float]:
    """What changed from one precision to the next."""
    return {
        "lost": sum(a and not b for a, b in zip(before, after, strict=True)),
        "gained": sum(b and not a for a, b in zip(before, after, strict=True)),
        "mean_levels": float(np.mean(levels)),
    }


def options_of(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, default=EMBEDDED_CHECKPOINT)
    parser.add_argument("--count", type=int, default=64, help="prompts of each class (64)")
    parser.add_argument("--classes", nargs="+", choices=CLASSES, default=list(CLASSES))
    parser.add_argument("--precisions", nargs="+", choices=list(DTYPES), default=["fp32", "bf16", "fp8"])
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--guidance", type=float, default=RECIPE.guidance_scale, help="above 1")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    options = options_of(argv)
    asked = [one for which in options.classes for one in held_out(which, options.count)]
    drawn = {precision: pictures(precision, asked, options) for precision in options.precisions}
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # of each process that judges
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as judges:
        verdicts = {name: list(judges.map(right, found, asked, chunksize=8)) for name, found in drawn.items()}
    rows = []
    for number, which in enumerate([*options.classes, "all"]):
        part = slice(number * options.count, (number + 1) * options.count) if which != "all" else slice(None)
        row: dict[str, Any] = {"class": which, "right": {name: float(np.mean(v[part])) for name, v in verdicts.items()}}
        for one, other in pairwise(options.precisions):
            levels = [difference(a, b) for a, b in zip(drawn[one][part], drawn[other][part], strict=True)]
            row[f"{one} to {other}"] = compare(verdicts[one][part], verdicts[other][part], levels)
        rows.append(row)
    tell(rows, options)
    if options.json:
        options.json.write_text(json.dumps({**facts(options), "rows": rows}, indent=1) + "\n")
    return 0


def tell(rows: Sequence[dict[str, Any]], options: Any) -> None:
    steps = [f"{one} to {other}" for one, other in pairwise(options.precisions)]
    print("| class | " + " | ".join([*options.precisions, *(f"{step}: lost, gained, levels" for step in steps)]) + " |")
    print("|---|" + "---|" * (len(options.precisions) + len(steps)))
    for row in rows:
        shares = [f"{row['right'][name]:.3f}" for name in options.precisions]
        changes = [f"{row[step]['lost']}, {row[step]['gained']}, {row[step]['mean_levels']:.2f}" for step in steps]
        print("| " + " | ".join([row["class"], *shares, *changes]) + " |")


def facts(options: Any) -> dict[str, Any]:
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
    on_cuda = options.device.startswith("cuda")
    return {
        "commit": commit, "device": torch.cuda.get_device_name() if on_cuda else platform.processor() or "cpu",
        "torch": torch.__version__, "settings": settings,
        "fingerprint": open_checkpoint(str(options.checkpoint)).fingerprint,
    }  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
