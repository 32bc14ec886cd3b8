"""A checkpoint of any readable kind as a folder in upstream's layout, its layers' matrices in 8 bits where wanted.

Written tensor by tensor, so that it takes no more memory than the largest of them. What is written loads to the same
bits as what was read does at that precision. Knows no device but the CPU.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import torch
from torch import Tensor

from hidream_studio.errors import CheckpointError
from hidream_studio.model.checkpoint import INDEX_FILE, SINGLE_FILE, Checkpoint
from hidream_studio.model.config import CONFIG_8B, VISION_8B, VISION_ACTIVATION
from hidream_studio.model.dequantise import as_e4m3, values_of
from hidream_studio.model.fp8 import quantise
from hidream_studio.model.header import StoredTensor
from hidream_studio.model.int8 import quantise_int8
from hidream_studio.model.marks import MARKS
from hidream_studio.model.reading import read_pieces
from hidream_studio.model.texts import CONFIG_FILE
from hidream_studio.model.weights import Scales

Stored = Literal["bf16", "fp8", "int8"]
FORMATS: dict[Stored, str] = {"fp8": "float8_e4m3fn_rowwise", "int8": "int8_tensorwise"}  # ComfyUI's names
NAMES = {torch.bfloat16: "BF16", torch.float8_e4m3fn: "F8_E4M3", torch.int8: "I8", torch.float32: "F32"}
TEXTS = ("*.json", "*.jinja", "merges.txt")
CPU = torch.device("cpu")


@dataclass(frozen=True)
class _Entry:
    """One tensor of the new file."""

    key: str
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def convert(
    checkpoint: Checkpoint,
    destination: Path,
    precision: Stored,
    on_progress: Callable[[float], None] | None = None,  # gets the share written, 0 to 1
) -> int:
    """Write it. Returns the bytes of its weights.

    Raises
    ------
    CheckpointError
        where the destination is not empty or cannot be written, or a file can no longer be read.
    """
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise CheckpointError(f"{destination} is there already, and not an empty folder; name another")
    stored = {**checkpoint.tensors, **checkpoint.visual}
    try:
        destination.mkdir(parents=True, exist_ok=True)
        _copy_texts(checkpoint, destination)
        part = destination / f"{SINGLE_FILE}.part"
        with part.open("wb") as file:
            _write(file, stored, precision, on_progress or (lambda share: None))
            file.flush()
            os.fsync(file.fileno())
        part.rename(destination / SINGLE_FILE)
    except OSError as error:
        raise CheckpointError(f"{destination} cannot be written: {error.strerror or error}") from error
    return (destination / SINGLE_FILE).stat().st_size


def _copy_texts(checkpoint: Checkpoint, destination: Path) -> None:
    for folder in dict.fromkeys((checkpoint.folder, checkpoint.tokenizer_folder)):
        for pattern in TEXTS:
            for path in sorted(folder.glob(pattern)):
                if path.name != INDEX_FILE:
                    shutil.copyfile(path, destination / path.name)
    if not (destination / CONFIG_FILE).is_file():  # one file alone is of the 8B shape
        (destination / CONFIG_FILE).write_text(json.dumps(_config_8b(), indent=2) + "\n", encoding="utf-8")


def _write(
    file: BinaryIO, stored: Mapping[str, StoredTensor], precision: Stored, on_progress: Callable[[float], None]
) -> None:
    tensors = sorted(stored.items(), key=lambda item: (item[1].file, item[1].offset))
    entries = [entry for key, tensor in tensors for entry in _entries(key, tensor, precision)]
    header: dict[str, object] = {"__metadata__": _metadata(stored, precision)}
    first = 0
    for entry in entries:
        header[entry.key] = {
            "dtype": NAMES[entry.dtype], "shape": entry.shape, "data_offsets": [first, first + entry.nbytes],
        }  # fmt: skip
        first += entry.nbytes
    content = json.dumps(header, separators=(",", ":")).encode()
    content += b" " * (-len(content) % 8)
    file.write(len(content).to_bytes(8, "little") + content)
    written, total = 0, first
    for key, tensor, rows, scale in _whole(tensors):
        for part in _parts(key, tensor, rows, scale, precision):
            file.write(part.contiguous().view(-1).view(torch.uint8).numpy().data)
            written += part.nbytes
        on_progress(written / total)


def _whole(
    tensors: list[tuple[str, StoredTensor]],
) -> Iterator[tuple[str, StoredTensor, Tensor, Tensor | None]]:
    """Each tensor as stored, and the scales of its rows or blocks."""
    scales, by_key = Scales(CPU), dict(tensors)
    rows: list[Tensor] = []
    scale: list[Tensor] = []
    for piece in read_pieces(tensors, CPU):
        tensor = by_key[piece.key]
        rows.append(piece.rows.clone())  # the next piece may lie where this one does
        if tensor.scaling is not None:
            scale.append(scales.of(tensor, piece))
        if piece.first_row + len(piece.rows) == tensor.shape[0]:
            yield piece.key, tensor, torch.cat(rows), torch.cat(scale) if scale else None
            rows, scale = [], []


def _entries(key: str, tensor: StoredTensor, precision: Stored) -> list[_Entry]:
    if not _to_quantise(key, tensor, precision):
        return [_Entry(key, torch.bfloat16, tensor.shape)]
    dtype = torch.float8_e4m3fn if precision == "fp8" else torch.int8
    return [
        _Entry(key, dtype, tensor.shape),
        _Entry(key.removesuffix(".weight") + ".weight_scale", torch.float32, (tensor.shape[0], 1)),
    ]


def _parts(key: str, tensor: StoredTensor, rows: Tensor, scale: Tensor | None, precision: Stored) -> tuple[Tensor, ...]:
    """What `_entries` announced."""
    scaling, quantised = tensor.scaling, _to_quantise(key, tensor, precision)
    if scaling is None or scale is None:
        values = rows.to(torch.bfloat16)
    else:
        if quantised and (precision, scaling.kind, scaling.rotated) == ("fp8", "e4m3", 0):
            return as_e4m3(rows), scale  # no second loss
        if quantised and (precision, scaling.kind, scaling.rotated) == ("int8", "int8", 0):
            return rows, scale
        values = values_of(rows, scaling.kind, scale, scaling.rotated).to(torch.bfloat16)
    if not quantised:
        return (values,)
    return quantise(values) if precision == "fp8" else quantise_int8(values)


def _to_quantise(key: str, tensor: StoredTensor, precision: Stored) -> bool:
    """The decoder's layers' matrices, as `use_fp8_linears` has it."""
    return precision != "bf16" and ".language_model.layers." in key and len(tensor.shape) == 2


def _metadata(stored: Mapping[str, StoredTensor], precision: Stored) -> dict[str, str]:
    layers = {
        key.removesuffix(".weight"): {"format": FORMATS[precision]}
        for key, tensor in stored.items()
        if _to_quantise(key, tensor, precision)
    }
    told = {MARKS: json.dumps({"format_version": "1.0", "layers": layers})} if layers else {}
    return {"format": "pt", **told}


def _config_8b() -> dict[str, object]:
    c, v = CONFIG_8B, VISION_8B
    return {
        "architectures": ["Qwen3VLForConditionalGeneration"],
        "model_type": "qwen3_vl",
        "text_config": {
            "model_type": "qwen3_vl_text", "vocab_size": c.vocab_size, "hidden_size": c.hidden_size,
            "intermediate_size": c.mlp_size, "num_hidden_layers": c.layers, "num_attention_heads": c.heads,
            "num_key_value_heads": c.kv_heads, "head_dim": c.head_dim, "rms_norm_eps": c.rms_eps,
            "rope_theta": c.rope_theta,
            "rope_scaling": {
                "rope_type": "default", "mrope_interleaved": True, "mrope_section": list(c.mrope_section),
            },
        },
        "vision_config": {
            "model_type": "qwen3_vl", "depth": v.layers, "hidden_size": v.hidden_size, "num_heads": v.heads,
            "intermediate_size": v.mlp_size, "patch_size": v.patch_px, "temporal_patch_size": v.frames,
            "spatial_merge_size": v.merge, "num_position_embeddings": v.positions, "out_hidden_size": v.out_size,
            "deepstack_visual_indexes": list(v.deepstack_after), "hidden_act": VISION_ACTIVATION, "in_channels": 3,
        },
    }  # fmt: skip
