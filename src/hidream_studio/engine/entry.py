"""Where a worker process begins: `python -m hidream_studio.engine.entry FD`, the descriptor being its end of the pipe.

A program of its own rather than a child of multiprocessing, which would run the server's main module once more and
wait for its children when the server ends.
"""

from __future__ import annotations

import os
import sys
from multiprocessing.connection import Connection

from hidream_studio.engine.messages import Phase


def main() -> None:
    """Serve the pipe until it closes."""
    connection = Connection(int(sys.argv[1]))
    try:
        spec = connection.recv()
        connection.send(Phase("importing torch"))
    except (EOFError, OSError):
        return  # the server is gone already
    from hidream_studio.engine.worker import serve

    serve(connection, spec)
    sys.stderr.flush()
    os._exit(0)  # all is said; taking torch apart would cost a second of those that a stopping server has


if __name__ == "__main__":
    main()
