"""How long a step from pictures takes on this GPU: an edit, and a scene of four subjects. Random weights, the 8B shape.

    python benchmarks/reference_step_time.py [--variants bf16 fp8] [--upstream upstream.json] [--json OUT.json]

Beside it, in the same run: what upstream's algorithm takes (`like-upstream`: the prefix read anew in each forward, one
branch after the other, all rows of the last layer; with our matrices, which is kind to it), what upstream's own code
took where `--upstream` has it (benchmarks/upstream_reference_time.py), and the floor by the ceilings under load.
`--tiny` runs everything on a small shape, on a CPU too, to try this script.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from hidream_studio.image.references import prepare
from hidream_studio.job.references import PictureProcessor
from hidream_studio.job.sizes import PATCH_PX, PATCH_VALUES
from hidream_studio.model.config import CONFIG_8B, VISION_8B, ModelConfig, VisionConfig
from hidream_studio.model.fused import FusedBlocks
from hidream_studio.model.patches import from_uint8
from hidream_studio.model.transformer import O1Transformer, TextPrefix
from hidream_studio.model.vision import Grid, VisionTokens
from hidream_studio.model.vision_input import vision_patches
from hidream_studio.model.weights import random_model, random_tower
from hidream_studio.sampler.denoise import Predict, denoise, make_solver
from hidream_studio.sampler.schedules import full_schedule
from step_time import GIB, SEED, TEXT_TOKENS, ceilings

PICTURE_TOKEN, START_TOKEN, END_TOKEN, WORD = 11, 12, 13, 14  # any ids: the weights are random
PROCESSOR = PictureProcessor(65536, 16777216, (0.5,) * 3, (0.5,) * 3, 16, 2, 2)  # Qwen3-VL's
SCENES = {"edit": 1, "subjects": 4}  # pictures
PICTURE_PX = 1500
STEPS = (3, 11)  # a step's time is the difference
TINY = replace(CONFIG_8B, hidden_size=256, layers=2, heads=2, kv_heads=1, mlp_size=512, vocab_size=64, bottleneck=64)
TINY_VISION = replace(VISION_8B, hidden_size=64, layers=3, heads=2, mlp_size=128, deepstack_after=(0, 1), out_size=256)


@dataclass(frozen=True)
class Scene:
    """Pictures that were read, and what a step needs of them."""

    side: int  # patches
    before: TextPrefix
    references: Tensor  # (1, R, hidden)
    pixels: Tensor  # (1, R, 3072), as upstream embeds them in each forward
    grids: tuple[Grid, ...]
    ids: tuple[int, ...]
    seen: VisionTokens
    read_s: float  # tower, prefix and embedding, once a request
    read_peak_gib: float | None


@dataclass(frozen=True)
class StepTime:
    scene: str
    variant: str
    guidance: bool
    ms: float
    of_like_upstream: float | None  # its time / this
    of_upstream: float | None  # upstream's own time / this
    of_sustained: float | None  # this / the floor by the ceilings under load
    kept_mib: float  # between steps: keys and values of pictures and prompts, embedded references
    peak_gib: float | None
    read_s: float
    read_peak_gib: float | None


class Clock:
    """Of one device."""

    def __init__(self, device: torch.device) -> None:
        self.on_cuda = device.type == "cuda"

    def seconds(self, call: Callable[[], object]) -> float:
        self._wait()
        start_s = time.perf_counter()
        call()
        self._wait()
        return time.perf_counter() - start_s

    def _wait(self) -> None:
        if self.on_cuda:
            torch.cuda.synchronize()

    def peak_gib(self) -> float | None:
        """Since the last call of this."""
        if not self.on_cuda:
            return None
        peak = torch.cuda.max_memory_allocated() / GIB
        torch.cuda.reset_peak_memory_stats()
        return peak


@torch.inference_mode()
def read_scene(model: O1Transformer, vision: VisionConfig, size_px: int, pictures: int, clock: Clock) -> Scene:
    rng = np.random.default_rng(SEED)
    drawn = [
        Image.fromarray(rng.integers(0, 256, (PICTURE_PX, PICTURE_PX, 3), dtype=np.uint8)) for _ in range(pictures)
    ]
    prepared = prepare(drawn, size_px, size_px)
    rows, grids = vision_patches([picture.vision for picture in prepared], PROCESSOR)
    counts = [h * w // PROCESSOR.merge**2 for h, w in grids]
    ids = [WORD] * 3 + [one for n in counts for one in (START_TOKEN, *[PICTURE_TOKEN] * n, END_TOKEN)]
    pixels = torch.cat([from_uint8(picture.pixels) for picture in prepared], dim=1).to(model.device)
    tower = random_tower(vision, model.device, model.dtype, SEED)
    found: dict = {}

    def read() -> None:
        found["seen"] = tower(rows, grids)
        found["before"] = model.encode_pictures(ids, PICTURE_TOKEN, found["seen"])
        found["references"] = model.embed_patches(pixels)

    read()  # kernels are chosen
    clock.peak_gib()
    read_s = clock.seconds(read)
    patches = tuple((picture.pixels.shape[0] // PATCH_PX, picture.pixels.shape[1] // PATCH_PX) for picture in prepared)
    return Scene(
        size_px // PATCH_PX, pixels=pixels, grids=patches, ids=tuple(ids), read_s=read_s,
        read_peak_gib=clock.peak_gib(), **found,
    )  # fmt: skip


def texts(model: O1Transformer, guidance: bool) -> list[Tensor]:
    lengths = TEXT_TOKENS if guidance else TEXT_TOKENS[:1]
    return [torch.full((1, length), WORD, device=model.device) for length in lengths]


def ours(model: O1Transformer, scene: Scene, guidance: bool) -> tuple[Predict, float]:
    """The predictor of a step, and the MiB that are kept for it."""
    prefixes = [model.encode_text(ids, scene.before) for ids in texts(model, guidance)]
    ends = torch.tensor([prefix.next_position for prefix in prefixes], device=model.device)
    rotary = model.step_rotary(ends, scene.side, scene.side, scene.grids)
    kept = scene.before.nbytes + scene.references.nbytes + sum(prefix.nbytes for prefix in prefixes)

    def predict(z: Tensor, t: Tensor) -> Sequence[Tensor]:
        return model.forward_branches(z, t, prefixes, rotary, scene.references).chunk(len(prefixes))

    return predict, kept / 2**20


def like_upstream(model: O1Transformer, scene: Scene, guidance: bool) -> Predict:
    """Upstream's algorithm: nothing but the tower's tokens is kept, and every row goes through every layer."""
    prompts = texts(model, guidance)

    def predict(z: Tensor, t: Tensor) -> Sequence[Tensor]:
        found = []
        for ids in prompts:
            before = model.encode_pictures(scene.ids, PICTURE_TOKEN, scene.seen)
            prefix = model.encode_text(ids, before)
            end = torch.tensor([prefix.next_position], device=model.device)
            rotary = model.step_rotary(end, scene.side, scene.side, scene.grids)
            x = model._tokens(z, t, 1, model.embed_patches(scene.pixels))
            found.append(model._decode(x, rotary, [prefix], None)[:, : z.shape[1]])
        return found

    return predict


@torch.inference_mode()
def step_ms(predict: Predict, scene: Scene, device: torch.device, guidance: bool, clock: Clock, repeats: int) -> float:
    """By the sampler's own loop: the median of some differences between a longer and a shorter picture."""
    generator = torch.Generator().manual_seed(SEED)
    noise = 8 * torch.randn((1, scene.side**2, PATCH_VALUES), generator=generator).to(device)

    def picture(steps: int) -> None:
        schedule = full_schedule(steps, 3.0)
        solver = make_solver("unipc", schedule, noise_scale=8.0, seed=SEED, like=noise)
        for _ in denoise(predict, noise, schedule, solver, 5.0 if guidance else 1.0):
            pass

    picture(2)
    short, long = STEPS
    found = []
    for _ in range(repeats):
        found.append((clock.seconds(lambda: picture(long)) - clock.seconds(lambda: picture(short))) / (long - short))
    return statistics.median(found) * 1e3


def floor_ms(config: ModelConfig, scene: Scene, guidance: bool, tflops: dict[str, float], precision: str) -> float:
    """The least time of a step if everything ran at the ceilings: matrix products and attention alone."""
    target = scene.side**2
    own = target + 1 + scene.references.shape[1]
    wide = config.heads * config.head_dim
    projected = config.hidden_size * config.qkv_size
    rest = wide * config.hidden_size + 3 * config.hidden_size * config.mlp_size
    ends = PATCH_VALUES * config.bottleneck + config.bottleneck * config.hidden_size + config.hidden_size * PATCH_VALUES
    linears = 2 * ((config.layers - 1) * own * (projected + rest) + own * projected + target * rest)
    attention = tflops.get("cudnn_attention", tflops.get("flash_attention", float("inf")))
    ms = 0.0
    for length in TEXT_TOKENS if guidance else TEXT_TOKENS[:1]:
        seen = own + len(scene.ids) + length
        ms += linears / tflops[precision] / 1e9 + 2 * target * ends / tflops["bf16"] / 1e9
        ms += 4 * wide * seen * ((config.layers - 1) * own + target) / attention / 1e9
    return ms


def measure(variant: str, arguments: argparse.Namespace, result: dict, clock: Clock) -> None:
    device, config = arguments.device, arguments.config
    fp8 = variant == "fp8"
    plain = variant == "like-upstream"
    model = random_model(config, device, torch.bfloat16, SEED, fp8=fp8)
    if device.type == "cuda" and not plain:
        model.run_blocks = FusedBlocks(model)
        model.run_blocks.try_out()
    precision = "fp8" if fp8 else "bf16"
    sustained = {name: one["sustained"] for name, one in result["tflops"].items()}
    for name, pictures in SCENES.items():
        scene = read_scene(model, arguments.vision, arguments.size, pictures, clock)
        for guidance in (True, False):
            with torch.inference_mode():
                predict, kept = (like_upstream(model, scene, guidance), 0.0) if plain else ours(model, scene, guidance)
            clock.peak_gib()
            ms = step_ms(predict, scene, device, guidance, clock, arguments.repeats)
            key = f"{name}_{arguments.size}_g{5 if guidance else 1}"
            if plain:
                result["like_upstream_ms"][key] = ms
            like, theirs = result["like_upstream_ms"].get(key), arguments.upstream_times.get(f"{key}_s_per_step")
            found = StepTime(
                name, variant, guidance, ms, like / ms if like else None, theirs * 1e3 / ms if theirs else None,
                ms / floor_ms(config, scene, guidance, sustained, precision) if precision in sustained else None,
                kept, clock.peak_gib(), scene.read_s, scene.read_peak_gib,
            )  # fmt: skip
            result["steps"].append(asdict(found))
            print(row(found), flush=True)


def row(found: StepTime) -> str:
    def shown(value: float | None, form: str = ".2f") -> str:
        return "-" if value is None else format(value, form)

    return (
        f"{found.scene:9} {found.variant:14} {'CFG' if found.guidance else '1':4} {found.ms:9.2f} "
        f"{shown(found.of_like_upstream):>13} {shown(found.of_upstream):>11} {shown(found.of_sustained):>12} "
        f"{found.kept_mib:9.1f} {shown(found.peak_gib, '.1f'):>9} {found.read_s * 1e3:9.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variants", nargs="+", default=["bf16", "fp8"], choices=["bf16", "fp8"])
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--upstream", type=Path, help="figures of upstream's own code, taken in this run")
    parser.add_argument("--tiny", action="store_true", help="a small model at 256², on a CPU too, to try this script")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    arguments.upstream_times = json.loads(arguments.upstream.read_text()) if arguments.upstream else {}
    arguments.config, arguments.vision = (TINY, TINY_VISION) if arguments.tiny else (CONFIG_8B, VISION_8B)
    if arguments.tiny:
        arguments.size = 256
    arguments.device = device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_grad_enabled(False)
    on_cuda = device.type == "cuda"
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    result: dict = {
        "device": torch.cuda.get_device_name() if on_cuda else "cpu", "torch": torch.__version__,
        "python": platform.python_version(), "commit": commit, "size_px": arguments.size, "tiny": arguments.tiny,
        "tflops": {name: asdict(one) for name, one in ceilings(device).items()} if on_cuda else {},
        "like_upstream_ms": {}, "upstream": arguments.upstream_times, "steps": [],
    }  # fmt: skip
    told = ", ".join(f"{name} {one['burst']:.0f} → {one['sustained']:.0f}" for name, one in result["tflops"].items())
    print(f"{result['device']}, torch {result['torch']}: TFLOP/s {told or 'not measured'}", flush=True)
    print(
        f"{'scene':9} {'variant':14} {'':4} {'ms a step':>9} {'x like-upstr.':>13} {'x upstream':>11} "
        f"{'of sustained':>12} {'kept MiB':>9} {'peak GiB':>9} {'read ms':>9}"
    )
    clock = Clock(device)
    for variant in ("like-upstream", *arguments.variants):
        measure(variant, arguments, result, clock)
        gc.collect()  # a model and its fused blocks hold each other
        if on_cuda:
            torch.cuda.empty_cache()
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
