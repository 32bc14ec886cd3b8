"""Where a checkpoint's texts are: tokenizer, chat template, configuration. For one file of weights, beside it or told.

A hub is asked only where one was named. Reads none of them.
"""

from __future__ import annotations

import re
from pathlib import Path

from hidream_studio.errors import CheckpointError

CONFIG_FILE = "config.json"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
HUB_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")
HUB_TEXTS = ["*.json", "*.jinja", "merges.txt"]
HUB_FILES = [*HUB_TEXTS, "*.safetensors"]  # what a snapshot of the hub is reduced to
OFFICIAL = "HiDream-ai/HiDream-O1-Image"


def texts_folder(model: Path, tokenizer: str | None, *, download: bool = True) -> Path | None:
    """The folder of a model's texts: `tokenizer`, a folder or hub id, else the one that the model is or lies in.

    Without `download`, a hub's is None where it is not here yet.

    Raises
    ------
    CheckpointError
        where there is none.
    """
    if tokenizer is None:
        beside = model if model.is_dir() else model.parent
        if model.is_file() and not has_tokenizer(beside):
            raise CheckpointError(
                f"{model} is one file, without a tokenizer: say where one is with --tokenizer DIR, or let the few "
                f"megabytes be fetched once with --tokenizer {OFFICIAL}"
            )
        return beside
    folder = Path(tokenizer).expanduser()
    if not folder.is_dir():
        if not HUB_ID.fullmatch(tokenizer):
            raise CheckpointError(f"--tokenizer {tokenizer} is no folder here, and no hub id such as {OFFICIAL}")
        found = from_hub(tokenizer, HUB_TEXTS, download=download)
        if found is None:
            return None
        folder = found
    if not has_tokenizer(folder):
        raise CheckpointError(f"{folder} has no {' and '.join(TOKENIZER_FILES)}: it holds no tokenizer")
    return folder


def has_tokenizer(folder: Path) -> bool:
    return all((folder / name).is_file() for name in TOKENIZER_FILES)


def from_hub(hub_id: str, files: list[str], *, download: bool = True) -> Path | None:
    """The folder that a hub's files were put into, now or earlier. Raises CheckpointError."""
    import httpx
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(hub_id, allow_patterns=files, local_files_only=not download))
    except (OSError, ValueError, httpx.HTTPError, HFValidationError) as error:
        if not download and isinstance(error, (LocalEntryNotFoundError, OSError, HFValidationError)):
            return None
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(
            f"{hub_id} is no folder here, and could not be read from the hub: {first_line}"
        ) from error
