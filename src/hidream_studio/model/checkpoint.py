"""A folder or file that may hold an O1 checkpoint: found, read as far as its headers, and checked. Loads no weights.

Weights are safetensors only, and no code from a checkpoint ever runs.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hidream_studio.errors import CheckpointError
from hidream_studio.job.references import PROCESSOR_FILE, PictureProcessor
from hidream_studio.model.config import CONFIG_8B, ModelConfig, VisionConfig
from hidream_studio.model.header import MAX_HEADER_BYTES as MAX_HEADER_BYTES
from hidream_studio.model.header import StoredTensor as StoredTensor
from hidream_studio.model.header import read_header as read_header
from hidream_studio.model.header import read_metadata, refuse_pointer
from hidream_studio.model.layout import (
    BOTTLENECK_KEY,
    IGNORED_PREFIX,
    MARKER_KEY,
    VISION_PREFIX,
    Slot,
    slots,
    vision_slots,
)
from hidream_studio.model.marks import upstreams_keys, with_scales
from hidream_studio.model.texts import (
    CONFIG_FILE,
    HUB_FILES,
    HUB_ID,
    OFFICIAL,
    TOKENIZER_FILES,
    from_hub,
    texts_folder,
)

INDEX_FILE = "model.safetensors.index.json"
SINGLE_FILE = "model.safetensors"
LOADABLE_TYPES = {"F32": 4, "BF16": 2, "F16": 2}  # safetensors' names, bytes each; quantised ones are `marks.py`'s


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose every tensor is known to be there, in the right shape."""

    folder: Path  # of its configuration and profile
    name: str  # the folder's or file's name, or the hub id
    config: ModelConfig
    tensors: dict[str, StoredTensor]  # by upstream's key; only those that are loaded
    fingerprint: str  # of config, tensor names, shapes and places; not of the 17 GB themselves
    visual: Mapping[str, StoredTensor] = field(default_factory=dict)  # the vision tower's, not checked yet
    tokenizer: Path | None = None  # its folder; None: the same

    @property
    def tokenizer_folder(self) -> Path:
        return self.folder if self.tokenizer is None else self.tokenizer

    @property
    def quantised(self) -> bool:
        """Whether matrices of its layers are stored in 8 bits."""
        return any(tensor.scaling is not None for key, tensor in self.tensors.items() if ".layers." in key)

    @property
    def tensor_files(self) -> tuple[Path, ...]:
        return tuple(sorted({tensor.file for tensor in self.tensors.values()}))

    @property
    def nbytes(self) -> int:
        """On disk, without what is not loaded."""
        return sum(tensor.nbytes for tensor in self.tensors.values())


def open_checkpoint(source: str, tokenizer: str | None = None) -> Checkpoint:
    """The checkpoint in a folder, in one file, or of a model on the Hugging Face hub (`owner/name`, downloaded once).

    Parameters
    ----------
    tokenizer
        A folder or hub id, where the tokenizer is not with the weights. A configuration there is one file's own.

    Raises
    ------
    CheckpointError
        naming the file and the key that are missing, unreadable, unexpected or of another shape.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return _open_file(path, tokenizer)
    folder, name = path, source
    if folder.is_dir():
        name = folder.resolve().name
    else:
        folder = _from_hub(source)
    if not (folder / CONFIG_FILE).is_file():
        raise CheckpointError(f"{folder} has no {CONFIG_FILE}, so it is no checkpoint{_meant_instead(folder)}")
    values = _read_json(folder / CONFIG_FILE)
    headers = {path: read_header(path) for path in _tensor_files(folder)}
    stored = _understood(headers)
    if MARKER_KEY not in stored:
        kind = values.get("model_type", "unknown")
        raise CheckpointError(
            f"{folder} is no HiDream-O1 checkpoint: {MARKER_KEY} is missing (its model_type is {kind!r})"
        )
    texts = None
    if tokenizer is not None:
        texts = texts_folder(folder, tokenizer)
    for file in TOKENIZER_FILES:
        if not ((texts or folder) / file).is_file():
            raise CheckpointError(f"{folder} has no {file}: the prompt cannot be read without it")
        refuse_pointer((texts or folder) / file)
    return _checkpoint(folder, name, ModelConfig.from_json(values), stored, headers, texts)


def _open_file(path: Path, tokenizer: str | None) -> Checkpoint:
    if (path.parent / INDEX_FILE).is_file():
        raise CheckpointError(f"{path} is a part of a model; give the folder that it is in, {path.parent}")
    headers = {path: read_header(path)}
    stored = _understood(headers)
    if MARKER_KEY not in stored:
        raise CheckpointError(
            f"{path} holds no HiDream-O1 model: none of its {len(stored)} tensors is called "
            f"{MARKER_KEY}, under any prefix; what works is upstream's folder or a single file of this model"
        )
    folder = texts_folder(path, tokenizer)
    assert folder is not None  # it may be downloaded
    own = (folder / CONFIG_FILE).is_file()
    config = ModelConfig.from_json(_read_json(folder / CONFIG_FILE)) if own else CONFIG_8B
    return _checkpoint(folder, path.stem, config, stored, headers, None)


def _checkpoint(
    folder: Path,
    name: str,
    config: ModelConfig,
    stored: Mapping[str, StoredTensor],
    headers: dict[Path, dict[str, StoredTensor]],
    tokenizer: Path | None,
) -> Checkpoint:
    if BOTTLENECK_KEY in stored and len(stored[BOTTLENECK_KEY].shape) == 2:
        config = replace(config, bottleneck=stored[BOTTLENECK_KEY].shape[0])
    own = {key: tensor for key, tensor in stored.items() if not key.startswith((IGNORED_PREFIX, VISION_PREFIX))}
    where = folder if len(headers) > 1 else next(iter(headers))
    tensors = _checked(own, slots(config), where)
    visual = {key: tensor for key, tensor in stored.items() if key.startswith(VISION_PREFIX)}
    return Checkpoint(folder, name, config, tensors, _fingerprint(folder / CONFIG_FILE, headers), visual, tokenizer)


def _understood(headers: dict[Path, dict[str, StoredTensor]]) -> dict[str, StoredTensor]:
    """All tensors by upstream's keys, with their scales."""
    metadata: dict[str, str] = {}
    for path in headers:
        metadata |= read_metadata(path)
    return with_scales(upstreams_keys(_merged(headers)), metadata)


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


def _from_hub(source: str) -> Path:
    if not HUB_ID.fullmatch(source):
        raise CheckpointError(f"{source} does not exist; a model is a folder, a file, or a hub id such as {OFFICIAL}")
    folder = from_hub(source, HUB_FILES)
    assert folder is not None  # it may be downloaded
    return folder


def _meant_instead(folder: Path) -> str:
    """A checkpoint one level away, or two below as the hub's cache has them: where it is, for the end of a sentence."""
    found: list[Path] = []
    with suppress(OSError):  # what may not be looked into gives no hint
        places = [folder.absolute().parent, *sorted(folder.glob("*/")), *sorted(folder.glob("snapshots/*/"))]
        found += [place for place in places if (place / CONFIG_FILE).is_file() and _has_weights(place)]
    if not found:
        files = sorted(folder.glob("*.safetensors"))
        return f"; a single file is given by its own name, such as {files[0]}" if files else ""
    more = f", or {len(found) - 1} more" if len(found) > 1 else ""
    return f"; did you mean {found[0]}{more}?"


def _has_weights(folder: Path) -> bool:
    return (folder / INDEX_FILE).is_file() or (folder / SINGLE_FILE).is_file()


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CheckpointError(f"{path.parent} has no {path.name}, so it is no checkpoint")
    try:
        refuse_pointer(path)
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
                f"{key} in {tensor.file} has shape {list(tensor.shape)}; a model of this shape has {list(shape)}"
            )
        if tensor.scaling is None and tensor.dtype not in LOADABLE_TYPES:
            raise CheckpointError(
                f"{key} in {tensor.file} is stored as {tensor.dtype}; only {', '.join(LOADABLE_TYPES)} are read"
            )
        if tensor.nbytes != LOADABLE_TYPES.get(tensor.dtype, 1) * math.prod(shape):
            raise CheckpointError(f"{key} in {tensor.file} has {tensor.nbytes:,} bytes, which is not its shape's size")
    for key, tensor in stored.items():
        if key not in expected:
            raise CheckpointError(f"{key} in {tensor.file} is unexpected: no HiDream-O1 model of this shape has it")
    return {key: stored[key] for key in expected}


def _fingerprint(config_file: Path, headers: dict[Path, dict[str, StoredTensor]]) -> str:
    digest = hashlib.sha256(config_file.read_bytes() if config_file.is_file() else b"")
    for path in sorted(headers):
        digest.update(f"{path.name} {path.stat().st_size}\n".encode())
        for key, tensor in sorted(headers[path].items()):
            digest.update(f"{key} {tensor.dtype} {tensor.shape} {tensor.offset}\n".encode())
    return digest.hexdigest()
