"""Where a worker process begins: `python -m hidream_studio.engine.entry FD`, the descriptor being its end of the pipe.

A program of its own rather than a child of multiprocessing, which would run the server's main module once more and
wait for its children when the server ends.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from multiprocessing.connection import Connection

from hidream_studio.engine.messages import Phase


def main() -> None:
    """Serve the pipe until it closes."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")  # to stderr, as the server's
    logging.getLogger("hidream_studio").setLevel(logging.INFO)
    connection = Connection(int(sys.argv[1]))
    begun_s = time.perf_counter()
    try:
        spec = connection.recv()
        connection.send(Phase("importing torch"))
    except (EOFError, OSError):
        return  # the server is gone already
    from hidream_studio.engine.read_ahead import begin_read_ahead

    begin_read_ahead(spec.checkpoint, spec.tokenizer)
    from hidream_studio.engine.worker import serve

    logging.getLogger(serve.__module__).info(
        "torch and its libraries imported in %.1f s", time.perf_counter() - begun_s
    )
    serve(connection, spec)
    sys.stderr.flush()
    os._exit(0)  # all is said; taking torch apart would cost a second of those that a stopping server has


if __name__ == "__main__":
    main()
