"""Libraries that another version wrote: what is understood is there, what is not is shown, and nothing is lost."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from library_making import draft, job_record, png

from hidream_studio.errors import LibraryError
from hidream_studio.library.library import Library
from hidream_studio.library.records import ImageRecord

RELEASED = Path(__file__).parents[1] / "data" / "library-0.1.0.sql"  # written by that release, as sqlite3's .dump
NEWER: dict[str, dict[str, Any]] = {
    "a field more": {"of_tomorrow": "safe"},
    "values inside of values": {"and_after": [{"name": "a", "strength": 0.5}], "then": None},
    "a value that is new": {"sampler": "dpm"},
    "a newer schema": {"schema": 9},
    "a field less": {"noise": ...},
    "no object": {"": []},
}


def execute(data: Path, *statements: str, values: tuple[object, ...] = ()) -> list[Any]:
    with closing(sqlite3.connect(data / "library.sqlite3")) as connection, connection:
        return [row for statement in statements for row in connection.execute(statement, values)]


def rewrite(data: Path, change: dict[str, Any]) -> str:
    """The rows' jobs as a newer version would have written them; returns what is stored of each."""
    [(stored,)] = execute(data, "SELECT job FROM images")
    newer = {name: value for name, value in (json.loads(stored) | change).items() if value is not ...}
    text = json.dumps(newer.get("", newer))
    execute(data, "UPDATE images SET job = ?", values=(text,))
    execute(data, "UPDATE jobs SET job = ?", values=(text,))
    return text


def test_a_library_of_the_last_release_opens_with_all_that_is_in_it(data: Path) -> None:
    data.mkdir()
    with closing(sqlite3.connect(data / "library.sqlite3")) as connection:
        connection.executescript(RELEASED.read_text())

    library = Library.open(data)

    child, root = library.images()
    assert (root.job.prompt, root.job.noise, root.job.preset, root.timings.decode_s) == (
        "a red fox",
        "linked",
        "quick",
        0.2,
    )
    assert root.adjustments[0].used == 256 and child.job.parent_id == root.id and child.family_id == root.family_id
    assert [picture.unreadable for picture in (child, root)] == [None, None]
    assert [waiting.job.prompt for waiting in library.pending_jobs()] == ["a blue boat"]
    [failed] = library.jobs(states=["failed"])
    assert failed.error is not None and failed.error.code == "out_of_memory" and failed.job.negative_prompt == "blur"
    assert len(library.jobs()) == 4 and all(one.unreadable is None for one in library.jobs())
    library.close()


@pytest.mark.parametrize("change", NEWER.values(), ids=NEWER.keys())
def test_a_row_of_a_newer_version_is_shown_and_stays_as_it_is(
    library: Library, data: Path, stored: Callable[..., ImageRecord], change: dict[str, Any]
) -> None:
    picture = stored("a fox")
    text = rewrite(data, change)
    understood = not change.keys() - {"of_tomorrow", "and_after", "then"}

    [shown] = library.images(q="fox size:256x256")
    [kept] = library.jobs()

    assert (shown.id, shown.file, shown.created_at) == (picture.id, picture.file, picture.created_at)
    assert (shown.job.prompt, shown.job.seed, shown.job.width) == ("a fox", 7, 256)
    assert (shown.unreadable is None, kept.unreadable is None) == (understood, understood)
    told = {note.field for note in shown.adjustments}
    assert told >= change.keys() - {"schema", ""}
    assert library.image(picture.id) == shown == library.lineage(picture.id)[0]
    assert library.file_path(picture.id).is_file() and library.thumbnail(picture.id).is_file()

    assert library.update_image(picture.id, favourite=True).favourite
    library.update_job(kept.id, sheet_id="5" * 26)
    library.close()
    Library.open(data).close()
    assert execute(data, "SELECT job FROM images", "SELECT job FROM jobs") == [(text,), (text,)]


@pytest.mark.parametrize("change", NEWER.values(), ids=NEWER.keys())
def test_a_job_that_waits_for_a_newer_version_is_left_to_it(
    library: Library, data: Path, stored: Callable[..., ImageRecord], change: dict[str, Any]
) -> None:
    stored()
    rewrite(data, change)
    execute(data, "UPDATE jobs SET state = 'queued'")
    ours = job_record()
    library.add_jobs([ours])

    assert library.pending_jobs() == [ours]
    assert len(library.jobs(states=["queued"])) == 2


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("jobs", "state", "paused"), ("jobs", "lane", "express"), ("images", "lane", "express"),
        ("images", "job", "{damaged"), ("jobs", "job", "{damaged"), ("jobs", "request", "[1]"),
        ("jobs", "adjustments", '[{"field": "a", "asked": 1, "used": 2, "why": "b", "more": 3}, 5]'),
        ("images", "adjustments", "{}"), ("images", "timings", '{"text_s": 1, "wait_s": 2}'),
        ("images", "timings", '{"text_s": "long"}'), ("jobs", "error", '{"code": "new", "message": "m", "hint": "h"}'),
        ("jobs", "timings", "5"),
    ],
)  # fmt: skip
def test_whatever_one_column_holds_the_library_is_read(
    library: Library, data: Path, stored: Callable[..., ImageRecord], table: str, column: str, value: str
) -> None:
    picture, other = stored("a fox"), stored("a hen")
    execute(data, f"UPDATE {table} SET {column} = ? WHERE id IN (?, ?)", values=(value, picture.id, picture.job_id))

    assert [one.id for one in library.images()] == [other.id, picture.id]
    assert len(library.jobs()) == 2 and library.job(picture.job_id).id == picture.job_id
    hidden = {"state", "lane", "job"}
    of = library.image(picture.id) if table == "images" else library.job(picture.job_id)
    assert (of.unreadable is not None) == (column in hidden)
    library.pending_jobs()


def test_tables_to_which_a_newer_version_only_added_are_used_and_the_rest_is_left_alone(
    library: Library, data: Path, stored: Callable[..., ImageRecord]
) -> None:
    picture = stored("a fox")
    library.close()
    execute(
        data,
        "UPDATE alembic_version SET version_num = '9999'",
        "ALTER TABLE images ADD COLUMN stars INTEGER",
        "ALTER TABLE jobs ADD COLUMN owner VARCHAR NOT NULL DEFAULT 'me'",
        "CREATE TABLE loras (name VARCHAR NOT NULL)",
        "UPDATE images SET stars = 5",
    )

    again = Library.open(data)
    record = job_record()
    again.add_jobs([record])
    again.store_image(draft(record), png())
    again.update_image(picture.id, favourite=True)
    again.close()

    assert execute(data, "SELECT version_num FROM alembic_version") == [("9999",)]
    assert execute(data, "SELECT stars, favourite FROM images ORDER BY id") == [(5, 1), (None, 0)]


@pytest.mark.parametrize(
    ("statements", "says"),
    [
        (["ALTER TABLE images RENAME COLUMN favourite TO stars"], "images has no favourite"),
        (["DROP TABLE deleted_images"], "it has no table deleted_images"),
        (
            ["DROP TABLE settings", "CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT, kind TEXT NOT NULL)"],
            "settings needs kind, which this version does not know",
        ),
    ],
)
def test_tables_that_a_newer_version_changed_are_refused_in_one_sentence_and_not_touched(
    library: Library, data: Path, statements: list[str], says: str
) -> None:
    library.close()
    execute(data, "UPDATE alembic_version SET version_num = '9999'", *statements)
    before = execute(data, "SELECT sql FROM sqlite_master ORDER BY name")

    for _ in range(2):
        with pytest.raises(LibraryError, match=rf"newer HiDream Studio \({says}\); update, or use another data folder"):
            Library.open(data)

    assert execute(data, "SELECT sql FROM sqlite_master ORDER BY name") == before
