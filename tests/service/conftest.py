"""Studios with real workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from live_studio import LiveStudio


@pytest.fixture
def open_studio(tmp_path: Path, golden_checkpoint: Path) -> Iterator[Callable[..., LiveStudio]]:
    """Opens studios, one after the other, on one data folder; closes what is left open."""
    opened: list[LiveStudio] = []

    def open_one(*, checkpoint: Path = golden_checkpoint, data: Path | None = None, **options: Any) -> LiveStudio:
        opened.append(LiveStudio(data or tmp_path / "data", checkpoint, **options))
        return opened[-1]

    yield open_one
    for live in opened:
        if not live.closed:
            live.close()


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, golden_checkpoint: Path) -> Iterator[LiveStudio]:
    """One studio with a worker that is ready, for all tests of a module."""
    studio = LiveStudio(tmp_path_factory.mktemp("data"), golden_checkpoint, queue_limit=20)
    try:
        studio.until_ready()
        yield studio
    finally:
        studio.close()
