"""The LoRAs of jobs, found by their content: read once into this machine's memory, stacked on the device for each mix.

Knows nothing of steps, and none of the names under which they are asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch

from hidream_studio.engine.text_cache import LorasKey, TextBytes, TextCache, text_key
from hidream_studio.errors import LoraError
from hidream_studio.job.job import Job
from hidream_studio.model.config import VisionConfig
from hidream_studio.model.lora import Loras, LoraTensors, LowRank, load_lora, stack, stack_vision, stacked_bytes
from hidream_studio.model.lora_file import LoraFile, read_lora
from hidream_studio.model.transformer import O1Transformer

DEVICE_CACHE_BYTES = 2**30  # rank 32 on all linears of the 8B model is 0.4 GB
HOST_CACHE_BYTES = 2 * 2**30


def loras_key(job: Job) -> LorasKey:
    """What tells a job's LoRAs from another's: their order means nothing, and at strength 0 they are none."""
    return tuple(sorted((use.hash, use.strength) for use in job.loras if use.strength))


class LoraReader:
    """The LoRAs beside one model."""

    def __init__(self, model: O1Transformer, *, fp8: bool, max_bytes: int | None = None) -> None:
        self._model = model
        self._fp8 = fp8
        self._paths: dict[str, Path] = {}  # by hash, as they were told
        self._files: dict[str, LoraFile] = {}  # by hash, of those whose content was seen to have it
        self._read: TextCache[str, LoraTensors] = TextCache(HOST_CACHE_BYTES)
        self._kept: TextCache[LorasKey, Loras] = TextCache(DEVICE_CACHE_BYTES if max_bytes is None else max_bytes)

    def know(self, paths: Mapping[str, str]) -> None:
        """Where the files of these hashes lie on this machine."""
        for hash_, path in paths.items():
            if self._paths.get(hash_) != Path(path):
                self._paths[hash_] = Path(path)
                self._files.pop(hash_, None)

    def get(self, key: LorasKey) -> Loras | None:
        """Ready on the device; None where there are none.

        Raises
        ------
        LoraError
            when a file is gone, is another one by now, or is no LoRA of this model.
        """
        return self._kept.get(key, self._stack) if key else None

    def vision(self, key: LorasKey, config: VisionConfig) -> Mapping[str, LowRank]:
        """What they change in the vision tower. Raises LoraError."""
        used = [(self._read.get(hash_, self._load), strength) for hash_, strength in key]
        with torch.inference_mode():
            return stack_vision(used, config, self._model.device, self._model.dtype)

    def bytes_of(self, key: LorasKey) -> TextBytes:
        """What they take of the device. Raises LoraError."""
        if not key:
            return {}
        files = [self._file(hash_) for hash_, _ in key]
        value_bytes = self._model.dtype.itemsize
        return {text_key(key): stacked_bytes(files, self._model.config, value_bytes, fp8=self._fp8)}

    @property
    def kept_bytes(self) -> TextBytes:
        """Of the device, for jobs that have ended too."""
        return self._kept.kept_bytes

    def clear(self) -> None:
        """Let go of all that can be read again."""
        self._kept.clear()
        self._read.clear()

    def _file(self, hash_: str) -> LoraFile:
        if hash_ not in self._files:
            if hash_ not in self._paths:
                raise LoraError(f"there is no file of the LoRA with the hash {hash_}")
            self._files[hash_] = read_lora(self._paths[hash_], self._model.config)
        return self._files[hash_]

    def _load(self, hash_: str) -> LoraTensors:
        file = self._file(hash_)
        try:
            with file.path.open("rb") as content:
                found = hashlib.file_digest(content, "sha256").hexdigest()
        except OSError as error:
            raise LoraError(f"{file.path.name} cannot be read: {error.strerror or error}") from error
        if found != hash_:
            raise LoraError(
                f"{file.path.name} has changed since it was asked for; ask again to draw with what it is now"
            )
        return load_lora(file)

    @torch.inference_mode()
    def _stack(self, key: LorasKey) -> Loras:
        used = [(self._read.get(hash_, self._load), strength) for hash_, strength in key]
        return stack(used, self._model.config, key, self._model.device, self._model.dtype, fp8=self._fp8)
