"""Where a worker process begins: `python -m hidream_studio.engine.entry FD`, the descriptor being its end of the pipe.

A program of its own rather than a child of multiprocessing, which would run the server's main module once more and
wait for its children when the server ends.
"""

from __future__ import annotations

import sys
from multiprocessing.connection import Connection


def main() -> None:
    """Serve the pipe until it closes."""
    connection = Connection(int(sys.argv[1]))
    spec = connection.recv()
    from hidream_studio.engine.worker import serve

    serve(connection, spec)


if __name__ == "__main__":
    main()
