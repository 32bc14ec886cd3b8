"""The device that a worker computes on: what it is, has and can. All that is one maker's alone is said here.

Knows nothing of jobs. `model/` keeps what only runs on CUDA: its kernels, and how weights travel there.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil
import torch

from hidream_studio.errors import DeviceError, OutOfMemoryError

if TYPE_CHECKING:
    from hidream_studio.settings import Precision

GIB = 2**30
MIB = 2**20
DRIVER_TIMEOUT_S = 10
DRIVER_FILE = Path("/proc/driver/nvidia/version")
HOST_MEMORY_WORDS = (
    "DefaultCPUAllocator: can't allocate memory",  # torch c10/core/impl/alloc_cpu.cpp, on Linux
    "DefaultCPUAllocator: not enough memory",  # and on Windows
    "std::bad_alloc",  # what C++ itself says
    "Cannot allocate memory",  # what the system says (ENOMEM)
)
DTYPES: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp8": torch.bfloat16, "fp32": torch.float32}
FP8_CAPABILITY = (8, 9)  # Ada; then Hopper and Blackwell
BF16_CAPABILITY = (8, 0)  # Ampere


class Memory(NamedTuple):
    """Of a device, in bytes."""

    free: int
    total: int


@dataclass(frozen=True)
class Device:
    """One device of this machine. Made by `pick_device`, or of the device that a model lies on."""

    torch: torch.device

    def __str__(self) -> str:
        return str(self.torch)

    @property
    def type(self) -> str:
        return self.torch.type

    @property
    def is_gpu(self) -> bool:
        """Whether it works while the host goes on, in memory of its own."""
        return self.type != "cpu"

    @property
    def name(self) -> str:
        """As its maker calls it; "cpu" for a CPU."""
        return torch.cuda.get_device_name(self.torch) if self.type == "cuda" else self.type

    @property
    def capability(self) -> tuple[int, int] | None:
        """Of NVIDIA's, which says what arithmetic it has; None for others."""
        nvidia = self.type == "cuda" and torch.version.hip is None
        return torch.cuda.get_device_capability(self.torch) if nvidia else None

    @property
    def has_fp8_products(self) -> bool:
        return self.capability is not None and self.capability >= FP8_CAPABILITY

    @property
    def total_bytes(self) -> int | None:
        """Of its own memory, told without taking any; None for a CPU."""
        return torch.cuda.get_device_properties(self.torch).total_memory if self.type == "cuda" else None

    def memory(self) -> Memory | None:
        """Its own; None for a CPU, which has this machine's."""
        return Memory(*torch.cuda.mem_get_info(self.torch)) if self.type == "cuda" else None

    def memory_for_tensors(self) -> Memory:
        """What tensors may still take: this process's reserve counts as free; a CPU's is this machine's."""
        own = self.memory()
        if own is None:
            machine = psutil.virtual_memory()
            return Memory(machine.available, machine.total)
        taken = torch.cuda.memory_allocated(self.torch)
        free = own.free + torch.cuda.memory_reserved(self.torch) - taken
        limit = int(torch.cuda.get_per_process_memory_fraction(self.torch) * own.total)
        return Memory(max(0, min(free, limit - taken)), own.total)

    def limit(self, tensor_bytes: int) -> None:
        """Let this process's tensors take no more than that."""
        if (memory := self.memory()) is not None:
            torch.cuda.set_per_process_memory_fraction(min(1.0, tensor_bytes / memory.total), self.torch)

    def empty_cache(self) -> None:
        """Give back what is reserved and holds no tensor."""
        if self.type == "cuda":
            torch.cuda.empty_cache()

    def synchronise(self) -> None:
        """Wait until all its work is done. Raises RuntimeError where the device is in an error state."""
        if self.type == "cuda":
            torch.cuda.synchronize(self.torch)
        elif self.type == "mps":
            torch.mps.synchronize()

    def mark(self, *, timed: bool = False) -> Mark:
        """A place in the stream of its work, as it is now."""
        return Mark(self.torch, timed=timed)

    def attention(self, precision: Precision) -> str:
        """What computes attention, as a part of the numeric path."""
        return "cudnn" if self.capability is not None and precision != "fp32" else "sdpa"  # cuDNN has no float32

    def driver_version(self) -> str | None:
        """The NVIDIA driver's version; None on a CPU, or where nothing tells it."""
        if self.type != "cuda":
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


class Mark:
    """Where a device's work was when this was made. On a CPU, whose work is done at once, a time."""

    def __init__(self, device: torch.device, *, timed: bool) -> None:
        if device.type == "mps":  # its events tell no time: the work is waited for
            torch.mps.synchronize()
        self._at_s = time.perf_counter()
        self._event: torch.cuda.Event | None = None
        if device.type == "cuda":
            self._event = torch.cuda.Event(enable_timing=timed, blocking=not timed)  # type: ignore[no-untyped-call]
            self._event.record(torch.cuda.current_stream(device))

    def wait(self) -> None:
        """Return when the device has come here."""
        if self._event is not None:
            self._event.synchronize()

    def seconds_since(self, earlier: Mark) -> float:
        """The device's time from there to here, in s; both are timed, and waited for."""
        if self._event is None or earlier._event is None:
            return self._at_s - earlier._at_s
        return float(earlier._event.elapsed_time(self._event)) / 1e3


def pick_device(name: str) -> Device:
    """The device of that name; "auto" is the first CUDA device, or else the CPU.

    Raises
    ------
    DeviceError
        when the name means none, or one that this project or this machine cannot use.
    """
    if name == "auto":
        return Device(torch.device("cuda:0" if torch.cuda.is_available() else "cpu"))
    if name == "cpu":
        return Device(torch.device("cpu"))
    if name == "mps":
        if not torch.backends.mps.is_available():
            raise DeviceError("device 'mps' was asked for, but torch finds no Apple GPU here", field="device")
        return Device(torch.device("mps"))
    if not re.fullmatch(r"cuda(:\d+)?", name):
        raise DeviceError(
            f"device {name!r} is not supported; there are auto, cpu, cuda, cuda:N and mps", field="device"
        )
    if not torch.cuda.is_available():
        raise DeviceError(f"device {name!r} was asked for, but torch finds no CUDA device here", field="device")
    device = torch.device(name if ":" in name else "cuda:0")
    if (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise DeviceError(
            f"device {name!r} was asked for, but there are {count}, from cuda:0", field="device", limit=count
        )
    return Device(device)


def gpus() -> list[Device]:
    """Every GPU that `pick_device` has a name for."""
    if not torch.cuda.is_available():
        return []
    return [Device(torch.device("cuda", index)) for index in range(torch.cuda.device_count())]


def why_no_gpu() -> str:
    """Where `gpus` finds none."""
    return "this torch is built without CUDA" if torch.version.cuda is None else "no NVIDIA GPU or driver is found"


def pick_precision(name: Precision | None, device: Device) -> Precision:
    """The precision of that name; none is bf16 on a GPU (fp16 is unstable, upstream), float32 on a CPU.

    FP8 on a GPU without FP8 products keeps the weights so, and computes in bf16.

    Raises
    ------
    DeviceError
        when this device has no such arithmetic.
    """
    capability = device.capability
    if name is None:
        name = "bf16" if device.is_gpu else "fp32"
    if name not in DTYPES:
        raise DeviceError(f"precision {name!r} is unknown; there are {', '.join(DTYPES)}", field="precision")
    if name == "fp8" and capability is None:
        where = "a CPU" if device.type == "cpu" else device.name
        raise DeviceError(f"fp8 needs an NVIDIA GPU, from Ampere on, not {where}", field="precision")
    if name in ("bf16", "fp8") and capability is not None and capability < BF16_CAPABILITY:
        needs = " and so no fp8 either" if name == "fp8" else ""
        raise DeviceError(f"{device.name} has no bf16{needs}; use --precision fp32", field="precision")
    return name


def check_memory(needed: int, device: Device, what: str) -> None:
    """Refuse before loading what cannot fit; bytes.

    Raises
    ------
    OutOfMemoryError
    """
    memory = device.memory_for_tensors()
    if device.memory() is not None and needed > memory.free:
        raise OutOfMemoryError(
            f"{what} needs {needed / GIB:.1f} GiB on {device}, where {memory.free / GIB:.1f} GiB are free"
        )


@contextmanager
def memory_errors_named(device: Device, what: str) -> Iterator[None]:
    """Turn running out of memory, the device's or this machine's, into one sentence with what was needed and free.

    Raises
    ------
    OutOfMemoryError
    """
    try:
        yield
    except (RuntimeError, MemoryError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(out_of_memory_message(error, device, what)) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch, NumPy or the system ran out of memory: for a CPU, torch has a RuntimeError of its own words."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, (RuntimeError, OSError)) and any(words in str(error) for words in HOST_MEMORY_WORDS)


def out_of_memory_message(error: BaseException, device: Device, what: str) -> str:
    """What was needed, what was free, and what to do, for an error of which `is_out_of_memory` holds."""
    of_device = isinstance(error, torch.OutOfMemoryError) and device.is_gpu
    where = f"on {device}" if of_device else "in this machine's memory"
    memory = (device if of_device else Device(torch.device("cpu"))).memory_for_tensors()
    return (
        f"{what} needed another {_asked(str(error))} {where}, "
        f"where {memory.free / GIB:.1f} of {memory.total / GIB:.1f} GiB were free; a smaller size needs less"
    )


def _asked(told: str) -> str:
    """How much could not be had, in the words of CUDA's allocator, the CPU's or NumPy's."""
    if in_bytes := re.search(r"allocate (\d+) bytes", told):
        nbytes = int(in_bytes.group(1))
        return f"{nbytes / GIB:.2f} GiB" if nbytes >= GIB else f"{nbytes / MIB:.2f} MiB"
    named = re.search(r"(?i:to allocate) ([\d.]+ \wiB)", told)
    return named.group(1) if named else "piece"
