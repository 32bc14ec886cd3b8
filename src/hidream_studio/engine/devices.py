"""What this machine can compute with, said plainly where it cannot. Knows nothing of jobs."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import torch

from hidream_studio.errors import DeviceError, OutOfMemoryError

if TYPE_CHECKING:
    from hidream_studio.settings import Precision

GIB = 2**30
MIB = 2**20
DRIVER_TIMEOUT_S = 10
DRIVER_FILE = Path("/proc/driver/nvidia/version")
HOST_MEMORY_WORDS = (  # torch c10/core/impl/alloc_cpu.cpp, on Linux and on Windows; what C++ itself says
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "std::bad_alloc",
)
DTYPES: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp8": torch.bfloat16, "fp32": torch.float32}
FP8_CAPABILITY = (8, 9)  # Ada; then Hopper and Blackwell


def pick_device(name: str) -> torch.device:
    """The device of that name; "auto" is the first CUDA device, or else the CPU.

    Raises
    ------
    DeviceError
        when the name means none, or one that this project or this machine cannot use.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    if not re.fullmatch(r"cuda(:\d+)?", name):
        raise DeviceError(f"device {name!r} is not supported; there are auto, cpu, cuda and cuda:N", field="device")
    if not torch.cuda.is_available():
        raise DeviceError(f"device {name!r} was asked for, but torch finds no CUDA device here", field="device")
    device = torch.device(name if ":" in name else "cuda:0")
    if (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise DeviceError(
            f"device {name!r} was asked for, but there are {count}, from cuda:0", field="device", limit=count
        )
    return device


def pick_precision(name: Precision | None, device: torch.device) -> Precision:
    """The precision of that name; none is bf16 on CUDA (fp16 is unstable, upstream), float32 on a CPU.

    Raises
    ------
    DeviceError
        when this device has no such arithmetic.
    """
    if name is None:
        return "bf16" if device.type == "cuda" else "fp32"
    if name not in DTYPES:
        raise DeviceError(f"precision {name!r} is unknown; there are {', '.join(DTYPES)}", field="precision")
    if name == "fp8" and (device.type != "cuda" or torch.cuda.get_device_capability(device) < FP8_CAPABILITY):
        where = torch.cuda.get_device_name(device) if device.type == "cuda" else "a CPU"
        raise DeviceError(f"fp8 needs an NVIDIA Ada, Hopper or Blackwell GPU, not {where}", field="precision")
    if name == "bf16" and device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 0):
        raise DeviceError(f"{torch.cuda.get_device_name(device)} has no bf16; use --precision fp32", field="precision")
    return name


def driver_version(device: torch.device) -> str | None:
    """The NVIDIA driver's version; None on a CPU, or where nothing tells it."""
    if device.type != "cuda":
        return None
    try:  # Linux's driver tells it at once; starting NVIDIA's tool takes up to a second
        if found := re.search(r"Module.*?\s(\d+(?:\.\d+)+)\s", DRIVER_FILE.read_text(encoding="utf-8")):
            return found[1]
    except OSError:
        pass  # Windows, or its Linux
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=DRIVER_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = told.stdout.split()
    return lines[0] if told.returncode == 0 and lines else None


def check_memory(needed: int, device: torch.device, what: str) -> None:
    """Refuse before loading what cannot fit; bytes.

    Raises
    ------
    OutOfMemoryError
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if needed > free:
            raise OutOfMemoryError(
                f"{what} needs {needed / GIB:.1f} GiB on {device}, where {free / GIB:.1f} GiB are free"
            )


@contextmanager
def memory_errors_named(device: torch.device, what: str) -> Iterator[None]:
    """Turn running out of memory, the device's or this machine's, into one sentence with what was needed and free.

    Raises
    ------
    OutOfMemoryError
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(out_of_memory_message(error, device, what)) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch or NumPy ran out of memory: for a CPU, torch has a RuntimeError with a sentence of its own."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in HOST_MEMORY_WORDS)


def out_of_memory_message(error: BaseException, device: torch.device, what: str) -> str:
    """What was needed, what was free, and what to do, for an error of which `is_out_of_memory` holds."""
    if isinstance(error, torch.OutOfMemoryError) and device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        where = f"on {device}"
    else:
        memory = psutil.virtual_memory()
        free, total = memory.available, memory.total
        where = "in this machine's memory"
    return (
        f"{what} needed another {_asked(str(error))} {where}, "
        f"where {free / GIB:.1f} of {total / GIB:.1f} GiB were free; a smaller size needs less"
    )


def _asked(told: str) -> str:
    """How much could not be had, in the words of CUDA's allocator, the CPU's or NumPy's."""
    if in_bytes := re.search(r"allocate (\d+) bytes", told):
        nbytes = int(in_bytes.group(1))
        return f"{nbytes / GIB:.2f} GiB" if nbytes >= GIB else f"{nbytes / MIB:.2f} MiB"
    named = re.search(r"(?i:to allocate) ([\d.]+ \wiB)", told)
    return named.group(1) if named else "piece"
