"""How other tools name and quantise the tensors of an O1 model, in upstream's names. Reads headers and a few bytes.

Names: upstream's own, without their `model.`, or under a prefix of the file's, such as `diffusion_model.`. Quantised
tensors: ComfyUI's marks (its QUANTIZATION.md; comfy/ops.py `_load_quantized_module`; comfy/utils.py
`convert_old_quants`), which stand in the header's `_quantization_metadata`, in a `.comfy_quant` tensor of each layer,
or nowhere, and then the scale beside a weight says it. Every file is known by its keys, never by its name.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hidream_studio.errors import CheckpointError
from hidream_studio.model.header import Scaling, StoredTensor
from hidream_studio.model.layout import IGNORED_PREFIX, MARKER_KEY

ROOT = "model."  # of upstream's keys
MARKER = MARKER_KEY.removeprefix(ROOT)
MARK = ".comfy_quant"  # uint8: the JSON of how this layer is quantised
MARKS = "_quantization_metadata"  # the same of all layers, in the header
OLD_MARK = "scaled_fp8"  # of whole files, before the others
SCALES = (".weight_scale", ".scale_weight")  # the second is the older name
SECOND_SCALE = ".weight_scale_2"  # nvfp4 alone has it
UNUSED = (".input_scale", ".scale_input")  # of the activations, which are scaled token by token here
FP8_DTYPES = ("F8_E4M3", "U8")  # older files keep the bytes as U8
MXFP8_BLOCK = 32  # values of a row to one scale
SCALE_ROWS, SCALE_COLUMNS = 128, 4  # a tile of block scales as cuBLAS reads them
ROTATION = 256  # ComfyUI's default
GROUPS = tuple(4**power for power in range(1, 7))  # a regular Hadamard matrix of its kind has a power of 4
E4M3_FORMATS = ("float8_e4m3fn", "float8_e4m3fn_rowwise")
READ = "e4m3 with its scales (fp8_scaled), mxfp8 and int8 by tensor or row"


def upstreams_keys(stored: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """The tensors by upstream's keys, where they have them under another prefix; others stay as they are."""
    marker = next((key for key in sorted(stored) if key.endswith(MARKER)), None)
    prefix = ROOT if marker is None else marker.removesuffix(MARKER)
    if prefix == ROOT or (prefix and not prefix.endswith(".")):
        return dict(stored)
    found: dict[str, StoredTensor] = {}
    for key, tensor in stored.items():
        bare = key.removeprefix(prefix)
        moved = ROOT + bare if key.startswith(prefix) and not bare.startswith((IGNORED_PREFIX, OLD_MARK)) else bare
        if moved in found:
            raise CheckpointError(f"{key} in {tensor.file} stands for {moved}, which is there under another name, too")
        found[moved] = tensor
    return found


def with_scales(
    stored: Mapping[str, StoredTensor],  # by upstream's keys
    metadata: Mapping[str, str],  # of the files' headers
) -> dict[str, StoredTensor]:
    """Each quantised tensor with its scale, and no marks beside them.

    Raises
    ------
    CheckpointError
        naming the tensor, and what is missing or not read.
    """
    formats = _formats(stored, metadata)
    found: dict[str, StoredTensor] = {}
    for key, tensor in stored.items():
        if key.endswith((MARK, *UNUSED, *SCALES, SECOND_SCALE)) or key.removeprefix(ROOT) == OLD_MARK:
            continue
        layer = key.removesuffix(".weight")
        scale = next((stored[layer + name] for name in SCALES if layer + name in stored), None)
        found[key] = _with_scale(key, tensor, formats.get(layer), scale, layer + SECOND_SCALE in stored)
    for key, tensor in stored.items():
        if key.endswith(SCALES) and key.rpartition(".")[0] + ".weight" not in found:
            raise CheckpointError(f"{key} in {tensor.file} is the scale of a weight that is missing")
    return found


def _formats(stored: Mapping[str, StoredTensor], metadata: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """How each layer is said to be quantised, by upstream's key of the layer."""
    told: dict[str, dict[str, Any]] = {}
    if MARKS in metadata:
        layers = _json(metadata[MARKS], MARKS).get("layers", {})
        if not isinstance(layers, dict):
            raise CheckpointError(f"{MARKS} in the header lists no layers")
        known = {key.removesuffix(".weight") for key in stored}
        for name, values in layers.items():
            values = {"format": values} if isinstance(values, str) else values
            if not isinstance(values, dict):
                raise CheckpointError(f"{MARKS} in the header says of {name} nothing that can be read")
            told[next((layer for layer in _readings(name) if layer in known), name)] = values
    for key, tensor in stored.items():
        if key.endswith(MARK):
            told[key.removesuffix(MARK)] = _json(_bytes(tensor), key)
    return told


def _readings(name: str) -> Iterator[str]:
    """A layer's name in a header, with the prefix of the file or without."""
    parts = name.split(".")
    for first in range(len(parts)):
        rest = ".".join(parts[first:])
        yield rest
        yield ROOT + rest


def _with_scale(
    key: str, tensor: StoredTensor, told: dict[str, Any] | None, scale: StoredTensor | None, second: bool
) -> StoredTensor:
    name = None if told is None else told.get("format")
    dtypes: tuple[str, ...]
    if second or name == "nvfp4":
        raise CheckpointError(f"{key} in {tensor.file} is quantised as nvfp4, which is not read here; {_instead()}")
    if name in E4M3_FORMATS or (name is None and scale is not None and tensor.dtype == "F8_E4M3" and not _mx(scale)):
        kind, dtypes = "e4m3", FP8_DTYPES
    elif name == "mxfp8" or (name is None and scale is not None and tensor.dtype == "F8_E4M3"):
        kind, dtypes = "mxfp8", FP8_DTYPES
    elif name == "int8_tensorwise" or (name is None and scale is not None and tensor.dtype == "I8"):
        kind, dtypes = "int8", ("I8",)
    elif name is not None:
        raise CheckpointError(f"{key} in {tensor.file} is quantised as {name}, which is not read here; {_instead()}")
    else:
        return _unquantised(key, tensor, scale)
    if scale is None:
        raise CheckpointError(_without_scale(key, tensor))
    if tensor.dtype not in dtypes:
        raise CheckpointError(f"{key} in {tensor.file} is marked as {name} and stored as {tensor.dtype}")
    rotated = _rotation(key, tensor, told or {}) if kind == "int8" else 0
    found = Scaling(kind, scale, rotated)  # type: ignore[arg-type]
    _check_scale(key, tensor, found)
    return replace(tensor, scaling=found)


def _mx(scale: StoredTensor) -> bool:
    return scale.dtype in ("U8", "F8_E8M0")


def _unquantised(key: str, tensor: StoredTensor, scale: StoredTensor | None) -> StoredTensor:
    if tensor.dtype.startswith("F8_") or tensor.dtype == "I8":
        raise CheckpointError(_without_scale(key, tensor))
    if scale is not None:
        raise CheckpointError(
            f"{key} in {tensor.file} is stored as {tensor.dtype} with a scale beside it, in no format that is known "
            f"here; {_instead()}"
        )
    return tensor


def _without_scale(key: str, tensor: StoredTensor) -> str:
    return (
        f"{key} in {tensor.file} is stored as {tensor.dtype} without its scale, and would draw white pictures; "
        f"{_instead()}"
    )


def _instead() -> str:
    return f"take a file in bf16, or {READ}"


def _rotation(key: str, tensor: StoredTensor, told: Mapping[str, Any]) -> int:
    inner = told.get("params")
    values = {**(inner if isinstance(inner, dict) else {}), **told}
    if not values.get("convrot", False):
        return 0
    group = values.get("convrot_groupsize", ROTATION)
    if group not in GROUPS or len(tensor.shape) != 2 or tensor.shape[1] % group:
        raise CheckpointError(f"{key} in {tensor.file}: convrot_groupsize {group} does not fit {list(tensor.shape)}")
    return int(group)


def _check_scale(key: str, tensor: StoredTensor, scaling: Scaling) -> None:
    scale, count = scaling.scale, math.prod(scaling.scale.shape)
    if len(tensor.shape) != 2:
        raise CheckpointError(f"{key} in {tensor.file} is quantised, and is no matrix")
    rows, columns = tensor.shape
    if scaling.kind == "mxfp8":
        wanted = -(rows // -SCALE_ROWS) * SCALE_ROWS * -(columns // -(MXFP8_BLOCK * SCALE_COLUMNS)) * SCALE_COLUMNS
        fits = _mx(scale) and count == wanted and columns % MXFP8_BLOCK == 0
    else:
        fits = scale.dtype in ("F32", "BF16", "F16") and count in (1, rows)
    if not fits:
        raise CheckpointError(
            f"the scale of {key} in {scale.file} is {scale.dtype} of shape {list(scale.shape)}, which does not fit "
            f"{scaling.kind} of shape {list(tensor.shape)}"
        )


def _bytes(tensor: StoredTensor) -> bytes:
    try:
        with Path(tensor.file).open("rb") as file:
            file.seek(tensor.offset)
            return file.read(tensor.nbytes)
    except OSError as error:
        raise CheckpointError(f"{tensor.file} cannot be read: {error.strerror or error}") from error


def _json(text: str | bytes, where: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except ValueError as error:
        raise CheckpointError(f"{where} is no JSON: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{where} holds no JSON object")
    return values
