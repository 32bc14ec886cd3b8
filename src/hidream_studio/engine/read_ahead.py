"""A checkpoint's files into the system's cache, while the process that will load them imports torch. No torch here.

Nothing waits for it and nothing depends on it: what it has not read, loading reads itself.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil

from hidream_studio.errors import StudioError
from hidream_studio.model.checkpoint import Checkpoint, open_checkpoint
from hidream_studio.model.texts import texts_folder

PIECE_BYTES = 16 * 2**20
SHARE_OF_FREE_MEMORY = 0.5  # more could push out what was read first, before it is loaded

Piece = tuple[Path, int, int]  # file, first byte, bytes


def begin_read_ahead(source: str, tokenizer: str | None = None) -> threading.Thread | None:
    """Read the checkpoint's tensors in the order of loading, on a thread; None for what is not here.

    One thread, although it does not fill an NVMe disk: torch's libraries are read at the same time, in small pieces
    that wait behind ours. With four threads the import took four times as long, with one twice (docs/lab-log.md).
    """
    path = Path(source).expanduser()
    if not path.exists():
        return None
    thread = threading.Thread(target=_read, args=(path, tokenizer), name="read-ahead", daemon=True)
    thread.start()
    return thread


def _read(path: Path, tokenizer: str | None) -> None:
    try:
        texts = texts_folder(path, tokenizer, download=False)
        if texts is None:
            return
        checkpoint = open_checkpoint(str(path), str(texts))
    except StudioError:  # loading will say so
        return
    with contextlib.suppress(MemoryError):
        room = memoryview(bytearray(PIECE_BYTES))
        for piece in pieces(checkpoint, psutil.virtual_memory().available):
            _read_piece(piece, room)


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


def _read_piece(piece: Piece, room: memoryview) -> None:
    path, offset, nbytes = piece
    try:
        with path.open("rb", buffering=0) as file:
            if not in_cache(file.fileno(), offset + nbytes - 1):
                file.seek(offset)
                file.readinto(room[:nbytes])
    except OSError:
        return


def in_cache(descriptor: int, offset: int) -> bool:
    """Whether the system holds this byte of a file already; False where it cannot tell.

    After a restart it holds them all, and copying 15 GB for nothing would make the import take twice its time.
    """
    if not hasattr(os, "RWF_NOWAIT"):
        return False
    try:
        return os.preadv(descriptor, [bytearray(1)], offset, os.RWF_NOWAIT) == 1
    except OSError:  # it would have to be read, or this file system cannot say
        return False
