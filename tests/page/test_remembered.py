"""Two tabs remember into one library, and neither undoes what the other has changed."""

from __future__ import annotations

import asyncio
from pathlib import Path

from hidream_studio.library.library import Library
from hidream_studio.page.state.guard import Guard
from hidream_studio.page.state.remembered import Remembered, View


async def all_written() -> None:
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})


def test_a_tab_that_was_open_all_the_while_undoes_nothing(tmp_path: Path):
    library = Library.open(tmp_path / "data")

    async def both() -> Remembered:
        first, second, later = (Remembered(library, Guard()) for _ in range(3))
        await asyncio.gather(first.load(), second.load())
        for mode in ("exact", "re-render", "exact"):
            first.keep_view(finish_mode=mode)
        first.dismiss("job-1")
        await all_written()
        second.keep_view(theme="light")
        second.dismiss("job-2", "job-3")
        await all_written()
        await later.load()
        return later

    try:
        found = asyncio.run(both())
    finally:
        library.close()
    assert found.view == View(finish_mode="exact", theme="light")
    assert found.dismissed == ["job-1", "job-2", "job-3"]
