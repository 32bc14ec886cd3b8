"""How fast a device multiplies and how fast its bus is, measured in a moment; and what pictures would take by that.

A rough guess for a model that is not loaded: the cost model of a studio learns from pictures that were drawn.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from hidream_studio.engine.devices import DTYPES, MIB, Device
from hidream_studio.engine.precision import Option
from hidream_studio.job.job import pin
from hidream_studio.job.profiles import ModelProfile, Preset
from hidream_studio.job.request import GenerationRequest
from hidream_studio.job.workload import ModelShape, workload
from hidream_studio.model.fp8 import quantise, scaled_product

if TYPE_CHECKING:
    from hidream_studio.settings import Precision

SHARE_OF_PRODUCTS = 0.75  # of a step's rate to that of its products alone; 0.72 to 0.78 on an H200 (docs/lab-log.md)
SIDE = {True: 8192, False: 1024}  # of the matrices, on a GPU or not
LEAST_S = 0.25
BUS_BYTES = 128 * MIB


@dataclass(frozen=True)
class Rates:
    """Of one device."""

    flop_s: float  # of matrix products in one precision
    bus_bytes_s: float | None  # from pinned memory; None where nothing travels

    def step_s(self, flop: float, pass_bytes: int) -> float:
        """What travels hides behind what is computed, or the other way round."""
        computing = flop / (self.flop_s * SHARE_OF_PRODUCTS)
        return max(computing, pass_bytes / self.bus_bytes_s) if pass_bytes and self.bus_bytes_s else computing


def measure(precision: Precision, device: Device) -> Rates:
    """In about half a second."""
    side = SIDE[device.is_gpu]
    a = torch.randn((side, side), device=device.torch, dtype=DTYPES[precision])
    product: Callable[[], torch.Tensor] = lambda: torch.mm(a, a)  # noqa: E731
    if precision == "fp8" and device.has_fp8_products:
        rows, scale = quantise(a)
        product = lambda: scaled_product(rows, scale, rows.t(), scale.t(), torch.bfloat16)  # noqa: E731
    flop_s = 2 * side**3 / _seconds(product, device)
    if device.memory() is None:
        return Rates(flop_s, None)
    there = torch.empty(BUS_BYTES, dtype=torch.uint8, device=device.torch)
    here = torch.empty(BUS_BYTES, dtype=torch.uint8, pin_memory=True)
    return Rates(flop_s, BUS_BYTES / _seconds(lambda: there.copy_(here, non_blocking=True), device))


def _seconds(work: Callable[[], object], device: Device) -> float:
    """Of one, when many run one after the other."""
    work()
    device.synchronise()
    count, begun_s = 0, time.perf_counter()
    while time.perf_counter() - begun_s < LEAST_S:
        for _ in range(4 if device.is_gpu else 1):
            work()
        device.synchronise()
        count += 4 if device.is_gpu else 1
    return (time.perf_counter() - begun_s) / count


def preset_seconds(option: Option, rates: Rates, profile: ModelProfile, shape: ModelShape) -> dict[str, float]:
    """Of each preset, by its id: the steps alone."""
    return {preset.id: _preset_s(preset, option, rates, profile, shape) for preset in profile.presets}


def _preset_s(preset: Preset, option: Option, rates: Rates, profile: ModelProfile, shape: ModelShape) -> float:
    job = pin(GenerationRequest(prompt="a picture of average length", preset=preset.id, seed=0), profile).job
    work = workload(job)
    return work.steps * rates.step_s(work.steps_flop(shape) / work.steps, option.pass_bytes)
