"""A studio as a user starts it: a process of its own, on a free port."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def studio(checkpoint: Path, data: Path, *, threads: int = 1) -> Iterator[str]:
    """The address of a server of its own process, on a free port."""
    command = [
        sys.executable, "-m", "hidream_studio", "serve", "--model", str(checkpoint), "--profile", "o1-tiny",
        "--port", "0", "--data", str(data), "--threads", str(threads),
    ]  # fmt: skip
    log = (data.parent / "server.log").open("w")
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=data.parent)
    assert server.stdout is not None
    try:
        address = server.stdout.readline().strip()
        assert address.startswith("http://"), (data.parent / "server.log").read_text()
        yield address
    finally:
        server.terminate()
        server.wait(20)
        server.stdout.close()
        log.close()
