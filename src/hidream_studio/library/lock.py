"""One server a data folder. The lock is the operating system's, so a killed server leaves none behind."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from hidream_studio.errors import LibraryError
from hidream_studio.job.clock import utc_now
from hidream_studio.library.files import storage_errors, write_durably

LOCK_FILE = "library.lock"
OWNER_FILE = "library.owner.json"  # beside the lock, so that reading it never touches the lock


class FolderLock:
    """Held from the making to `release`; the owner's pid and address are written beside it."""

    def __init__(self, folder: Path) -> None:
        """
        Raises
        ------
        LibraryError
            when another process holds the folder; names its pid and address.
        """
        self._owner = folder / OWNER_FILE
        self._folder = folder
        self._lock = FileLock(folder / LOCK_FILE, timeout=0, thread_local=False)
        with storage_errors(folder / LOCK_FILE):
            try:
                self._lock.acquire()
            except Timeout:  # which is an OSError, too
                raise LibraryError(_refusal(folder, _read_owner(self._owner))) from None
            except NotImplementedError as error:
                raise LibraryError(f"{folder} is on a file system without locks; use another data folder") from error
        try:
            self.announce(None)
        except BaseException:
            self._lock.release()
            raise

    def announce(self, address: str | None) -> None:
        """Tells a second server where this one can be reached."""
        owner = {"pid": os.getpid(), "address": address, "since": utc_now()}
        write_durably(self._owner, json.dumps(owner).encode())

    def release(self) -> None:
        with suppress(OSError):
            self._owner.unlink(missing_ok=True)
        self._lock.release()


def _read_owner(path: Path) -> dict[str, Any]:
    try:
        owner = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return owner if isinstance(owner, dict) else {}


def _refusal(folder: Path, owner: dict[str, Any]) -> str:
    who = f"another HiDream Studio (pid {owner['pid']})" if owner.get("pid") else "another HiDream Studio"
    where = f", which answers at {owner['address']}" if owner.get("address") else ""
    return f"{folder} is in use by {who}{where}; use that one, stop it, or choose another data folder"
