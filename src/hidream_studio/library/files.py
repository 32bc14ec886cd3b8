"""Files that are whole or not there: written beside, synced, renamed. Knows nothing of pictures."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hidream_studio.errors import LibraryError, StorageFullError

RESERVE_BYTES = 64 * 2**20  # kept free, so that the database can always say what happened
TEMPORARY_SUFFIX = ".tmp"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_MIB = 2**20


def write_durably(path: Path, data: bytes) -> None:
    """`data` as the file `path`, on disk when this returns; the file's folder is made where it is missing.

    Raises
    ------
    StorageFullError, LibraryError
        when it could not be written; nothing of it is left then.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")
    with storage_errors(path):
        make_folder(path.parent)
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """The folder and those above it, on disk when this returns."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for one in reversed(missing):
        one.mkdir(exist_ok=True)
        sync_folder(one.parent)


def sync_folder(folder: Path) -> None:
    """Makes renames and new names in `folder` last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot, and need not
            raise
    finally:
        os.close(descriptor)


def sweep_temporary(folder: Path) -> int:
    """Removes what writes that never ended have left under `folder`; returns how many."""
    left = [path for path in folder.rglob(f".*{TEMPORARY_SUFFIX}") if path.is_file()]
    for path in left:
        with suppress(OSError):
            path.unlink()
    return len(left)


def check_free_space(folder: Path, needed_bytes: int) -> None:
    """Refuses before anything is begun.

    Raises
    ------
    StorageFullError
        with what is free and what is needed.
    """
    with storage_errors(folder):
        free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        raise StorageFullError(
            f"the disk of {folder} is full: {free_bytes / _MIB:.0f} MiB are free and {needed_bytes / _MIB:.0f} MiB are "
            "needed; free some space on it",
            limit=needed_bytes,
        )


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """An OSError inside becomes the library's error of one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFullError(f"the disk is full: {path} could not be written; free some space on it") from error
        reason = os.strerror(error.errno) if error.errno is not None else str(error)
        raise LibraryError(f"{path} cannot be used: {reason}") from error
