"""How long a step takes with LoRAs beside the weights, on this GPU: random weights of the 8B shape, all linears.

    python benchmarks/lora_step_time.py [--variants bf16 fp8] [--size 2048] [--json OUT.json]

Without any, with one and with four of rank 16 and 64, and with one of rank 32, which may cost 6 %. Beside the time of a
step: how long a change of LoRAs takes before the first step, and what they take of the device's memory.
`--tiny` runs everything on a small shape, on a CPU too, to try this script.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from hidream_studio.job.sizes import PATCH_PX
from hidream_studio.model.checkpoint import StoredTensor
from hidream_studio.model.config import CONFIG_8B, ModelConfig
from hidream_studio.model.fused import FusedBlocks
from hidream_studio.model.layout import slots
from hidream_studio.model.lora import Loras, LoraTensors, stack
from hidream_studio.model.lora_file import LoraFile, LoraPair
from hidream_studio.model.transformer import O1Transformer
from hidream_studio.model.weights import random_model
from hidream_studio.sampler.denoise import Predict
from reference_step_time import TINY, Clock, step_ms, texts
from step_time import SEED

MIXES = ((0, 0), (1, 16), (1, 32), (1, 64), (4, 16), (4, 64))  # LoRAs, and the rank of each


@dataclass(frozen=True)
class StepTime:
    variant: str
    loras: int
    rank: int
    guidance: bool
    ms: float
    more: float  # than without, as a share
    change_ms: float  # stacking them on the device, from tensors that are in its memory
    mib: float  # of the device
    peak_gib: float | None


def random_lora(config: ModelConfig, rank: int, device: torch.device, seed: int) -> LoraTensors:
    """One on every linear, as if it had been read."""
    generator = torch.Generator(device).manual_seed(seed)
    pairs, tensors = [], {}
    for slot in slots(config):
        if len(slot.shape) != 2 or "embed_tokens" in slot.key:
            continue
        name, (rows, cols) = slot.key.removeprefix("model.").removesuffix(".weight"), slot.shape
        stored = [StoredTensor(Path("random"), "BF16", shape, 0, 0) for shape in ((rank, cols), (rows, rank))]
        pairs.append(LoraPair(name, *stored, alpha=float(rank)))
        down = torch.randn((rank, cols), generator=generator, device=device) / cols**0.5
        up = 0.1 * torch.randn((rows, rank), generator=generator, device=device)
        tensors[name] = down.bfloat16(), up.bfloat16()
    file = LoraFile(Path("random"), tuple(pairs), (), title="", base="", triggers=(), thumbnail="", remarks=())
    return LoraTensors(file, tensors)


def predictor(model: O1Transformer, loras: Loras | None, side: int, guidance: bool) -> Predict:
    prefixes = [model.encode_text(ids, None, loras) for ids in texts(model, guidance)]
    ends = torch.tensor([prefix.next_position for prefix in prefixes], device=model.device)
    rotary = model.step_rotary(ends, side, side)

    def predict(z: Tensor, t: Tensor) -> Sequence[Tensor]:
        return model.forward_branches(z, t, prefixes, rotary, None, loras).chunk(len(prefixes))

    return predict


@torch.inference_mode()
def measure(variant: str, arguments: argparse.Namespace, clock: Clock) -> list[StepTime]:
    device, config, fp8 = arguments.device, arguments.config, variant == "fp8"
    model = random_model(config, device, torch.bfloat16, SEED, fp8=fp8)
    if device.type == "cuda":
        model.run_blocks = FusedBlocks(model)
        model.run_blocks.try_out()
    found: list[StepTime] = []
    without = {}
    for count, rank in MIXES:
        read = [(random_lora(config, rank, device, seed), 0.8) for seed in range(count)]
        made: list[Loras | None] = [None]

        def change(read: list = read, made: list = made) -> None:
            made[0] = stack(read, config, "mix", device, torch.bfloat16, fp8=fp8) if read else None

        change()
        change_s = clock.seconds(change)
        read.clear()
        clock.peak_gib()
        for guidance in (True, False):
            predict = predictor(model, made[0], arguments.side, guidance)
            ms = step_ms(predict, arguments, device, guidance, clock, arguments.repeats)
            without.setdefault(guidance, ms)
            mib = 0.0 if made[0] is None else made[0].nbytes / 2**20
            one = StepTime(
                variant, count, rank, guidance, ms, ms / without[guidance] - 1, change_s * 1e3, mib, clock.peak_gib()
            )
            print(row(one), flush=True)
            found.append(one)
        del predict
        made.clear()
        gc.collect()
    return found


def row(one: StepTime) -> str:
    mix = f"{one.loras} × rank {one.rank}" if one.loras else "none"
    peak = "-" if one.peak_gib is None else f"{one.peak_gib:.1f}"
    return (
        f"{one.variant:7} {mix:12} {'CFG' if one.guidance else '1':4} {one.ms:9.2f} {one.more:+8.1%} "
        f"{one.change_ms:10.1f} {one.mib:9.1f} {peak:>9}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variants", nargs="+", default=["bf16", "fp8"], choices=["bf16", "fp8"])
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--tiny", action="store_true", help="a small model at 256², on a CPU too, to try this script")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    arguments.config, arguments.size = (TINY, 256) if arguments.tiny else (CONFIG_8B, arguments.size)
    arguments.side = arguments.size // PATCH_PX
    arguments.device = device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_grad_enabled(False)
    on_cuda = device.type == "cuda"
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    result: dict = {
        "device": torch.cuda.get_device_name() if on_cuda else "cpu", "torch": torch.__version__,
        "python": platform.python_version(), "commit": commit, "size_px": arguments.size, "tiny": arguments.tiny,
        "steps": [],
    }  # fmt: skip
    print(f"{result['device']}, torch {result['torch']}, {arguments.size}²", flush=True)
    print(
        f"{'variant':7} {'LoRAs':12} {'':4} {'ms a step':>9} {'more':>8} {'change ms':>10} {'MiB':>9} {'peak GiB':>9}"
    )
    for variant in arguments.variants:
        result["steps"] += map(asdict, measure(variant, arguments, Clock(device)))
        gc.collect()  # a model and its fused blocks hold each other
        if on_cuda:
            torch.cuda.empty_cache()
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
