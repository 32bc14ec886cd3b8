"""The migrations make the tables that the models describe, and the database keeps its promises on durability."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from library_making import job_record
from sqlalchemy import create_engine, text

from hidream_studio.errors import RequestError
from hidream_studio.library.database import Database
from hidream_studio.library.library import Library
from hidream_studio.library.models import Base


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "library.sqlite3")
    yield database
    database.close()


def test_the_migrations_make_exactly_the_tables_of_the_models(database: Database, tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'library.sqlite3'}")
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    engine.dispose()

    assert differences == []


def test_a_commit_waits_for_the_disk_and_readers_wait_for_nobody(database: Database) -> None:
    with database.reading() as session:
        values = {
            name: session.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert values == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10_000}

    with database.writing() as writer:
        writer.execute(text("INSERT INTO settings VALUES ('a', '1')"))
        with database.reading() as reader:
            assert reader.execute(text("SELECT count(*) FROM settings")).scalar() == 0


def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.writing() as session:
        session.execute(text("INSERT INTO settings VALUES ('a', '1')"))
        raise ZeroDivisionError

    with database.reading() as session:
        assert session.execute(text("SELECT count(*) FROM settings")).scalar() == 0


def test_opening_again_changes_nothing(library: Library, data: Path) -> None:
    record = job_record()
    library.add_jobs([record])
    library.close()
    for _ in range(2):
        again = Library.open(data)
        assert again.jobs() == [record]
        again.close()
    with sqlite3.connect(data / "library.sqlite3") as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("0003",)]
    connection.close()


def test_a_closed_library_is_one_file_without_a_log(library: Library, data: Path) -> None:
    library.add_jobs([job_record()])
    library.close()

    assert sorted(file.name for file in data.glob("library.sqlite3*")) == ["library.sqlite3"]


def test_the_pages_settings_are_kept_whatever_their_shape(library: Library, data: Path) -> None:
    values = {"prompt": "漢字\n★", "size": 384, "live": True, "nothing": None, "nested": {"a": [1, 2.5, "x"]}}
    for key, value in values.items():
        library.notes.set_setting(key, "before")
        library.notes.set_setting(key, value)
    library.close()

    again = Library.open(data)
    assert {key: again.notes.setting(key, "absent") for key in values} == values
    assert again.notes.setting("unknown", 5) == 5
    for count in (1, 2):  # of nothing at first
        again.notes.change_setting("counted", lambda stored: (stored or 0) + 1)
        assert again.notes.setting("counted") == count
    with pytest.raises(RequestError):
        again.notes.set_setting("prompt", "x" * 1_000_001)
    again.close()


def test_cost_samples_come_back_the_newest_of_them_in_order(library: Library) -> None:
    samples = [
        {
            "device": "cpu", "precision": "fp32", "numeric_path": "eager", "fingerprint": "f", "image_tokens": number,
            "steps": 4, "text_tokens": 20, "negative_tokens": None if number % 2 else 5, "elapsed_s": 1.5,
            "text_s": None, "steps_s": 1.0, "decode_s": 0.1, "png_s": 0.1, "reference_tokens": number,
        }
        for number in range(5)
    ]  # fmt: skip
    for sample in samples:
        library.notes.add_cost_sample(sample)

    assert library.notes.cost_samples() == samples
    assert library.notes.cost_samples(limit=2) == samples[3:]
