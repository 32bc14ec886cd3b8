"""What a step costs when weights travel: one GPU held to a budget, against the same precision with all weights there.

    python benchmarks/streaming.py [--budgets fp8:6 bf16:8] [--table 4 6 8 10 12 16] [--minutes 4.7] [--json OUT.json]
    python benchmarks/streaming.py --tiny      # a small model on a CPU, to know that this script works

Random weights of the 8B shape. A budget is kept by `torch.cuda.set_per_process_memory_fraction` for all tensors, less
what CUDA's context and libraries take (`engine.budget.OWN_BYTES`), and the driver's own count of this process is
checked against it, by its growth from before CUDA was started to the end of each measurement. Each measurement is a
process of its own: memory that another left behind would count.

A slower bus is imitated without slowing anything else: each copy is done again, in whole or in part, until it has
taken as long as one over the slower bus would. The copy engine is busy then as it would be there; the bus's own rate
is measured first, in the same process. After `--minutes` no further measurement begins; what was promised comes first.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from hidream_studio.engine.budget import OWN_BYTES, Budget, Needs, plan, told
from hidream_studio.engine.devices import GIB, pick_device
from hidream_studio.job.sizes import PATCH_PX, PATCH_VALUES
from hidream_studio.model.config import CONFIG_8B, ModelConfig
from hidream_studio.model.fused import FusedBlocks
from hidream_studio.model.residency import Residency
from hidream_studio.model.transformer import O1Transformer
from hidream_studio.model.weights import empty_model
from hidream_studio.sampler.denoise import denoise, make_solver
from hidream_studio.sampler.schedules import full_schedule

SEED = 7
SCHEDULE_STEPS = 8
COMPARED_STEP = 2  # after it pixels are compared; each case takes more
TEXT_TOKENS = (63, 11)  # of a prompt and of the empty one, as in step_time.py
TINY = replace(CONFIG_8B, hidden_size=128, layers=4, heads=2, kv_heads=1, mlp_size=256, vocab_size=1000,
               mrope_section=(12, 10, 10))  # fmt: skip
ALLOWED = {(2048, True): 1.10, (1024, False): 1.35}  # of the resident time, in issue and README
INIT_STD = 0.02
AS_IT_IS = "as it is"


@dataclass(frozen=True)
class Case:
    """One process: a precision and a budget, over several buses."""

    precision: str  # "bf16" or "fp8"
    vram_gib: float | None  # None: all weights stay
    buses_gb_s: tuple[float | None, ...] = (None,)  # None: as fast as it is
    sizes: tuple[tuple[int, bool], ...] = ((2048, True), (1024, False))  # px, with guidance
    steps: int = 6


@dataclass(frozen=True)
class Found:
    case: Case
    told: str
    staying: int
    travelling: int
    ms: dict[str, dict[str, float]]  # of a step, by bus ("as it is", "25") and size ("2048g5")
    digest: dict[str, str]  # of the last z, by size: equal pixels
    equal: bool  # over all buses
    bus_gb_s: float | None
    driver_gib: float | None  # by the driver's own count
    tensors_gib: float | None  # reserved by torch at most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budgets", nargs="*", default=["fp8:6", "bf16:8"], metavar="PRECISION:GIB")
    parser.add_argument("--table", nargs="*", type=float, default=[4, 6, 8, 10, 12, 16], metavar="GIB")
    parser.add_argument("--buses", nargs="*", type=float, default=[25, 12], metavar="GB/S")
    parser.add_argument("--minutes", type=float, default=4.7, help="begin nothing after them")
    parser.add_argument("--tiny", action="store_true", help="a small model on a CPU")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(asdict(measure(case_of(json.loads(arguments.case)), tiny=arguments.tiny))))
        return
    begun_s = time.perf_counter()
    found: list[Found] = []
    for case in cases(arguments):
        if time.perf_counter() - begun_s > arguments.minutes * 60:
            print(f"left out for time: {case.precision} within {case.vram_gib} GiB", flush=True)
        elif (one := in_a_process(case, tiny=arguments.tiny)) is not None:
            found.append(one)
            if arguments.json:
                arguments.json.write_text(json.dumps(result_of(found, begun_s, tiny=arguments.tiny), indent=1) + "\n")
    print(table(found))
    print("\n".join(verdicts(found)))


def result_of(found: list[Found], begun_s: float, *, tiny: bool) -> dict:
    return {
        "gpu": "cpu" if tiny else torch.cuda.get_device_name(), "torch": torch.__version__,
        "python": platform.python_version(), "commit": commit(), "wall_s": round(time.perf_counter() - begun_s, 1),
        "verdicts": verdicts(found), "cases": [asdict(one) for one in found],
    }  # fmt: skip


def cases(arguments: argparse.Namespace) -> list[Case]:
    """The resident ones first, then what was promised, then the table: what ends early has the most important."""
    if arguments.tiny:
        sizes = ((128, True), (64, False))
        limits = ((None, (None,)), (1.0, (None, 0.5)))
        return [Case(name, gib, buses, sizes, 3) for name in ("bf16", "fp32") for gib, buses in limits]
    buses = (None, *arguments.buses)
    found = [Case("fp8", None), Case("bf16", None)]
    for told_budget in arguments.budgets:
        precision, _, gib = told_budget.partition(":")
        found.append(Case(precision, float(gib), buses))
    for gib in arguments.table:
        for precision in ("fp8", "bf16"):
            needs = Needs.of(CONFIG_8B, torch.bfloat16, 2048, fp8=precision == "fp8")
            case = Case(precision, float(gib), buses, steps=4)
            travels = needs.whole(CONFIG_8B.layers) + OWN_BYTES > gib * GIB
            if travels and replace(case, steps=6) not in found:
                found.append(case)
    return found


def in_a_process(case: Case, *, tiny: bool) -> Found | None:
    """None where the budget is too small; the reason is told."""
    command = [sys.executable, __file__, "--case", json.dumps(asdict(case)), *(["--tiny"] if tiny else [])]
    begun_s = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["?"])[-1]
        print(f"{case.precision} within {case.vram_gib} GiB: {last}", flush=True)
        return None
    values = json.loads(done.stdout.strip().splitlines()[-1])
    found = Found(**(values | {"case": case_of(values["case"])}))
    print(f"{found.told} ({time.perf_counter() - begun_s:.0f} s)", flush=True)
    return found


def case_of(values: dict) -> Case:
    sizes = tuple((px, bool(guided)) for px, guided in values["sizes"])
    return Case(**(values | {"sizes": sizes, "buses_gb_s": tuple(values["buses_gb_s"])}))


@torch.no_grad()
def measure(case: Case, *, tiny: bool) -> Found:
    device = pick_device("cpu" if tiny else "cuda")
    driver_before = driver_bytes()
    config, fp8 = TINY if tiny else CONFIG_8B, case.precision == "fp8"
    dtype = torch.float32 if case.precision == "fp32" else torch.bfloat16
    budget = planned(case, config, dtype, tiny=tiny)
    if budget.tensor_bytes is not None:
        device.limit(budget.tensor_bytes)
    model = empty_model(config, device.torch, dtype, fp8=fp8, residency=budget.residency)
    draw_weights(model)
    if not tiny:
        model.run_blocks = FusedBlocks(model)
        model.run_blocks.try_out()
    own = None if model.travel is None or tiny else bus_rate(model)
    ms: dict[str, dict[str, float]] = {}
    digests: list[dict[str, str]] = []
    for bus in case.buses_gb_s:
        if model.travel is not None:
            model.travel.copy = slowed(1.0 if bus is None else (own or 1.0) / bus)
        timings, digest = ms.setdefault(bus_name(bus), {}), {}
        for px, guided in case.sizes:
            name = f"{px}{'g5' if guided else 'g1'}"
            timings[name], digest[name] = timed(model, px, guided=guided, steps=case.steps)
        digests.append(digest)
    driver = None if driver_before is None else (driver_bytes() - driver_before) / GIB
    reserved = None if tiny else torch.cuda.max_memory_reserved() / GIB
    line = told(model, device, case.precision) or f"{case.precision}: all blocks stay"
    line += f"; {case.vram_gib or 'no'} GiB limit, ms by bus in GB/s: {ms}"
    kept = budget.residency
    equal = all(digest == digests[0] for digest in digests)
    return Found(case, line, kept.staying, len(kept.travelling), ms, digests[0], equal, own, driver, reserved)


def bus_name(bus_gb_s: float | None) -> str:
    return AS_IT_IS if bus_gb_s is None else f"{bus_gb_s:g}"


def planned(case: Case, config: ModelConfig, dtype: torch.dtype, *, tiny: bool) -> Budget:
    if tiny or case.vram_gib is None:
        return Budget(Residency(config.layers, (0, 2) if tiny and case.vram_gib else ()))
    needs = Needs.of(config, dtype, 2048, fp8=case.precision == "fp8")
    return plan(needs, config.layers, pick_device("cuda"), case.vram_gib, f"the model in {case.precision}")


def draw_weights(model: O1Transformer) -> None:
    """Random ones, the same for each budget; block by block, drawn on the device, to wherever each is kept."""
    from hidream_studio.model.fp8 import Fp8Linear
    from hidream_studio.model.weights import at_home

    for name, module in at_home(model).named_modules():
        for own, parameter in module.named_parameters(recurse=False):
            if isinstance(module, Fp8Linear) and own == "scale":
                continue
            seed = int.from_bytes(hashlib.sha256(f"{name}.{own}".encode()).digest()[:4], "big")
            generator = torch.Generator(model.device).manual_seed(seed)
            drawn = torch.empty(parameter.shape, dtype=model.dtype, device=model.device)
            if parameter.ndim == 1:
                drawn.fill_(1.0 if own == "weight" and "norm" in name else 0.0)
            else:
                drawn.normal_(0, INIT_STD, generator=generator)
            if isinstance(module, Fp8Linear):
                rows = max(1, 2**25 // drawn.shape[1])
                for first in range(0, drawn.shape[0], rows):
                    module.set_rows(first, drawn[first : first + rows])
            else:
                parameter.data.copy_(drawn)


def plain(to: Tensor, source: Tensor) -> None:
    to.copy_(source, non_blocking=True)


def bus_rate(model: O1Transformer) -> float:
    """Of the bus as it is, in GB/s."""
    travel = model.travel
    source, to = next(iter(travel._hosts.values())).flat, travel._slots[0].flat
    rates = []
    for _ in range(5):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        plain(to, source)
        end.record()
        end.synchronize()
        rates.append(source.nbytes / begin.elapsed_time(end) / 1e6)
    return statistics.median(rates[1:])


def slowed(times: float) -> Callable[[Tensor, Tensor], None]:
    """A copy that takes so many times as long."""

    def copy(to: Tensor, source: Tensor) -> None:
        plain(to, source)
        left = times - 1
        while left > 0:
            part = int(min(1.0, left) * source.nbytes)
            plain(to[:part], source[:part])
            left -= 1

    return copy


@torch.inference_mode()
def timed(model: O1Transformer, px: int, *, guided: bool, steps: int) -> tuple[float, str]:
    """A step's time in ms by the sampler's own loop, and the digest of where it led."""
    side = px // PATCH_PX
    texts = TEXT_TOKENS if guided else TEXT_TOKENS[:1]
    generator = torch.Generator().manual_seed(SEED)
    high = model.config.vocab_size - 1
    ids = [torch.randint(1, high, (1, length), generator=generator).to(model.device) for length in texts]
    prefixes = [model.encode_text(row) for row in ids]
    ends = torch.tensor([prefix.next_position for prefix in prefixes], device=model.device)
    rotary = model.step_rotary(ends, side, side)
    z = 8 * torch.randn((1, side * side, PATCH_VALUES), generator=generator).to(model.device)
    schedule = full_schedule(SCHEDULE_STEPS, 3.0)  # the same for each case: else they would lead elsewhere
    solver = make_solver("unipc", schedule, noise_scale=8.0, seed=SEED, like=z)
    marks: list[float] = []
    digest = ""
    states = denoise(
        lambda z, t: model.forward_branches(z, t, prefixes, rotary).chunk(len(prefixes)), z, schedule, solver,
        5.0 if guided else 1.0,
    )  # fmt: skip
    for state in itertools.islice(states, steps + 1):
        wait(model)
        marks.append(time.perf_counter())
        if state.index == COMPARED_STEP:
            digest = hashlib.sha256(state.z.cpu().numpy().tobytes()).hexdigest()[:16]
            marks[-1] = time.perf_counter()  # reading them is no part of a step
    # whoever waits for each step launches no further: the first copies of the next pass are under way all the same
    ms = statistics.median(b - a for a, b in itertools.pairwise(marks)) * 1e3
    return round(ms, 2), digest


def wait(model: O1Transformer) -> None:
    if model.device.type == "cuda":
        torch.cuda.synchronize()


def driver_bytes() -> int | None:
    """Of the first GPU, all processes', by the driver: its growth is ours on a machine that we have alone."""
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        return int(done.stdout.split()[0]) * 2**20
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def resident_of(found: list[Found], one: Found) -> Found | None:
    same = (other for other in found if other.case.precision == one.case.precision and other.travelling == 0)
    return next((other for other in same if other.case.vram_gib is None), None)


def table(found: list[Found]) -> str:
    names = list(found[0].digest) if found else []
    head = ["precision", "GiB", "bus GB/s", "stay", "travel", "driver GiB", *(f"{name} ms (×)" for name in names), "px"]
    rows = [head, ["---"] * len(head)]
    for one in found:
        base = resident_of(found, one)
        for bus, ms in one.ms.items():
            times = [f"{ms[name]:.1f} ({ms[name] / base.ms[AS_IT_IS][name]:.2f})" if base else "–" for name in names]
            rate = f"{one.bus_gb_s:.0f}" if bus == AS_IT_IS and one.bus_gb_s else bus
            rows.append([
                one.case.precision, "–" if one.case.vram_gib is None else f"{one.case.vram_gib:g}", rate,
                str(one.staying), str(one.travelling), "–" if one.driver_gib is None else f"{one.driver_gib:.2f}",
                *times, "equal" if base and base.digest == one.digest and one.equal else "DIFFER" if base else "–",
            ])  # fmt: skip
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def verdicts(found: list[Found]) -> list[str]:
    """What was promised, and whether it holds."""
    said = []
    for one in found:
        base = resident_of(found, one)
        if base is None or one.case.vram_gib is None:
            continue
        what = f"{one.case.precision} within {one.case.vram_gib:g} GiB"
        if base.digest != one.digest or not one.equal:
            said.append(f"FAILS: {what}: other pixels than resident")
        if one.driver_gib is not None and one.driver_gib > one.case.vram_gib:
            said.append(f"FAILS: {what}: the driver counts {one.driver_gib:.2f} GiB")
        for (px, guided), allowed in ALLOWED.items():
            name = f"{px}{'g5' if guided else 'g1'}"
            if name in one.digest:
                ratio = one.ms[AS_IT_IS][name] / base.ms[AS_IT_IS][name]
                said.append(f"{'holds' if ratio <= allowed else 'MISSES'}: {what}: {name} {ratio:.3f}×, {allowed}×")
    return said


def commit() -> str:
    done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
