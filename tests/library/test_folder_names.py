"""Whatever a data folder is called, the library lies in it and nowhere else."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hidream_studio.library.database import Database
from hidream_studio.library.library import DATABASE_FILE, Library

# what a URL, a path, a format string or SQLite's own file: names give a meaning to, among plain letters
MEANINGFUL = [
    "?", "%", "%41", "%2F", "#", "&", "=", ":", "@", "+", ";", "'", '"', "\\", "{x}", "$HOME", "file:", " ", "é",
]  # fmt: skip
NAMES = (
    st.lists(st.sampled_from(MEANINGFUL) | st.text("abA.~-", min_size=1, max_size=3), min_size=1, max_size=6)
    .map("".join)
    .filter(lambda name: name not in (".", ".."))
)


@settings(max_examples=25, deadline=None)
@given(name=NAMES)
def test_a_database_is_the_file_that_was_named(name: str) -> None:
    with tempfile.TemporaryDirectory() as above:
        folder = Path(above) / name
        folder.mkdir()
        Database(folder / DATABASE_FILE).close()
        assert [file.name for file in Path(above).iterdir()] == [name]
        assert (folder / DATABASE_FILE).stat().st_size > 0


@pytest.mark.parametrize(("one", "other"), [("what?one", "what?two"), ("what%41", "whatA")])
def test_two_folders_never_share_a_library(tmp_path: Path, one: str, other: str) -> None:
    first, second = Library.open(tmp_path / one), Library.open(tmp_path / other)
    try:
        first.notes.set_setting("mine", 1)
        assert second.notes.setting("mine") is None
    finally:
        first.close()
        second.close()
    assert {file.name for file in tmp_path.iterdir()} == {one, other}
