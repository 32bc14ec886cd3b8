"""`python -m hidream_studio` is `hidream-studio`."""

from __future__ import annotations

import sys

from hidream_studio.cli import main

if __name__ == "__main__":
    sys.exit(main())
