"""Tensors out of safetensors files, read ahead by a few threads while the device takes the last ones. No model here.

A file is read in pieces of whole rows into a handful of buffers, from which a GPU copies by itself: so loading takes
about as long as reading the files, and never holds more than the buffers beside the model.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hidream_studio.errors import CheckpointError
from hidream_studio.model.header import StoredTensor

PIECE_BYTES = 64 * 2**20
READERS = 4  # one thread does not fill an NVMe disk
TYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16, "F64": torch.float64}  # safetensors' names
TYPES |= {"F8_E4M3": torch.float8_e4m3fn, "F8_E8M0": torch.uint8, "U8": torch.uint8, "I8": torch.int8}  # quantised


@dataclass(frozen=True)
class Piece:
    """Some whole rows of one tensor."""

    key: str
    first_row: int
    rows: Tensor  # on the device, in the file's dtype; valid until the next piece is asked for


@dataclass(frozen=True)
class _Range:
    key: str
    stored: StoredTensor
    first_row: int
    rows: int
    offset: int  # in the file
    nbytes: int


class _Buffer:
    """Memory that is read into, and that must not be read into again before the device has its copy."""

    def __init__(self, nbytes: int, device: torch.device) -> None:
        self._on_cuda = device.type == "cuda"
        self._device = device
        self._bytes = torch.empty(nbytes, dtype=torch.uint8, pin_memory=self._on_cuda)
        self._taken: torch.cuda.Event | None = None

    def fill(self, part: _Range) -> _Buffer:
        if self._taken is not None:
            self._taken.synchronize()
        left: npt.NDArray[np.uint8] = self._bytes.numpy()[: part.nbytes]
        try:
            with part.stored.file.open("rb", buffering=0) as file:
                file.seek(part.offset)
                while len(left):
                    count = file.readinto(left.data)
                    if not count:
                        raise CheckpointError(f"{part.stored.file} is cut short inside {part.key}")
                    left = left[count:]
        except OSError as error:
            raise CheckpointError(f"{part.stored.file} cannot be read: {error.strerror or error}") from error
        return self

    def rows(self, part: _Range) -> Tensor:
        values = self._bytes[: part.nbytes].view(TYPES[part.stored.dtype])
        rows = values.view(part.rows, *part.stored.shape[1:]).to(self._device, non_blocking=self._on_cuda)
        if self._on_cuda:
            self._taken = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._taken.record(torch.cuda.current_stream(self._device))
        return rows


def read_whole(stored: StoredTensor) -> Tensor:
    """A small tensor, on the host. Raises CheckpointError."""
    try:
        with stored.file.open("rb", buffering=0) as file:
            file.seek(stored.offset)
            content = bytearray(file.read(stored.nbytes))
    except OSError as error:
        raise CheckpointError(f"{stored.file} cannot be read: {error.strerror or error}") from error
    if len(content) < stored.nbytes:
        raise CheckpointError(f"{stored.file} is cut short")
    return torch.frombuffer(content, dtype=TYPES[stored.dtype]).reshape(stored.shape)


def read_pieces(tensors: Sequence[tuple[str, StoredTensor]], device: torch.device) -> Iterator[Piece]:
    """All rows of these tensors, in the order given.

    Raises
    ------
    CheckpointError
        naming the file that could not be read.
    """
    with ThreadPoolExecutor(READERS, "weights") as threads:
        waiting: deque[tuple[_Range, Future[_Buffer]]] = deque()
        nbytes = max(PIECE_BYTES, *(_row_bytes(stored) for _, stored in tensors))
        free = [_Buffer(nbytes, device) for _ in range(READERS + 1)]
        parts = (part for key, stored in tensors for part in _ranges(key, stored))
        while True:
            while free and (part := next(parts, None)) is not None:
                waiting.append((part, threads.submit(free.pop().fill, part)))
            if not waiting:
                return
            part, future = waiting.popleft()
            buffer = future.result()
            yield Piece(part.key, part.first_row, buffer.rows(part))
            free.append(buffer)


def _ranges(key: str, stored: StoredTensor) -> Iterator[_Range]:
    row_bytes = _row_bytes(stored)
    at_once = max(1, PIECE_BYTES // row_bytes)
    for first in range(0, stored.shape[0], at_once):
        rows = min(at_once, stored.shape[0] - first)
        yield _Range(key, stored, first, rows, stored.offset + first * row_bytes, rows * row_bytes)


def _row_bytes(stored: StoredTensor) -> int:
    return stored.nbytes // stored.shape[0]
