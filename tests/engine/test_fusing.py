"""Where the fused blocks cannot be had, the plain ones draw: unless they were asked for by name."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from hidream_studio.engine import fusing, pipeline
from hidream_studio.engine.fusing import fused_blocks
from hidream_studio.engine.pipeline import Pipeline
from hidream_studio.errors import DeviceError
from hidream_studio.model.config import CONFIG_8B
from hidream_studio.model.transformer import O1Transformer
from hidream_studio.model.weights import empty_model

SHAPE = {"hidden_size": 64, "layers": 1, "heads": 2, "kv_heads": 1, "mlp_size": 64, "vocab_size": 100}


@pytest.fixture
def model() -> O1Transformer:
    return empty_model(type(CONFIG_8B)(**{**CONFIG_8B.__dict__, **SHAPE}), "cpu", torch.bfloat16)


class Gpu:
    """Stands for a model on a GPU, as far as it is looked at here."""

    device = torch.device("cuda:0")
    dtype = torch.bfloat16


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    monkeypatch.setattr(fusing, "why_not_fused", lambda model: None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    return monkeypatch


def failing(error: Exception):
    def make(_: object):
        raise error

    return make


def test_a_cpu_draws_with_plain_blocks_and_nobody_is_warned(model: O1Transformer, caplog: pytest.LogCaptureFixture):
    assert fused_blocks(model, None) is None
    assert fused_blocks(model, False) is None
    assert not caplog.records


def test_asked_for_by_name_they_are_refused_with_the_reason(golden_checkpoint: Path):
    with pytest.raises(DeviceError, match="fused kernels were asked for, but they are for CUDA devices") as refusal:
        Pipeline.load(str(golden_checkpoint), device="cpu", fused=True)
    assert refusal.value.field == "fused"


def test_a_gpu_that_cannot_run_them_draws_without_and_the_log_says_why(
    on_gpu: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    on_gpu.setattr(fusing, "FusedBlocks", failing(RuntimeError("Failed to find C compiler.\nmore lines")))
    with caplog.at_level(logging.INFO):
        assert fused_blocks(Gpu(), None) is None  # type: ignore[arg-type]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "drawing without fused kernels, which is slower: they failed on a GPU: Failed to find C compiler."
    )
    with pytest.raises(DeviceError, match="they failed on a GPU"):
        fused_blocks(Gpu(), True)  # type: ignore[arg-type]


def test_in_float32_nobody_is_warned_and_the_refusal_says_what_would_help(
    on_gpu: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    on_gpu.setattr(Gpu, "dtype", torch.float32)
    on_gpu.setattr(fusing, "why_not_fused", lambda model: "they compute in bf16 or FP8")
    with caplog.at_level(logging.INFO):
        assert fused_blocks(Gpu(), None) is None  # type: ignore[arg-type]
    assert [record.levelno for record in caplog.records] == [logging.INFO]
    with pytest.raises(DeviceError, match="they compute in bf16 or FP8; --precision bf16 would let them"):
        fused_blocks(Gpu(), True)  # type: ignore[arg-type]


def test_a_device_that_they_broke_is_not_drawn_on(on_gpu: pytest.MonkeyPatch):
    broken = RuntimeError("CUDA error: an illegal memory access was encountered\nmore lines")
    on_gpu.setattr(fusing, "FusedBlocks", failing(broken))
    on_gpu.setattr(torch.cuda, "synchronize", failing(broken))  # CUDA repeats it for the life of the process
    with pytest.raises(DeviceError, match="illegal memory access was encountered; --no-fused leaves them out") as told:
        fused_blocks(Gpu(), None)  # type: ignore[arg-type]
    assert told.value.field == "fused"


def test_when_weights_cannot_be_copied_because_of_them_that_is_said(
    golden_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
):
    refusal = DeviceError("fused kernels broke the device", field="fused")
    copying = RuntimeError("CUDA error: an illegal memory access was encountered")
    monkeypatch.setattr(pipeline, "fused_blocks", lambda model, wanted: failing(refusal)(model))
    monkeypatch.setattr(pipeline, "fill_model", lambda *arguments: failing(copying)(arguments))
    with pytest.raises(DeviceError, match="fused kernels broke the device"):
        Pipeline.load(str(golden_checkpoint), device="cpu")


def test_too_little_memory_is_no_reason_to_draw_without_them(on_gpu: pytest.MonkeyPatch):
    on_gpu.setattr(fusing, "FusedBlocks", failing(torch.OutOfMemoryError("CUDA out of memory.")))
    with pytest.raises(torch.OutOfMemoryError):
        fused_blocks(Gpu(), None)  # type: ignore[arg-type]
