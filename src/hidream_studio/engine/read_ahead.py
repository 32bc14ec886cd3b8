"""A checkpoint's files into the system's cache, while the process that will load them imports torch. No torch here.

Nothing waits for it and nothing depends on it: what it has not read, loading reads itself.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from hidream_studio.errors import StudioError
from hidream_studio.model.checkpoint import Checkpoint, open_checkpoint

PIECE_BYTES = 16 * 2**20
READERS = 4  # one thread does not fill an NVMe disk
SHARE_OF_FREE_MEMORY = 0.5  # more could push out what was read first, before it is loaded

Piece = tuple[Path, int, int]  # file, first byte, bytes


def begin_read_ahead(source: str) -> threading.Thread | None:
    """Read the checkpoint's tensors in the order of loading, on threads; None for what is no folder here."""
    folder = Path(source).expanduser()
    if not folder.is_dir():
        return None
    thread = threading.Thread(target=_read, args=(folder,), name="read-ahead", daemon=True)
    thread.start()
    return thread


def _read(folder: Path) -> None:
    try:
        checkpoint = open_checkpoint(str(folder))
    except StudioError:  # loading will say so
        return
    with ThreadPoolExecutor(READERS, "read-ahead") as threads:
        for _ in threads.map(_read_piece, pieces(checkpoint, psutil.virtual_memory().available)):
            pass


def pieces(checkpoint: Checkpoint, free_bytes: int) -> Iterator[Piece]:
    """What is worth reading ahead, in the order of loading (`model/weights.py`), as far as memory is free."""
    left = int(free_bytes * SHARE_OF_FREE_MEMORY)
    for tensor in sorted(checkpoint.tensors.values(), key=lambda tensor: (tensor.file, tensor.offset)):
        for offset in range(tensor.offset, tensor.offset + tensor.nbytes, PIECE_BYTES):
            nbytes = min(PIECE_BYTES, tensor.offset + tensor.nbytes - offset)
            left -= nbytes
            if left < 0:
                return
            yield tensor.file, offset, nbytes


def _read_piece(piece: Piece) -> None:
    path, offset, nbytes = piece
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(offset)
            file.readinto(bytearray(nbytes))
    except (OSError, MemoryError):
        return
