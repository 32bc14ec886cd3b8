"""The header of a safetensors file: which tensors it has, where their bytes lie. Loads none, knows no model."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hidream_studio.errors import CheckpointError

LFS_POINTER = b"version https://git-lfs.github.com/spec/"  # how each one begins
GGUF_MAGIC = b"GGUF"
MAX_HEADER_BYTES = 100_000_000  # safetensors' own limit


@dataclass(frozen=True)
class Scaling:
    """What gives a quantised tensor its values back (`marks.py` reads it, `dequantise.py` applies it)."""

    kind: Literal["e4m3", "mxfp8", "int8"]
    scale: StoredTensor
    rotated: int = 0  # values of a row that were rotated together before they were quantised; 0: none were


@dataclass(frozen=True)
class StoredTensor:
    """Where the bytes of one tensor lie."""

    file: Path
    dtype: str  # safetensors' name
    shape: tuple[int, ...]
    offset: int  # of its first byte in the file
    nbytes: int
    scaling: Scaling | None = None  # of a quantised one


def read_header(path: Path) -> dict[str, StoredTensor]:
    """The header of a safetensors file: 8 bytes of length, then JSON (the format's documentation).

    Read by hand, so that a file that is cut short is known before anything is loaded.
    """
    header, data_start, size = _read(path)
    try:
        found = {key: _stored(path, entry, data_start) for key, entry in header.items() if key != "__metadata__"}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path} is no safetensors file: its header cannot be read") from error
    end = max((tensor.offset + tensor.nbytes for tensor in found.values()), default=data_start)
    if end > size:
        raise CheckpointError(f"{path} is cut short: it has {size:,} bytes, its header promises {end:,}")
    return found


def read_metadata(path: Path) -> Mapping[str, str]:
    """What the file says of itself beside its tensors. Raises CheckpointError."""
    found = _read(path)[0].get("__metadata__")
    return found if isinstance(found, dict) else {}


def _read(path: Path) -> tuple[dict[str, Any], int, int]:
    """The header, where the tensors' bytes begin, and how long the file is."""
    try:
        size = path.stat().st_size
        refuse_pointer(path)
        with path.open("rb") as file:
            start = file.read(8)
            if start[:4] == GGUF_MAGIC:
                raise CheckpointError(
                    f"{path} is a GGUF file, which is not read here; take the model as safetensors: upstream's folder, "
                    "or one of the single files in bf16, fp8_scaled or mxfp8"
                )
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 2 <= length <= min(size - 8, MAX_HEADER_BYTES):
                raise CheckpointError(f"{path} is no safetensors file, or is cut short inside its header")
            header = json.loads(file.read(length))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path} is no safetensors file: its header cannot be read") from error
    if not isinstance(header, dict):
        raise CheckpointError(f"{path} is no safetensors file: its header cannot be read")
    return header, 8 + length, size


def _stored(path: Path, entry: dict[str, Any], data_start: int) -> StoredTensor:
    first, last = (int(offset) for offset in entry["data_offsets"])
    if not 0 <= first <= last:
        raise ValueError("offsets")
    shape = tuple(int(side) for side in entry["shape"])
    return StoredTensor(path, str(entry["dtype"]), shape, data_start + first, last - first)


def refuse_pointer(path: Path) -> None:
    """A few words of Git LFS in the place of a file, where it was cloned without them."""
    with path.open("rb") as file:
        if file.read(len(LFS_POINTER)) == LFS_POINTER:
            raise CheckpointError(
                f"{path} is a Git LFS pointer, not the file itself: run `git lfs install` and `git lfs pull` in "
                f"{path.parent}, or give the hub id in place of the folder"
            )
