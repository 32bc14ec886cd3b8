"""The command line: one call in, an exit code out. Knows how errors end: 2 for a wrong call, 1 for work that failed.

Progress and complaints go to stderr, results to stdout. Each command's module is imported when it is called, so that
`resolve` and `--help` wait for no torch.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence

from hidream_studio.errors import AccessError, RequestError, StudioError

EXIT_FAILED = 1
EXIT_WRONG_CALL = 2
BENCH_PACKAGES = ("scipy", "skimage")  # of the extra `bench`
DEBUG_VARIABLE = "HIDREAM_STUDIO_DEBUG"  # set, it shows the traceback of what should never happen


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(words)
    except (RequestError, AccessError) as error:
        return _complain(error.message, EXIT_WRONG_CALL)
    except StudioError as error:
        return _complain(error.message, EXIT_FAILED)
    except KeyboardInterrupt:
        return _complain("stopped", EXIT_FAILED)
    except BrokenPipeError:  # `| head`: nobody reads on, and flushing at exit would complain again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except Exception as error:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        kind = type(error).__name__
        return _complain(f"a fault of this program: {kind}: {error} ({DEBUG_VARIABLE}=1 shows where)", EXIT_FAILED)


def _run(words: list[str]) -> int:
    if words[:1] == ["bench"]:  # its options are its own, also --help
        bench = _bench()
        code: int = bench(words[1:])
        return code
    from hidream_studio.cli.options import parser

    arguments = parser().parse_args(words)
    command = importlib.import_module(f"hidream_studio.cli.{arguments.command}")
    return int(command.run(arguments))


def _bench() -> Callable[[Sequence[str]], int]:
    """The benchmark, or what to install for it."""
    try:
        from hidream_studio.bench.cli import main as bench
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in BENCH_PACKAGES:
            raise
        raise StudioError(
            f"the benchmark needs {error.name}, which is not installed: pip install 'hidream-studio[bench]' "
            "(in a checkout: make studio)"
        ) from error
    return bench


def _complain(message: str, code: int) -> int:
    print(f"hidream-studio: {' '.join(message.split())}", file=sys.stderr)
    return code
