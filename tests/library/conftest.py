"""A library in a fresh folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from library_making import draft, job, job_record, png

from hidream_studio.library.library import Library
from hidream_studio.library.records import ImageRecord


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data 100%"


@pytest.fixture
def library(data: Path) -> Iterator[Library]:
    library = Library.open(data)
    yield library
    library.close()


@pytest.fixture
def stored(library: Library) -> Callable[..., ImageRecord]:
    """Stores a picture of the library, as the end of its job: `stored("a prompt", seed=3)`."""

    def store(prompt: str = "a cat", **values: Any) -> ImageRecord:
        sheet_id, lane = values.pop("sheet_id", None), values.pop("lane", "draft")
        record = job_record(job(prompt, **values), sheet_id=sheet_id, lane=lane)
        library.add_jobs([record])
        return library.store_image(draft(record), png())

    return store
