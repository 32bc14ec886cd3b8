"""Two tabs remember into one library, and neither undoes what the other has changed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hidream_studio.library.library import Library
from hidream_studio.page.state import remembered
from hidream_studio.page.state.guard import Guard
from hidream_studio.page.state.remembered import Remembered, View


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> list[asyncio.Task[None]]:
    """NiceGUI's background tasks need its app; here they are plain ones."""
    made: list[asyncio.Task[None]] = []
    monkeypatch.setattr(remembered.background_tasks, "create", lambda work: made.append(asyncio.ensure_future(work)))
    return made


def test_a_tab_that_was_open_all_the_while_undoes_nothing(tmp_path: Path, tasks: list[asyncio.Task[None]]):
    library = Library.open(tmp_path / "data")

    async def both() -> Remembered:
        first, second, later = (Remembered(library, Guard()) for _ in range(3))
        await asyncio.gather(first.load(), second.load())
        for mode in ("exact", "re-render", "exact"):
            first.keep_view(finish_mode=mode)
        first.dismiss("job-1")
        await asyncio.gather(*tasks)
        second.keep_view(theme="light")
        second.dismiss("job-2", "job-3")
        await asyncio.gather(*tasks)
        await later.load()
        return later

    try:
        found = asyncio.run(both())
    finally:
        library.close()
    assert found.view == View(finish_mode="exact", theme="light")
    assert found.dismissed == ["job-1", "job-2", "job-3"]
