#!/usr/bin/env python3
"""Measure what every setting costs and what it loses, against a running server. The work is in hidream_studio.bench.

Works with the system's python3: it hands over to the project's own environment where that exists.
"""

import os
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
PROJECT_PYTHON = PROJECT / ".venv" / "bin" / "python"


def main() -> int:
    if PROJECT_PYTHON.is_file() and Path(sys.prefix).resolve() != PROJECT_PYTHON.parent.parent.resolve():
        os.execv(PROJECT_PYTHON, [str(PROJECT_PYTHON), __file__, *sys.argv[1:]])
    sys.path.insert(0, str(PROJECT / "src"))
    try:
        from hidream_studio.bench.cli import main as bench
    except ImportError as error:
        print(f"bench_quality_speed: {error}; run 'make studio' in {PROJECT} once", file=sys.stderr)
        return 1
    return bench(sys.argv[1:], prog="bench_quality_speed.py")


if __name__ == "__main__":
    sys.exit(main())
