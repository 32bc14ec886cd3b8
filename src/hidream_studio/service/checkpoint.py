"""What the web side reads of a checkpoint: folder, profile, tokenizer, shape. The weights are the worker's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from hidream_studio.errors import CheckpointError
from hidream_studio.job.profiles import HIDREAM_O1_IMAGE, ModelProfile, profile_by_id, profile_for_checkpoint
from hidream_studio.job.workload import ModelShape
from hidream_studio.model.checkpoint import open_checkpoint
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


def read_checkpoint(source: str, profile_id: str | None) -> CheckpointFacts:
    """The facts of a folder or hub id. Downloads nothing.

    Raises
    ------
    CheckpointError
        when the folder's own profile cannot be read.
    RequestError
        when there is no profile of that name.
    """
    folder = _local_folder(source)
    if folder is None:
        profile = HIDREAM_O1_IMAGE if profile_id is None else profile_by_id(profile_id)
        return CheckpointFacts(None, profile, None, read_shape(None))
    profile = profile_for_checkpoint(folder, profile_id)
    return CheckpointFacts(folder, profile, open_prompt_reader(folder), read_shape(folder), _parameters(folder))


def _parameters(folder: Path) -> int | None:
    """Counted from the headers of its files."""
    try:
        tensors = open_checkpoint(str(folder)).tensors.values()
    except CheckpointError:
        return None  # the worker will say what is wrong with it
    return sum(math.prod(tensor.shape) for tensor in tensors)


def _local_folder(source: str) -> Path | None:
    """The folder itself, or where a hub checkpoint was put when it was last fetched."""
    if Path(source).is_dir():
        return Path(source)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(source, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, OSError):
        return None
