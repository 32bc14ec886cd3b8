"""Progress on stderr: a bar on a terminal, a line for each phase elsewhere. Never on stdout."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

from tqdm import tqdm


class Progress:
    """Phases first, then steps."""

    def __init__(self) -> None:
        self._on_terminal = sys.stderr.isatty()
        self._phase = ""
        self._bar: tqdm[Any] | None = None

    def phase(self, name: str, fraction: float | None = None) -> None:
        """What is being done, and its share that is done (0 to 1) where known."""
        if self._on_terminal:
            share = "" if fraction is None else f" {fraction:.0%}"
            print(f"\r\x1b[K{name}{share}", end="", file=sys.stderr, flush=True)
        elif name != self._phase:
            print(name, file=sys.stderr, flush=True)
        self._phase = name

    def step(self, done: int, total: int) -> None:
        """`done` of `total` steps are done."""
        if self._bar is None:
            self._clear()
            self._bar = tqdm(total=total, unit="step", file=sys.stderr, disable=not self._on_terminal, leave=False)
            if not self._on_terminal:
                print(f"drawing {total} steps", file=sys.stderr, flush=True)
        self._bar.update(done - self._bar.n if self._on_terminal else 0)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        else:
            self._clear()

    def _clear(self) -> None:
        if self._on_terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
