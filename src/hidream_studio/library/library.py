"""The history on disk: jobs, pictures, those that they are drawn from. Knows no HTTP and no rule of the queue.

Every method may be called from any thread. What a method has changed is on disk when it returns. Long methods are
`store_image` and `thumbnail`; the others take a few milliseconds.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from hidream_studio.errors import LibraryError, NotFoundError, RequestError
from hidream_studio.image.metadata import RestoredSettings, picture_facts, read_file, settings_from_chunks
from hidream_studio.image.thumbnail import make_thumbnail
from hidream_studio.job.clock import utc_now
from hidream_studio.job.ids import is_id
from hidream_studio.job.record import ENDED, JobRecord, State
from hidream_studio.library import adoption, rows
from hidream_studio.library.database import Database
from hidream_studio.library.files import (
    RESERVE_BYTES,
    check_free_space,
    make_folder,
    storage_errors,
    sweep_temporary,
    write_durably,
)
from hidream_studio.library.images import add_image, image_of_job, image_query, image_row, with_texts
from hidream_studio.library.lock import FolderLock
from hidream_studio.library.models import DeletedImageRow, ImageRow, JobRow
from hidream_studio.library.notes import Notes
from hidream_studio.library.records import ImageDraft, ImageRecord, ImportResult, Upload
from hidream_studio.library.uploads import Uploads

DATABASE_FILE = "library.sqlite3"
IMAGES_FOLDER = "images"
THUMBNAILS_FOLDER = "thumbnails"


class Library:
    """One data folder; made by `Library.open`."""

    def __init__(self, data: Path, lock: FolderLock, database: Database) -> None:
        self.data = data
        self._lock = lock
        self._database = database
        self._thumbnails = threading.Lock()  # each is made once, and never many at the same time
        self._uploads = Uploads(data, database)
        self.notes = Notes(database)

    @classmethod
    def open(cls, data: Path) -> Library:
        """The library in the folder `data`, which is made where it is missing; takes its lock until `close`.

        Temporary files of interrupted writes are removed, and finished pictures without a row get theirs.

        Raises
        ------
        LibraryError
            when the folder cannot be used, or another server uses it; names that one.
        """
        data = data.absolute()
        with storage_errors(data):
            for folder in (data / IMAGES_FOLDER, data / THUMBNAILS_FOLDER):
                make_folder(folder)
        lock = FolderLock(data)
        try:
            library = cls(data, lock, Database(data / DATABASE_FILE))
            try:
                with storage_errors(data):
                    library._tidy()
            except BaseException:
                library._database.close()
                raise
        except BaseException:
            lock.release()
            raise
        return library

    def close(self) -> None:
        """Lets another server have the folder. A second call does nothing."""
        self._database.close()
        self._lock.release()

    def announce(self, address: str) -> None:
        """Tells a second server on this folder where the first answers."""
        self._lock.announce(address)

    def check_space(self) -> None:
        """Refuses new work before it is begun.

        Raises
        ------
        StorageFullError
            with what is free and what is needed.
        """
        check_free_space(self.data, RESERVE_BYTES)

    # Jobs

    def add_jobs(self, records: Sequence[JobRecord]) -> None:
        """All of them, or none. Raises RequestError where one's references have gone meanwhile."""
        self.check_space()
        with self._database.writing() as session:
            session.add_all(rows.new_job_row(record) for record in records)
            session.flush()  # before the rows that refer to them
            self._uploads.link(session, records)

    def job(self, job_id: str) -> JobRecord:
        with self._database.reading() as session:
            return rows.job_record(_job_row(session, job_id))

    def jobs(
        self,
        *,
        states: Iterable[State] | None = None,
        sheet_id: str | None = None,
        limit: int = 200,
        before: str | None = None,
    ) -> list[JobRecord]:
        """The newest first; `before` is the id after which a further page begins."""
        query = select(JobRow).order_by(JobRow.id.desc()).limit(max(limit, 0))
        if states is not None:
            query = query.where(JobRow.state.in_(list(states)))
        if sheet_id is not None:
            query = query.where(JobRow.sheet_id == sheet_id)
        if before is not None:
            query = query.where(JobRow.id < before)
        with self._database.reading() as session:
            return [rows.job_record(row) for row in session.scalars(query)]

    def pending_jobs(self) -> list[JobRecord]:
        """What waited or ran when the last server ended, in the order of the queue.

        A job that this version does not wholly understand is not among them: it waits for the version that does.
        """
        return self._unended_jobs(understood=True)

    def jobs_of_other_versions(self) -> list[JobRecord]:
        """What waits for the version that asked for it, in the order of the queue."""
        return self._unended_jobs(understood=False)

    def _unended_jobs(self, *, understood: bool) -> list[JobRecord]:
        query = select(JobRow).where(JobRow.state.not_in(ENDED)).order_by(JobRow.queue_order, JobRow.id)
        with self._database.reading() as session:
            return [rows.job_record(row) for row in session.scalars(query) if rows.is_understood(row) == understood]

    def update_job(self, job_id: str, **changes: Any) -> JobRecord:
        """Sets fields of a JobRecord."""
        columns = rows.job_columns(changes)
        with self._database.writing() as session:
            row = _job_row(session, job_id)
            for name, value in columns.items():
                setattr(row, name, value)
            session.flush()
            return rows.job_record(row)

    # Pictures

    def store_image(self, draft: ImageDraft, png: bytes) -> ImageRecord:
        """The picture's file, then its row and its job's end in one transaction.

        A crash in between leaves a file that the next `open` adopts. A job has one picture: storing for a job that
        has one already returns that one.

        Raises
        ------
        StorageFullError, LibraryError
            when it could not be written; nothing of it is left then.
        """
        if not is_id(draft.id):
            raise ValueError(f"{draft.id!r} is no id")
        with self._database.reading() as session:
            if (known := image_of_job(session, draft.job_id)) is not None:
                return rows.image_record(known)
        png = with_texts(draft, png, self._uploads.tiny(draft.job))
        check_free_space(self.data, len(png) + RESERVE_BYTES // 4)
        file = f"{IMAGES_FOLDER}/{draft.created_at[:7]}/{draft.id}.png"
        write_durably(self.data / file, png)
        try:
            with self._database.writing() as session:
                return add_image(session, draft, file=file, file_bytes=len(png))
        except BaseException:
            with suppress(OSError):
                (self.data / file).unlink()
            raise

    def image(self, image_id: str) -> ImageRecord:
        with self._database.reading() as session:
            return rows.image_record(image_row(session, image_id))

    def images(
        self,
        *,
        q: str | None = None,
        favourite: bool | None = None,
        rejected: bool | None = False,
        parent_id: str | None = None,
        sheet_id: str | None = None,
        limit: int = 200,
        before: str | None = None,
    ) -> list[ImageRecord]:
        """The newest first; `before` is the id after which a further page begins, `q` is read by `search`.

        `rejected` None gives the rejected and the others.
        """
        query = image_query(
            q=q, favourite=favourite, rejected=rejected, parent_id=parent_id, sheet_id=sheet_id, before=before
        )
        with self._database.reading() as session:
            return [rows.image_record(row) for row in session.scalars(query.limit(max(limit, 0)))]

    def update_image(
        self, image_id: str, *, favourite: bool | None = None, rejected: bool | None = None
    ) -> ImageRecord:
        """Sets what is not None. A rejection keeps the file, and can be undone."""
        with self._database.writing() as session:
            row = image_row(session, image_id)
            if favourite is not None:
                row.favourite = favourite
            if rejected is not None:
                row.rejected_at = (row.rejected_at or utc_now()) if rejected else None
            session.flush()
            return rows.image_record(row)

    def delete_image(self, image_id: str) -> None:
        """Row, file and thumbnail, for good. Pictures that were made from it keep their family."""
        with self._database.writing() as session:
            row = image_row(session, image_id)
            file = row.file
            job = session.get(JobRow, row.job_id)
            if job is not None:
                job.image_id = None
            session.delete(row)
            session.add(DeletedImageRow(id=image_id, file=file))  # until the file is gone
        self._remove_deleted()
        self._uploads.sweep()

    def lineage(self, image_id: str) -> list[ImageRecord]:
        """The whole family of a picture, the oldest first: its drafts, and all that was finished of them."""
        with self._database.reading() as session:
            family = image_row(session, image_id).family_id
            query = select(ImageRow).where(ImageRow.family_id == family).order_by(ImageRow.created_at, ImageRow.id)
            return [rows.image_record(row) for row in session.scalars(query)]

    def file_path(self, image_id: str) -> Path:
        """The PNG.

        Raises
        ------
        NotFoundError
            when the picture is unknown, or its file has vanished.
        """
        path = self.data / self.image(image_id).file
        if not path.is_file():
            raise NotFoundError(f"the file of picture {image_id} has vanished: {path} is not there")
        return path

    def thumbnail(self, image_id: str) -> Path:
        """The small WebP of a picture, made the first time that somebody asks.

        Raises
        ------
        NotFoundError
            when the picture is unknown, or its file has vanished.
        LibraryError
            when its file is damaged.
        """
        path = self._thumbnail_path(self.image(image_id).file)
        if path.is_file():
            return path
        with self._thumbnails:
            if not path.is_file():
                source = self.file_path(image_id)
                try:
                    with storage_errors(source):
                        small = make_thumbnail(source)
                    write_durably(path, small)
                except RequestError as error:
                    raise LibraryError(f"the file of picture {image_id} is damaged: {error.message}") from error
        return path

    def import_picture(self, data: bytes) -> ImportResult:
        """What a dropped PNG, JPEG or WebP brings back; nothing is stored. References that are not here are told.

        Raises
        ------
        RequestError
            when it is none of these, or holds no settings.
        """
        file = read_file(data)
        facts = picture_facts(file.texts)
        record = None
        if facts is not None and facts.image_id is not None:
            with suppress(NotFoundError):
                record = self.image(facts.image_id)
        settings = self.with_known_references(settings_from_chunks(file.texts, file.unread))
        return ImportResult(settings=settings, record=record)

    # Pictures as input

    def add_upload(self, data: bytes, name: str | None = None, *, field: str = "file") -> Upload:
        """Keeps a picture as input, once for equal bytes, under the hash of these.

        It goes with the last job and picture that need it, or a day after it was sent and never used. A cancelled job
        needs it for a day.

        Raises
        ------
        RequestError
            naming `field` and the limit, when it is no picture that can be read (see `image.intake`).
        StorageFullError, LibraryError
        """
        return self._uploads.add(data, name, field=field)

    def upload(self, upload_id: str) -> Upload:
        """What is known of it; reads no disk. Raises NotFoundError."""
        return self._uploads.get(upload_id)

    def upload_path(self, upload_id: str) -> Path:
        """The file as it was sent. Raises NotFoundError."""
        return self._uploads.path(upload_id)

    def upload_bytes(self, upload_id: str) -> bytes:
        """What is in it. Raises NotFoundError, LibraryError."""
        path = self._uploads.path(upload_id)
        with storage_errors(path):
            return path.read_bytes()

    def upload_thumbnail(self, upload_id: str) -> bytes:
        """A small WebP of it. Raises NotFoundError, LibraryError."""
        return self._uploads.thumbnail(upload_id)

    def sweep_uploads(self) -> None:
        """Lets go of uploads that nothing needs any more; to be called now and then."""
        self._uploads.sweep()

    def with_known_references(self, settings: RestoredSettings) -> RestoredSettings:
        """The settings with those references that are here, and their boxes; what is missing is told. Reads no disk."""
        return self._uploads.known_of(settings)

    # Inside

    def _tidy(self) -> None:
        for folder in (self.data / IMAGES_FOLDER, self.data / THUMBNAILS_FOLDER):
            sweep_temporary(folder)
        self._remove_deleted()
        self._uploads.open()
        with self._database.reading() as session:
            known = {*session.scalars(select(ImageRow.id)), *session.scalars(select(DeletedImageRow.id))}
        for path, facts in adoption.orphans(self.data / IMAGES_FOLDER, known):
            waiting = None
            if facts.job_id is not None:
                with suppress(NotFoundError):
                    waiting = self.job(facts.job_id)
            draft = adoption.draft_of(facts, waiting)
            file = path.relative_to(self.data).as_posix()
            with self._database.writing() as session:
                add_image(session, draft, file=file, file_bytes=path.stat().st_size)
        self._uploads.sweep()

    def _remove_deleted(self) -> None:
        """Removes the files of deleted pictures; one that cannot be removed now is tried again at the next start."""
        with self._thumbnails, self._database.writing() as session:
            for row in session.scalars(select(DeletedImageRow)).all():
                with suppress(OSError):
                    self._thumbnail_path(row.file).unlink(missing_ok=True)
                    (self.data / row.file).unlink(missing_ok=True)
                    session.delete(row)

    def _thumbnail_path(self, file: str) -> Path:
        return (self.data / THUMBNAILS_FOLDER / Path(file).relative_to(IMAGES_FOLDER)).with_suffix(".webp")


def _job_row(session: Session, job_id: str) -> JobRow:
    row = session.get(JobRow, job_id) if job_id.isascii() else None
    if row is None:
        raise NotFoundError(f"there is no job {job_id[:40]}")
    return row
