"""A GPU that is too small for the weights still draws, and the same pixels. Fakes stand for the GPU and its memory."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from hidream_studio.engine import precision as precision_module
from hidream_studio.engine.budget import OWN_BYTES, Budget, Needs, Room, plan
from hidream_studio.engine.devices import GIB, Device, Memory
from hidream_studio.engine.pipeline import Pipeline
from hidream_studio.errors import DeviceError, OutOfMemoryError
from hidream_studio.job.job import Job, pin
from hidream_studio.job.profiles import HIDREAM_O1_IMAGE
from hidream_studio.job.request import GenerationRequest
from hidream_studio.model.config import CONFIG_8B
from hidream_studio.model.residency import Residency

BF16 = Needs.of(CONFIG_8B, torch.bfloat16, 2048, fp8=False)
FP8 = Needs.of(CONFIG_8B, torch.bfloat16, 2048, fp8=True)


@dataclass(frozen=True)
class Gpu(Device):
    """As much memory as is said."""

    gib: float = 24.0

    def memory(self) -> Memory:
        return Memory(int(self.gib * GIB), int(self.gib * GIB))


def gpu(gib: float) -> Gpu:
    return Gpu(torch.device("cpu"), gib)


@pytest.fixture(autouse=True)
def host_of_64_gib(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = psutil.virtual_memory()._replace(available=64 * GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)


def job(**asked: object) -> Job:
    request = GenerationRequest(prompt="a red circle", seed=3, steps=3, width=256, height=256, snap_resolution=False)
    return pin(request.model_copy(update={"guidance_scale": 3.0, **asked}), HIDREAM_O1_IMAGE).job


def test_a_card_that_holds_all_keeps_all() -> None:
    assert plan(BF16, 36, gpu(20), None, "it") == Budget(Residency(36))
    assert plan(FP8, 36, gpu(12), None, "it") == Budget(Residency(36))


@pytest.mark.parametrize(("needs", "gib"), [(FP8, 4), (FP8, 6), (FP8, 8), (BF16, 6), (BF16, 8), (BF16, 12)])
def test_what_stays_what_travels_and_a_step_keep_to_the_limit(needs: Needs, gib: float) -> None:
    budget = plan(needs, 36, gpu(80), gib, "it")
    taken = budget.residency.on_device * needs.block + needs.beside + needs.step + (budget.kept_bytes or 0)
    assert taken + OWN_BYTES <= gib * GIB
    assert taken + OWN_BYTES > (gib - 0.8) * GIB or budget.residency.travelling == ()
    assert budget.tensor_bytes == gib * GIB - OWN_BYTES


def test_a_limit_below_the_least_is_refused_with_the_numbers() -> None:
    with pytest.raises(OutOfMemoryError, match=r"^it needs \d\.\d GiB on cpu even with all .*; --vram gives it 1 GiB$"):
        plan(BF16, 36, gpu(80), 1.0, "it")
    with pytest.raises(OutOfMemoryError, match=r"; 2\.0 GiB are free$"):
        plan(BF16, 36, gpu(2), None, "it")


def test_a_device_without_memory_of_its_own_takes_no_limit() -> None:
    assert plan(BF16, 36, Device(torch.device("cpu")), None, "it") == Budget(Residency(36))
    with pytest.raises(DeviceError, match="--vram limits a GPU's own memory; cpu has none") as refusal:
        plan(BF16, 36, Device(torch.device("cpu")), 8.0, "it")
    assert refusal.value.field == "vram"


def test_where_the_hosts_memory_is_short_too_blocks_come_from_their_files(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = psutil.virtual_memory()._replace(available=8 * GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    assert plan(BF16, 36, gpu(8), None, "it").from_files
    assert not plan(FP8, 36, gpu(8), None, "it").from_files


@pytest.mark.parametrize("from_files", [False, True])
def test_streamed_pictures_are_resident_ones_alone_and_in_turns(
    golden_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, from_files: bool
) -> None:
    resident = Pipeline.load(str(golden_checkpoint), device="cpu")
    budget = Budget(Residency(3, (0, 2)), from_files, None, 2**20)
    monkeypatch.setattr(precision_module, "plan", lambda *_: budget)
    with caplog.at_level(logging.INFO):
        streamed = Pipeline.load(str(golden_checkpoint), device="cpu")
    assert any("1 of 3 blocks stay on cpu, 2 travel" in record.message for record in caplog.records)
    assert ("as slow as the disk may be" in caplog.text) == from_files
    jobs = [job(), job(seed=4, guidance_scale=1.0), job(seed=5, width=320)]
    expected = [finished(resident, one) for one in jobs]
    renders = [streamed.render(one) for one in jobs]
    for _ in range(3):
        for render in renders:
            next(render)
    for render, pixels in zip(renders, expected, strict=True):
        with pytest.raises(StopIteration) as end:
            next(render)
        assert np.array_equal(end.value.value.pixels, pixels)


def finished(pipeline: Pipeline, one: Job) -> np.ndarray:
    render = pipeline.render(one)
    while True:
        try:
            next(render)
        except StopIteration as end:
            return end.value.pixels


def test_where_memory_runs_out_blocks_make_room_once_and_the_pixels_stay(
    golden_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = Pipeline.load(str(golden_checkpoint), device="cpu")
    expected = finished(pipeline, job())
    pipeline.free_memory()
    monkeypatch.setattr(Room, "can_give", property(lambda room: room._model.travel is None))
    monkeypatch.setattr("hidream_studio.engine.budget.GIVEN_AT_ONCE_BYTES", 1)
    plain, calls = pipeline._model.forward_branches, []

    def once_out_of_memory(*arguments: object) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return plain(*arguments)

    monkeypatch.setattr(pipeline._model, "forward_branches", once_out_of_memory)
    with caplog.at_level(logging.WARNING):
        assert np.array_equal(finished(pipeline, job()), expected)
    assert [record.message for record in caplog.records] == [
        "memory ran out; 3 more blocks make room. fp32: 0 of 3 blocks stay on cpu, 3 travel: 0.0 GiB a step, "
        "copied ahead of the step"
    ]
    calls.clear()
    with pytest.raises(OutOfMemoryError, match=r"drawing 256×256 needed another 2\.00 GiB"):
        finished(pipeline, replace(job(), seed=6))
