"""What the web side reads of a checkpoint: folder, profile, tokenizer, shape. The weights are the worker's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from hidream_studio.errors import CheckpointError
from hidream_studio.job.profiles import HIDREAM_O1_IMAGE, ModelProfile, profile_by_id, profile_for_checkpoint
from hidream_studio.job.workload import ModelShape
from hidream_studio.model.checkpoint import open_checkpoint
from hidream_studio.model.texts import HUB_FILES, from_hub, texts_folder
from hidream_studio.service.costs import read_shape
from hidream_studio.service.prompts import PromptReader, open_prompt_reader


@dataclass(frozen=True)
class CheckpointFacts:
    """`folder` and `reader` are None while a hub checkpoint is not here yet; profile and shape are assumed then."""

    folder: Path | None
    profile: ModelProfile
    reader: PromptReader | None
    shape: ModelShape
    parameters: int | None = None  # that are loaded; None where the folder holds no readable checkpoint


def read_checkpoint(source: str, profile_id: str | None, tokenizer: str | None = None) -> CheckpointFacts:
    """The facts of a folder, file or hub id. Downloads nothing.

    Raises
    ------
    CheckpointError
        when the folder's own profile cannot be read.
    RequestError
        when there is no profile of that name.
    """
    folder = _local_folder(source, tokenizer)
    if folder is None:
        profile = HIDREAM_O1_IMAGE if profile_id is None else profile_by_id(profile_id)
        return CheckpointFacts(None, profile, None, read_shape(None))
    profile = profile_for_checkpoint(folder, profile_id)
    texts = _texts(folder, tokenizer)
    reader = None if texts is None else open_prompt_reader(texts)
    weights = source if Path(source).is_file() else str(folder)
    parameters = None if texts is None else _parameters(weights, str(texts))
    return CheckpointFacts(folder, profile, reader, read_shape(folder), parameters)


def _texts(folder: Path, tokenizer: str | None) -> Path | None:
    try:
        return texts_folder(folder, tokenizer, download=False)
    except CheckpointError:
        return None  # the worker will say what is wrong with it


def _parameters(source: str, tokenizer: str) -> int | None:
    """Counted from the headers of its files."""
    try:
        tensors = open_checkpoint(source, tokenizer).tensors.values()
    except CheckpointError:
        return None  # the worker will say what is wrong with it
    return sum(math.prod(tensor.shape) for tensor in tensors)


def _local_folder(source: str, tokenizer: str | None) -> Path | None:
    """The folder itself, or where a hub checkpoint was put when it was last fetched; of one file, that of its texts."""
    path = Path(source)
    if path.is_dir():
        return path
    if path.is_file():
        return _texts(path, tokenizer)
    return from_hub(source, HUB_FILES, download=False)
