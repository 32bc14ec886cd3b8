"""How long a denoising step takes on this GPU, for random weights of the 8B shape, beside the ceilings of the same run.

    python benchmarks/step_time.py [--variants bf16 fp8] [--sizes 1024 1536 2048] [--upstream upstream.json]
                                   [--load] [--profile] [--json OUT.json]

A variant is a precision, with `-eager` where torch's own operations run in place of the fused blocks, and `-split`
where the branches of a step with guidance run one after the other. Only ratios of one run mean anything: give it what
upstream got in the same run. Ceilings are taken twice: in the first milliseconds, and after a second at full load, when
the card has lowered its clocks to its power limit. A step of seconds runs at the latter.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from hidream_studio.job.sizes import PATCH_PX, PATCH_VALUES
from hidream_studio.model.checkpoint import Checkpoint, StoredTensor, read_header
from hidream_studio.model.config import CONFIG_8B, ModelConfig
from hidream_studio.model.fp8 import quantise, scaled_product
from hidream_studio.model.fused import FusedBlocks
from hidream_studio.model.transformer import O1Transformer
from hidream_studio.model.weights import empty_model, export_state_dict, load_model, random_model
from hidream_studio.sampler.denoise import Predict, denoise, make_solver
from hidream_studio.sampler.schedules import full_schedule

DEVICE = "cuda"
SEED = 7
TEXT_TOKENS = (63, 11)  # of a prompt and of the empty one, without the tms token; upstream's benchmark has the same
GIB = 2**30
CEILING_S = 1.5  # of each ceiling; the clocks have settled after a third
COOLING_S = 0.5  # before each ceiling, so that it begins with the highest clocks
SMALL = replace(CONFIG_8B, hidden_size=256, layers=2, heads=2, kv_heads=1, mlp_size=512, vocab_size=21_000)  # to try it


@dataclass(frozen=True)
class Variant:
    name: str

    @property
    def fp8(self) -> bool:
        return self.name.startswith("fp8")

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32 if self.name.startswith("fp32") else torch.bfloat16

    @property
    def fused(self) -> bool:
        return "eager" not in self.name and self.dtype == torch.bfloat16

    @property
    def split(self) -> bool:
        return "split" in self.name


@dataclass(frozen=True)
class StepTime:
    variant: str
    size_px: int
    guidance: bool
    ms: float
    of_upstream: float | None  # upstream's time / this: larger is faster
    of_floor: float | None  # this / the floor of this precision: 1 is as fast as the first milliseconds' ceilings allow
    of_sustained: float | None  # the same by the ceilings under load
    host_ms: float  # of a step, until everything is launched
    peak_gib: float
    first_s: float  # the first three steps at this size: with what choosing kernels takes


@dataclass(frozen=True)
class Ceiling:
    """TFLOP/s of one operation."""

    burst: float  # of the first milliseconds
    sustained: float  # the median after a third of the time


def ceiling(call: Callable[[], object], flop: float, at_once: int = 10) -> Ceiling:
    for _ in range(3):
        call()
    torch.cuda.synchronize()
    time.sleep(COOLING_S)
    found: list[float] = []  # TFLOP/s
    start_s = time.perf_counter()
    while time.perf_counter() - start_s < CEILING_S:
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        for _ in range(at_once):
            call()
        last.record()
        torch.cuda.synchronize()
        found.append(flop * at_once / first.elapsed_time(last) / 1e9)
    return Ceiling(max(found), statistics.median(found[len(found) // 3 :]))


def ceilings(device: torch.device) -> dict[str, Ceiling]:
    """Of the largest matrix product of the 8B model at 4,096 tokens, and of attention there."""
    tokens, hidden, wide = 4096, CONFIG_8B.hidden_size, 2 * CONFIG_8B.mlp_size
    x = torch.randn(tokens, hidden, device=device, dtype=torch.bfloat16)
    weight = torch.randn(wide, hidden, device=device, dtype=torch.bfloat16)
    flop = 2 * tokens * hidden * wide
    found = {"bf16": ceiling(lambda: F.linear(x, weight), flop)}
    try:
        (x8, x_scale), (weight8, weight_scale) = quantise(x), quantise(weight)
        product = lambda: scaled_product(x8, x_scale, weight8.t(), weight_scale.t(), torch.bfloat16)  # noqa: E731
        found["fp8"] = ceiling(product, flop)
    except RuntimeError as error:
        print(f"no FP8 here: {error}")
    heads, kv_heads, head_dim = CONFIG_8B.heads, CONFIG_8B.kv_heads, CONFIG_8B.head_dim
    q = torch.randn(1, heads, tokens, head_dim, device=device, dtype=torch.bfloat16)
    k, v = (torch.randn(1, kv_heads, tokens, head_dim, device=device, dtype=torch.bfloat16) for _ in range(2))
    for backend in (SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION):
        try:
            with sdpa_kernel([backend]):
                found[backend.name.split("_")[0].lower() + "_attention"] = ceiling(
                    lambda: F.scaled_dot_product_attention(q, k, v, enable_gqa=True),
                    4 * heads * tokens**2 * head_dim,
                )
        except RuntimeError as error:
            print(f"{backend.name} does not run here: {error}")
    return found


def floor_ms(
    config: ModelConfig, size_px: int, texts: Sequence[int], tflops: dict[str, float], precision: str
) -> float:
    """The least time of a step if everything ran at the ceilings: matrix products and attention alone."""
    own = (size_px // PATCH_PX) ** 2 + 1
    hidden, heads_dim = config.hidden_size, config.heads * config.head_dim
    block = hidden * config.qkv_size + heads_dim * hidden + 3 * hidden * config.mlp_size
    ends = PATCH_VALUES * config.bottleneck + config.bottleneck * hidden + hidden * PATCH_VALUES
    attention = tflops.get("cudnn_attention", tflops.get("flash_attention", math.inf))
    ms = 0.0
    for text in texts:
        ms += 2 * own * config.layers * block / tflops[precision] / 1e9 + 2 * own * ends / tflops["bf16"] / 1e9
        ms += config.layers * 4 * heads_dim * own * (own + text) / attention / 1e9
    return ms


def predictor(model: O1Transformer, size_px: int, texts: Sequence[int], *, split: bool) -> Predict:
    side = size_px // PATCH_PX
    generator = torch.Generator().manual_seed(SEED)
    ids = [torch.randint(100, 20_000, (1, length), generator=generator).to(model.device) for length in texts]
    prefixes = [model.encode_text(row) for row in ids]
    lengths = torch.tensor([prefix.length for prefix in prefixes], device=model.device)
    whole = model.step_rotary(lengths, side, side)
    single = [model.step_rotary(length[None], side, side) for length in lengths]

    def predict(z: Tensor, t: Tensor) -> Sequence[Tensor]:
        if not split:
            return model.forward_branches(z, t, prefixes, whole).chunk(len(prefixes))
        return [model.forward_branches(z, t, [p], rotary) for p, rotary in zip(prefixes, single, strict=True)]

    return predict


def start_noise(size_px: int, device: torch.device) -> Tensor:  # (1, N, 3072) float32
    generator = torch.Generator().manual_seed(SEED)
    return 8 * torch.randn((1, (size_px // PATCH_PX) ** 2, PATCH_VALUES), generator=generator).to(device)


@torch.inference_mode()
def seconds(model: O1Transformer, size_px: int, steps: int, *, guidance: bool, split: bool) -> float:
    """Of `steps` steps, by the sampler's own loop."""
    predict = predictor(model, size_px, TEXT_TOKENS if guidance else TEXT_TOKENS[:1], split=split)
    z, schedule = start_noise(size_px, model.device), full_schedule(steps, 3.0)
    solver = make_solver("unipc", schedule, noise_scale=8.0, seed=SEED, like=z)
    torch.cuda.synchronize()
    start_s = time.perf_counter()
    for _ in denoise(predict, z, schedule, solver, 5.0 if guidance else 1.0):
        pass
    torch.cuda.synchronize()
    return time.perf_counter() - start_s


@torch.inference_mode()
def host_ms(model: O1Transformer, size_px: int, *, guidance: bool, split: bool) -> float:
    """Until a step is launched, with nothing to wait for: the median of some."""
    predict = predictor(model, size_px, TEXT_TOKENS if guidance else TEXT_TOKENS[:1], split=split)
    z, t = start_noise(size_px, model.device), torch.tensor([0.37], device=model.device)
    found = []
    for _ in range(4):
        torch.cuda.synchronize()
        start_s = time.perf_counter()
        predict(z, t)
        found.append((time.perf_counter() - start_s) * 1e3)
    return statistics.median(found[1:])


@torch.inference_mode()
def predictions(model: O1Transformer, size_px: int, *, split: bool) -> Tensor:  # (2, N, 3072) float32 on the host
    predict = predictor(model, size_px, TEXT_TOKENS, split=split)
    z = start_noise(size_px, model.device)
    return torch.cat(list(predict(z, torch.tensor([0.37], device=model.device)))).float().cpu()


def float32_predictions(config: ModelConfig, size_px: int, device: torch.device) -> Tensor:
    """What the bf16 variant's weights give when everything is computed in float32."""
    weights = random_model(config, device, torch.bfloat16, SEED)
    model = empty_model(config, device, torch.float32)
    for ours, theirs in zip(model.parameters(), weights.parameters(), strict=True):
        ours.copy_(theirs)
    del weights
    torch.backends.cuda.matmul.allow_tf32 = False
    return predictions(model, size_px, split=True)


@torch.inference_mode()
def kernel_table(model: O1Transformer, size_px: int, *, split: bool) -> str:
    from torch.profiler import ProfilerActivity, profile

    predict = predictor(model, size_px, TEXT_TOKENS, split=split)
    z, t = start_noise(size_px, model.device), torch.tensor([0.37], device=model.device)
    predict(z, t)
    with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as profiler:
        predict(z, t)
        torch.cuda.synchronize()
    return str(profiler.key_averages().table(sort_by="self_cuda_time_total", row_limit=25, max_name_column_width=90))


def load_seconds(config: ModelConfig, device: torch.device) -> dict[str, float]:
    """Of a checkpoint in files of 5 GB: reading them alone, and loading the model from them."""
    from safetensors.torch import save_file

    with tempfile.TemporaryDirectory() as folder:
        state = {key: tensor.to(torch.bfloat16) for key, tensor in export_state_dict(
            random_model(config, device, torch.bfloat16, SEED)).items()}  # fmt: skip
        tensors: dict[str, StoredTensor] = {}
        shard: dict[str, Tensor] = {}
        files = 0
        for key in list(state):
            shard[key] = state.pop(key)
            if sum(tensor.nbytes for tensor in shard.values()) > 5e9 or not state:
                path = Path(folder) / f"model-{files:05d}.safetensors"
                save_file(shard, path)
                tensors |= read_header(path)
                shard, files = {}, files + 1
        checkpoint = Checkpoint(Path(folder), "random", config, tensors, "")
        start_s = time.perf_counter()
        for path in checkpoint.tensor_files:
            with path.open("rb", buffering=0) as file:
                while file.read(2**26):
                    pass
        read_s = time.perf_counter() - start_s
        start_s = time.perf_counter()
        load_model(checkpoint, device, torch.bfloat16)
        torch.cuda.synchronize()
        return {"gib": checkpoint.nbytes / GIB, "read_s": read_s, "load_s": time.perf_counter() - start_s}


def measure(variant: Variant, config: ModelConfig, arguments: argparse.Namespace, result: dict) -> None:
    device = torch.device(DEVICE)
    model = random_model(config, device, variant.dtype, SEED, fp8=variant.fp8)
    if variant.fused:
        start_s = time.perf_counter()
        model.run_blocks = FusedBlocks(model)
        model.run_blocks.try_out()
        torch.cuda.synchronize()
        result["kernels_s"].setdefault(variant.name, time.perf_counter() - start_s)
    for size_px in arguments.sizes:
        for guidance in (True, False):
            torch.cuda.reset_peak_memory_stats()
            first_s = seconds(model, size_px, 3, guidance=guidance, split=variant.split)
            long_s, short_s = (seconds(model, size_px, n, guidance=guidance, split=variant.split) for n in (13, 3))
            ms = (long_s - short_s) * 100
            upstream_s = arguments.upstream_times.get(f"{size_px}_g{5 if guidance else 1}_s_per_step")
            precision = "fp8" if variant.fp8 else "bf16"
            texts = TEXT_TOKENS if guidance else TEXT_TOKENS[:1]
            floors = [
                floor_ms(config, size_px, texts, {name: one[kind] for name, one in result["tflops"].items()}, precision)
                if precision in result["tflops"] else None for kind in ("burst", "sustained")
            ]  # fmt: skip
            found = StepTime(
                variant.name, size_px, guidance, ms, upstream_s * 1e3 / ms if upstream_s else None,
                *(ms / floor if floor else None for floor in floors),
                host_ms(model, size_px, guidance=guidance, split=variant.split),
                torch.cuda.max_memory_allocated() / GIB, first_s,
            )  # fmt: skip
            result["steps"].append(asdict(found))
            print(
                f"{variant.name:12} {size_px:5} {'CFG' if guidance else '1  '} {ms:8.2f} ms"
                f"  {f'{found.of_upstream:.2f}x upstream' if found.of_upstream else ''}"
                f"  {f'{found.of_floor:.2f} of floor, {found.of_sustained:.2f} sustained' if found.of_floor else ''}"
                f"  host {found.host_ms:.1f} ms  peak {found.peak_gib:.1f} GiB  first {first_s:.2f} s",
                flush=True,
            )
    reference = result.pop("reference", None)
    if reference is not None:
        found_x0 = predictions(model, arguments.sizes[0], split=variant.split)
        error = float((found_x0 - reference).norm() / reference.norm())
        result["errors"][variant.name] = error
        result["reference"] = reference
        print(f"{variant.name:16} error against float32: {error:.4f}", flush=True)
    if arguments.profile:
        for size_px in (arguments.sizes[0], arguments.sizes[-1]):
            print(f"{variant.name} at {size_px}\n{kernel_table(model, size_px, split=variant.split)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variants", nargs="+", default=["bf16", "fp8"], help="e.g. bf16 bf16-split bf16-eager fp8")
    parser.add_argument("--sizes", nargs="+", type=int, default=[1024, 1536, 2048])
    parser.add_argument("--upstream", type=Path, help="figures of upstream's own code, taken in this run")
    parser.add_argument(
        "--no-error", action="store_true", help="leave the comparison with float32 out (it takes 33 GB)"
    )
    parser.add_argument("--load", action="store_true", help="also write, read and load a checkpoint of that size")
    parser.add_argument("--profile", action="store_true", help="also print which kernels a step's time goes to")
    parser.add_argument("--small", action="store_true", help="a small model, to try this script")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    arguments.upstream_times = json.loads(arguments.upstream.read_text()) if arguments.upstream else {}
    torch.set_grad_enabled(False)
    config, device = SMALL if arguments.small else CONFIG_8B, torch.device(DEVICE)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    result: dict = {
        "gpu": torch.cuda.get_device_name(), "torch": torch.__version__, "python": platform.python_version(),
        "commit": commit, "variants": arguments.variants, "sizes_px": arguments.sizes,
        "tflops": {name: asdict(one) for name, one in ceilings(device).items()}, "kernels_s": {}, "steps": [],
        "errors": {}, "upstream": arguments.upstream_times,
    }  # fmt: skip
    told = ", ".join(f"{name} {one['burst']:.0f} → {one['sustained']:.0f}" for name, one in result["tflops"].items())
    print(f"{result['gpu']}: TFLOP/s {told}", flush=True)
    if not arguments.no_error:
        result["reference"] = float32_predictions(config, arguments.sizes[0], device)
        torch.cuda.empty_cache()
    for name in arguments.variants:
        measure(Variant(name), config, arguments, result)
        gc.collect()  # a model and its fused blocks hold each other
        torch.cuda.empty_cache()
    result.pop("reference", None)
    if arguments.load:
        result["load"] = load_seconds(config, device)
        print("load", {name: round(value, 2) for name, value in result["load"].items()}, flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
