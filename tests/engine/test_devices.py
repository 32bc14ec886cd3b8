"""What a device tells of itself, and how running out of memory looks. Fakes stand for what NVIDIA's driver brings."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hidream_studio.engine import devices
from hidream_studio.engine.devices import Device, is_out_of_memory, memory_errors_named
from hidream_studio.errors import OutOfMemoryError

CPU, GPU = Device(torch.device("cpu")), Device(torch.device("cuda:0"))


def test_a_driver_is_what_nvidia_s_own_tool_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(devices, "DRIVER_FILE", tmp_path / "version")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert GPU.driver_version() is None  # no such tool
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 550.54.15\necho 550.54.15\n")
    tool.chmod(0o755)
    assert GPU.driver_version() == "550.54.15"
    assert CPU.driver_version() is None
    tool.write_text("#!/bin/sh\necho it failed\nexit 9\n")
    assert GPU.driver_version() is None


@pytest.mark.parametrize("module", ["NVIDIA UNIX x86_64 Kernel Module", "NVIDIA UNIX Open Kernel Module for x86_64"])
def test_linux_s_driver_tells_its_version_without_a_tool(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    told = f"NVRM version: {module}  580.95.05  Release Build  (dvs-builder)  Tue Sep 23 10:11:16 UTC 2025\n"
    monkeypatch.setattr(devices, "DRIVER_FILE", tmp_path / "version")
    monkeypatch.setenv("PATH", str(tmp_path))
    devices.DRIVER_FILE.write_text(told + "GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n")
    assert GPU.driver_version() == "580.95.05"


def test_torch_s_words_for_a_cpu_without_memory_become_one_sentence_with_the_numbers():
    with pytest.raises(OutOfMemoryError) as refusal, memory_errors_named(CPU, "drawing 2048×2048"):
        torch.empty(2**50, dtype=torch.uint8)
    assert refusal.value.message.startswith(
        "drawing 2048×2048 needed another 1048576.00 GiB in this machine's memory, where "
    )
    assert refusal.value.message.endswith("GiB were free; a smaller size needs less")


def test_other_errors_of_torch_stay_what_they_are():
    with pytest.raises(RuntimeError, match="size of tensor") as mistake, memory_errors_named(CPU, "drawing"):
        torch.zeros(2) + torch.zeros(3)
    assert not is_out_of_memory(mistake.value)
    assert is_out_of_memory(RuntimeError("std::bad_alloc"))
    assert is_out_of_memory(MemoryError())
