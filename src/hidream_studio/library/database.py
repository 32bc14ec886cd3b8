"""One SQLite file: opened, brought up to date, and used in transactions. Knows no table by name.

Readers never wait (WAL); writers take turns, and what was committed survives a power cut (`synchronous=FULL`).
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from hidream_studio.errors import LibraryError, RequestError, StorageFullError
from hidream_studio.library.models import Base

logger = logging.getLogger(__name__)

BUSY_TIMEOUT_MS = 10_000
READERS_KEPT = 8  # connections; more are opened when needed
MIGRATIONS = Path(__file__).parent / "migrations"


class Database:
    """Transactions on one SQLite file; safe to use from any thread."""

    def __init__(self, path: Path) -> None:
        """Opens or makes the file and runs the migrations that it lacks.

        Raises
        ------
        LibraryError
            when it is no database, is damaged, cannot be written, or was written by a newer version in tables that
            this one cannot use.
        """
        self._path = path
        self._writer = threading.Lock()
        self._closed = False
        self._engine = _engine(path)
        try:
            with self._translated():
                self._migrate()
        except BaseException:
            self._engine.dispose()
            raise

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that sees one moment of the library."""
        with self._translated(), Session(self._engine) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session whose changes are all on disk when the block has ended, or none of them."""
        with self._translated(), self._writer:
            engine = self._engine.execution_options(begin="IMMEDIATE")
            with Session(engine, expire_on_commit=False) as session, session.begin():
                yield session

    def close(self) -> None:
        """Folds the write-ahead log into the file and lets go of it. A second call does nothing."""
        with self._writer:
            if self._closed:
                return
            self._closed = True
            try:
                with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT", begin=None) as connection:
                    connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            except DBAPIError:
                pass  # nothing is lost: the next opening reads the log
            finally:
                self._engine.dispose()

    def _migrate(self) -> None:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        engine = self._engine.execution_options(begin="IMMEDIATE")
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            if _is_newer(connection, config):
                self._check_newer(connection)
            else:
                command.upgrade(config, "head")

    def _check_newer(self, connection: Connection) -> None:
        """A newer version may have added tables and columns: what is known here is used, and the rest left alone."""
        if (hindrance := _hindrance(connection)) is not None:
            raise LibraryError(
                f"{self._path} was written by a newer HiDream Studio ({hindrance}); update, or use another data folder"
            )
        logger.warning("%s was written by a newer HiDream Studio; what this one knows of it is used", self._path)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """SQLite's refusals as errors of the library."""
        if self._closed:
            raise LibraryError("the library is closed")
        try:
            yield
        except DBAPIError as error:
            if isinstance(error.orig, sqlite3.IntegrityError):
                raise
            raise _library_error(self._path, error) from error
        except UnicodeEncodeError as error:
            raise RequestError(
                "a text holds half a character (a lone surrogate), which nothing here is called"
            ) from error


def _is_newer(connection: Connection, config: Config) -> bool:
    """Whether a migration was run that this version does not have."""
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    return not known.issuperset(MigrationContext.configure(connection).get_current_heads())


def _hindrance(connection: Connection) -> str | None:
    """What of the tables keeps this version from reading and adding rows; None where they only have more."""
    inspector = inspect(connection)
    tables = set(inspector.get_table_names())
    for table in Base.metadata.sorted_tables:
        if table.name not in tables:
            return f"it has no table {table.name}"
        there = {column["name"]: column for column in inspector.get_columns(table.name)}
        if missing := table.columns.keys() - there.keys():
            return f"{table.name} has no {', '.join(sorted(missing))}"
        for name in sorted(there.keys() - table.columns.keys()):
            if not there[name]["nullable"] and there[name].get("default") is None:
                return f"{table.name} needs {name}, which this version does not know"
    return None


def _engine(path: Path) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),  # put together: a "?" or "%41" in a folder's name is no part of a URL
        pool_size=READERS_KEPT,
        max_overflow=-1,
        json_deserializer=_json_or_text,
        connect_args={"timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False},
    )
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return engine


def _json_or_text(text: str) -> Any:
    """One damaged value must not hide the rows beside it: whoever reads it finds a text where none belongs."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _set_up(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None  # transactions begin where SQLAlchemy says so, DDL included
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_TIMEOUT_MS}"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    kind = connection.get_execution_options().get("begin", "DEFERRED")
    if kind is not None:
        connection.exec_driver_sql(f"BEGIN {kind}")


def _library_error(path: Path, error: DBAPIError) -> LibraryError:
    name = getattr(error.orig, "sqlite_errorname", "")
    if name == "SQLITE_FULL":
        return StorageFullError(f"the disk is full: {path} cannot grow; free some space on it")
    if name.startswith("SQLITE_READONLY"):
        return LibraryError(f"{path} cannot be written; check the rights of the data folder")
    if name in ("SQLITE_NOTADB", "SQLITE_CORRUPT"):
        return LibraryError(
            f"{path} is damaged or no library; move it away, and the pictures are read in again from their files"
        )
    return LibraryError(f"{path} cannot be used: {error.orig}")
