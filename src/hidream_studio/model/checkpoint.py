"""A folder that may hold an O1 checkpoint: found, read as far as its headers, and checked. Loads no weights.

Weights are safetensors only, and no code from a checkpoint ever runs.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import struct
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hidream_studio.errors import CheckpointError
from hidream_studio.job.references import PROCESSOR_FILE, PictureProcessor
from hidream_studio.model.config import ModelConfig, VisionConfig
from hidream_studio.model.layout import (
    BOTTLENECK_KEY,
    IGNORED_PREFIX,
    MARKER_KEY,
    VISION_PREFIX,
    Slot,
    slots,
    vision_slots,
)

CONFIG_FILE = "config.json"
INDEX_FILE = "model.safetensors.index.json"
SINGLE_FILE = "model.safetensors"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
HUB_FILES = ["*.json", "*.jinja", "*.safetensors", "merges.txt"]  # what a snapshot of the hub is reduced to

LFS_POINTER = b"version https://git-lfs.github.com/spec/"  # how each one begins
HUB_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")
LOADABLE_TYPES = {"F32": 4, "BF16": 2, "F16": 2}  # safetensors' names, bytes each
MAX_HEADER_BYTES = 100_000_000  # safetensors' own limit


@dataclass(frozen=True)
class StoredTensor:
    """Where the bytes of one tensor lie."""

    file: Path
    dtype: str  # safetensors' name, a key of LOADABLE_TYPES
    shape: tuple[int, ...]
    offset: int  # of its first byte in the file
    nbytes: int


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose every tensor is known to be there, in the right shape."""

    folder: Path
    name: str  # the folder's name, or the hub id
    config: ModelConfig
    tensors: dict[str, StoredTensor]  # by upstream's key; only those that are loaded
    fingerprint: str  # of config, tensor names, shapes and places; not of the 17 GB themselves
    visual: Mapping[str, StoredTensor] = field(default_factory=dict)  # the vision tower's, not checked yet

    @property
    def tensor_files(self) -> tuple[Path, ...]:
        return tuple(sorted({tensor.file for tensor in self.tensors.values()}))

    @property
    def nbytes(self) -> int:
        """On disk, without what is not loaded."""
        return sum(tensor.nbytes for tensor in self.tensors.values())


def open_checkpoint(source: str) -> Checkpoint:
    """The checkpoint in a folder, or of a model on the Hugging Face hub (`owner/name`, downloaded once).

    Raises
    ------
    CheckpointError
        naming the file and the key that are missing, unreadable, unexpected or of another shape.
    """
    folder = Path(source).expanduser()
    name = source
    if folder.is_dir():
        name = folder.resolve().name
    else:
        folder = _from_hub(source, folder)
    if not (folder / CONFIG_FILE).is_file():
        raise CheckpointError(f"{folder} has no {CONFIG_FILE}, so it is no checkpoint{_meant_instead(folder)}")
    values = _read_json(folder / CONFIG_FILE)
    files = _tensor_files(folder)
    headers = {path: read_header(path) for path in files}
    stored = _merged(headers)
    if MARKER_KEY not in stored:
        kind = values.get("model_type", "unknown")
        raise CheckpointError(
            f"{folder} is no HiDream-O1 checkpoint: {MARKER_KEY} is missing (its model_type is {kind!r})"
        )
    config = ModelConfig.from_json(values)
    if BOTTLENECK_KEY in stored and len(stored[BOTTLENECK_KEY].shape) == 2:
        config = replace(config, bottleneck=stored[BOTTLENECK_KEY].shape[0])
    own = {key: tensor for key, tensor in stored.items() if not key.startswith((IGNORED_PREFIX, VISION_PREFIX))}
    tensors = _checked(own, slots(config), folder)
    for file in TOKENIZER_FILES:
        if not (folder / file).is_file():
            raise CheckpointError(f"{folder} has no {file}: the prompt cannot be read without it")
        _refuse_pointer(folder / file)
    visual = {key: tensor for key, tensor in stored.items() if key.startswith(VISION_PREFIX)}
    return Checkpoint(folder, name, config, tensors, _fingerprint(folder / CONFIG_FILE, headers), visual)


@dataclass(frozen=True)
class StoredTower:
    """A checkpoint's vision tower, whose every tensor is known to be there, in the right shape."""

    config: VisionConfig
    tensors: dict[str, StoredTensor]
    processor: PictureProcessor


def open_tower(checkpoint: Checkpoint) -> StoredTower:
    """The vision tower of a checkpoint. It is checked here, so that a broken one spoils no picture made from words.

    Raises
    ------
    CheckpointError
        when there is none, or one that this model cannot use; names the file and the key.
    """
    folder = checkpoint.folder
    if not checkpoint.visual:
        raise CheckpointError(
            f"{checkpoint.name} has no vision tower ({VISION_PREFIX}…): it takes no pictures as input"
        )
    config = VisionConfig.from_json(_read_json(folder / CONFIG_FILE))
    tensors = _checked(checkpoint.visual, vision_slots(config), folder)
    if config.out_size != checkpoint.config.hidden_size:
        raise CheckpointError(
            f"config.json: vision_config.out_hidden_size is {config.out_size}; the decoder's hidden_size is "
            f"{checkpoint.config.hidden_size}"
        )
    if len(config.deepstack_after) > checkpoint.config.layers:
        raise CheckpointError(
            "config.json: vision_config.deepstack_visual_indexes names more than the decoder's layers"
        )
    if not (folder / PROCESSOR_FILE).is_file():
        raise CheckpointError(f"{folder} has no {PROCESSOR_FILE}: without it this model takes no pictures as input")
    processor = PictureProcessor.from_json(_read_json(folder / PROCESSOR_FILE))
    if (processor.patch_px, processor.frames, processor.merge) != (config.patch_px, config.frames, config.merge):
        raise CheckpointError(f"{folder / PROCESSOR_FILE} cuts pictures otherwise than config.json's vision_config")
    return StoredTower(config, tensors, processor)


def _from_hub(source: str, folder: Path) -> Path:
    if not HUB_ID.fullmatch(source):
        if folder.is_file():
            raise CheckpointError(f"{source} is a file; a model is a folder{_folder_of(folder)}")
        raise CheckpointError(
            f"{source} does not exist; a model is a folder, or a hub id such as HiDream-ai/HiDream-O1-Image"
        )
    import httpx
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(snapshot_download(source, allow_patterns=HUB_FILES))
    except (OSError, ValueError, httpx.HTTPError, HFValidationError) as error:
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(
            f"{source} is no folder here, and could not be read from the hub: {first_line}"
        ) from error


def _folder_of(file: Path) -> str:
    """What was meant by one file of a checkpoint."""
    if (file.parent / CONFIG_FILE).is_file():
        return f": give the one that it is in, {file.parent}"
    if file.suffix.lower() in (".safetensors", ".ckpt", ".pt", ".bin", ".gguf"):
        beside = f"with {CONFIG_FILE} and {TOKENIZER_FILES[0]} beside the weights"
        return f" in upstream's layout, {beside}; this is one file alone"
    return ", or a hub id such as HiDream-ai/HiDream-O1-Image"


def _meant_instead(folder: Path) -> str:
    """A checkpoint one level away, or two below as the hub's cache has them: where it is, for the end of a sentence."""
    found: list[Path] = []
    with suppress(OSError):  # what may not be looked into gives no hint
        places = [folder.absolute().parent, *sorted(folder.glob("*/")), *sorted(folder.glob("snapshots/*/"))]
        found += [place for place in places if (place / CONFIG_FILE).is_file() and _has_weights(place)]
    if not found:
        return ""
    more = f", or {len(found) - 1} more" if len(found) > 1 else ""
    return f"; did you mean {found[0]}{more}?"


def _has_weights(folder: Path) -> bool:
    return (folder / INDEX_FILE).is_file() or (folder / SINGLE_FILE).is_file()


def _refuse_pointer(path: Path) -> None:
    """A few words of Git LFS in the place of a file, where it was cloned without them."""
    with path.open("rb") as file:
        if file.read(len(LFS_POINTER)) == LFS_POINTER:
            raise CheckpointError(
                f"{path} is a Git LFS pointer, not the file itself: run `git lfs install` and `git lfs pull` in "
                f"{path.parent}, or give the hub id in place of the folder"
            )


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CheckpointError(f"{path.parent} has no {path.name}, so it is no checkpoint")
    try:
        _refuse_pointer(path)
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} holds no JSON object")
    return values


def _tensor_files(folder: Path) -> list[Path]:
    """The shards that the index names, or the one file."""
    if (folder / INDEX_FILE).is_file():
        weight_map = _read_json(folder / INDEX_FILE).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise CheckpointError(f"{folder / INDEX_FILE} has no weight_map")
        files = []
        for shard in sorted({str(shard) for shard in weight_map.values()}):
            if Path(shard).name != shard or not shard.endswith(".safetensors"):
                raise CheckpointError(f"{folder / INDEX_FILE} names {shard!r}, which is no safetensors file beside it")
            if not (folder / shard).is_file():
                raise CheckpointError(f"{shard} is missing in {folder}; {INDEX_FILE} names it")
            files.append(folder / shard)
        return files
    if (folder / SINGLE_FILE).is_file():
        return [folder / SINGLE_FILE]
    raise CheckpointError(f"{folder} has neither {SINGLE_FILE} nor {INDEX_FILE}: only safetensors are read")


def read_header(path: Path) -> dict[str, StoredTensor]:
    """The header of a safetensors file: 8 bytes of length, then JSON (the format's documentation).

    Read by hand, so that a file that is cut short is known before anything is loaded.
    """
    size = path.stat().st_size
    try:
        _refuse_pointer(path)
        with path.open("rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 2 <= length <= min(size - 8, MAX_HEADER_BYTES):
                raise CheckpointError(f"{path} is no safetensors file, or is cut short inside its header")
            header = json.loads(file.read(length))
        found = {key: _stored(path, entry, 8 + length) for key, entry in header.items() if key != "__metadata__"}
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path} is no safetensors file: its header cannot be read") from error
    end = max((tensor.offset + tensor.nbytes for tensor in found.values()), default=8 + length)
    if end > size:
        raise CheckpointError(f"{path} is cut short: it has {size:,} bytes, its header promises {end:,}")
    return found


def _stored(path: Path, entry: dict[str, Any], data_start: int) -> StoredTensor:
    first, last = (int(offset) for offset in entry["data_offsets"])
    if not 0 <= first <= last:
        raise ValueError("offsets")
    shape = tuple(int(side) for side in entry["shape"])
    return StoredTensor(path, str(entry["dtype"]), shape, data_start + first, last - first)


def _merged(headers: dict[Path, dict[str, StoredTensor]]) -> dict[str, StoredTensor]:
    merged: dict[str, StoredTensor] = {}
    for path, header in headers.items():
        for key, tensor in header.items():
            if key in merged:
                raise CheckpointError(f"{key} is in {merged[key].file.name} and again in {path}")
            merged[key] = tensor
    return merged


def _checked(stored: Mapping[str, StoredTensor], wanted: Iterable[Slot], folder: Path) -> dict[str, StoredTensor]:
    """Exactly the tensors that a model of this shape has; anything else is refused by name."""
    expected = {slot.key: slot.shape for slot in wanted}
    for key, shape in expected.items():
        if key not in stored:
            raise CheckpointError(f"{key} is missing in {folder}")
        tensor = stored[key]
        if tensor.shape != shape:
            raise CheckpointError(
                f"{key} in {tensor.file} has shape {list(tensor.shape)}; {CONFIG_FILE} asks for {list(shape)}"
            )
        if tensor.dtype not in LOADABLE_TYPES:
            raise CheckpointError(
                f"{key} in {tensor.file} is stored as {tensor.dtype}; only {', '.join(LOADABLE_TYPES)} are read"
            )
        if tensor.nbytes != LOADABLE_TYPES[tensor.dtype] * math.prod(shape):
            raise CheckpointError(f"{key} in {tensor.file} has {tensor.nbytes:,} bytes, which is not its shape's size")
    for key, tensor in stored.items():
        if key not in expected:
            raise CheckpointError(f"{key} in {tensor.file} is unexpected: no HiDream-O1 model of this shape has it")
    return {key: stored[key] for key in expected}


def _fingerprint(config_file: Path, headers: dict[Path, dict[str, StoredTensor]]) -> str:
    digest = hashlib.sha256(config_file.read_bytes())
    for path in sorted(headers):
        digest.update(f"{path.name} {path.stat().st_size}\n".encode())
        for key, tensor in sorted(headers[path].items()):
            digest.update(f"{key} {tensor.dtype} {tensor.shape} {tensor.offset}\n".encode())
    return digest.hexdigest()
