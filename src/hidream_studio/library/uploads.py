"""Pictures as input on disk: each kept once under the hash of its bytes, for as long as a job may need it.

The table is also held in memory, so that asking for an upload's size reads no disk. Safe to use from any thread.
"""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Select, delete, exists, func, select
from sqlalchemy.orm import Session

from hidream_studio.errors import LibraryError, NotFoundError, RequestError
from hidream_studio.image.intake import read_picture
from hidream_studio.image.metadata import RestoredSettings
from hidream_studio.image.thumbnail import is_webp, small_webp, tiny_webp
from hidream_studio.job.clock import utc_now, utc_text
from hidream_studio.job.job import Job
from hidream_studio.job.record import JobRecord
from hidream_studio.job.request import UPLOAD_ID
from hidream_studio.job.values import shared_fields
from hidream_studio.library.database import Database
from hidream_studio.library.files import (
    RESERVE_BYTES,
    check_free_space,
    make_folder,
    storage_errors,
    sweep_temporary,
    write_durably,
)
from hidream_studio.library.models import JobRow, JobUploadRow, UploadRow
from hidream_studio.library.records import Upload

UPLOADS_FOLDER = "uploads"
UNUSED_KEPT = timedelta(hours=24)  # of an upload that no job was ever drawn from, or cancelled ones alone
MAX_NAME_CHARS = 200
THUMBNAIL_SUFFIX = ".webp"


class Uploads:
    """The uploads of one data folder."""

    def __init__(self, data: Path, database: Database) -> None:
        self._folder = data / UPLOADS_FOLDER
        self._database = database
        self._changing = threading.RLock()  # file and row together
        self._reading = threading.Lock()  # one picture is decoded at a time: it may be large
        self._known: dict[str, Upload] = {}

    def open(self) -> None:
        """Make disk and table agree: what a crash left half-written goes, files without a row get theirs.

        To be swept when pictures have been adopted, too, which may need them.
        """
        make_folder(self._folder)
        sweep_temporary(self._folder)
        with self._database.reading() as session:
            self._known = {row.hash: _upload(row) for row in session.scalars(select(UploadRow))}
        for path in sorted(self._folder.glob("*/*")):
            if re.fullmatch(UPLOAD_ID, path.name) and path.name not in self._known:
                try:
                    self._adopt(path)
                except OSError as error:  # one file, which must not keep the others from their pictures
                    logging.getLogger(__name__).warning("%s cannot be read and is left alone: %s", path, error)

    def add(self, data: bytes, name: str | None, *, field: str) -> Upload:
        """Keep a picture, once. See `Library.add_upload`."""
        key = hashlib.sha256(data).hexdigest()
        with self._changing:  # else it could be swept between the look and its new time
            known = self._known.get(key)
            if known is not None and self._path(key).is_file():
                self._keep(known)
                return known
        with self._reading:
            taken = read_picture(data, field=field)
            small = small_webp(taken.picture)
        width, height = taken.picture.size
        known = Upload(key, taken.media_type, width, height, len(data), _shown_name(name), taken.notes)
        with self._changing:
            check_free_space(self._folder, len(data) + RESERVE_BYTES)
            write_durably(self._thumbnail_path(key), small)
            write_durably(self._path(key), data)
            self._keep(known)
        return known

    def get(self, upload_id: str) -> Upload:
        """Reads no disk. Raises NotFoundError."""
        upload = self._known.get(upload_id)
        if upload is None:
            raise NotFoundError(
                f"there is no upload {upload_id[:12]}; it may have gone with the last job that used it: send it again"
            )
        return upload

    def path(self, upload_id: str) -> Path:
        """Its file. Raises NotFoundError."""
        path = self._path(self.get(upload_id).hash)
        if not path.is_file():
            raise NotFoundError(f"the file of upload {upload_id[:12]} has vanished: {path} is not there")
        return path

    def thumbnail(self, upload_id: str) -> bytes:
        """A small WebP, made anew where it has vanished or is damaged. Raises NotFoundError, LibraryError."""
        path = self._thumbnail_path(self.get(upload_id).hash)
        with storage_errors(path):
            if path.is_file() and is_webp(kept := path.read_bytes()):
                return kept
        source = self.path(upload_id)
        with storage_errors(source):
            data = source.read_bytes()
        try:
            small = small_webp(read_picture(data).picture)
        except RequestError as error:
            raise LibraryError(f"the file of upload {upload_id[:12]} is damaged: {error.message}") from error
        write_durably(path, small)
        return small

    def tiny(self, job: Job) -> dict[str, bytes]:
        """Very small pictures of a job's references, by their hash; of those that can be had."""
        found = {}
        for reference in job.references:
            try:
                found[reference.hash] = tiny_webp(self.thumbnail(reference.hash))
            except (NotFoundError, LibraryError):
                continue
            except Exception:  # the picture itself must be kept, whatever is wrong with these
                logging.getLogger(__name__).exception("no small picture of upload %s", reference.hash[:12])
        return found

    def known_of(self, settings: RestoredSettings) -> RestoredSettings:
        """See `Library.with_known_references`."""
        asked = settings.request.get("references") or ()
        here = [index for index, one in enumerate(asked) if one["upload_id"] in self._known]
        if len(here) == len(asked):
            return settings
        request, notes = dict(settings.request), list(settings.notes)
        for index in (index for index in range(len(asked)) if index not in here):
            role = f" ({asked[index]['role']})" if asked[index].get("role") else ""
            notes.append(f"reference {index + 1}{role} is not in this library: add its picture again")
        request["references"] = [asked[index] for index in here]
        if boxes := request.get("layout"):
            request["layout"] = [boxes[index] for index in here if index < len(boxes)]
        for name in ("references", "layout"):
            if not request.get(name):
                request.pop(name, None)
        if not here:
            request.pop("keep_aspect", None)
        missing = tuple(one["upload_id"] for index, one in enumerate(asked) if index not in here)
        return replace(settings, request=request, notes=tuple(notes), missing=missing)

    def link(self, session: Session, records: Sequence[JobRecord]) -> None:
        """Tie the uploads to jobs that are being added. Raises RequestError where one has gone meanwhile."""
        for record in records:
            for index, reference in enumerate(record.job.references):
                if session.get(UploadRow, reference.hash) is None:
                    raise RequestError(
                        f"references.{index} is upload {reference.hash[:12]}, which is gone; send it again",
                        field=f"references.{index}",
                    )  # fmt: skip
            tie(session, record.id, (reference.hash for reference in record.job.references))

    def sweep(self) -> None:
        """Let go of what no job and no picture needs.

        At once where one did, a day after it was sent where none did, a day after they ended where cancelled ones did.
        """
        with self._changing:
            with self._database.writing() as session:
                gone = [row.hash for row in session.scalars(_needless())]
                session.execute(delete(JobUploadRow).where(JobUploadRow.upload_hash.in_(gone)))
                session.execute(delete(UploadRow).where(UploadRow.hash.in_(gone)))
            for key in gone:
                self._known.pop(key, None)
                with suppress(OSError):  # what stays is taken for an upload again at the next start, and swept then
                    self._path(key).unlink(missing_ok=True)
                    self._thumbnail_path(key).unlink(missing_ok=True)

    def _keep(self, upload: Upload, added_at: str | None = None) -> None:
        """Its row, with the time of now: so it is not swept from under somebody who sent it again."""
        columns = {name: value for name, value in vars(upload).items() if name != "notes"}
        with self._database.writing() as session:
            session.merge(UploadRow(**columns, notes=list(upload.notes), added_at=added_at or utc_now()))
        self._known[upload.hash] = upload

    def _adopt(self, path: Path) -> None:
        """A file whose row is lost with its database; one that is not what it is called is left alone."""
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != path.name:
            return
        with suppress(RequestError):
            taken = read_picture(data)
            width, height = taken.picture.size
            then = utc_text(datetime.fromtimestamp(path.stat().st_mtime, UTC))
            self._keep(Upload(path.name, taken.media_type, width, height, len(data), None, taken.notes), then)

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / key

    def _thumbnail_path(self, key: str) -> Path:
        return self._path(key).with_suffix(THUMBNAIL_SUFFIX)


def tie(session: Session, job_id: str, hashes: Iterable[str]) -> None:
    """Remember that the job is drawn from those of these uploads that are here."""
    for key in dict.fromkeys(hashes):
        if session.get(UploadRow, key) is not None:
            session.merge(JobUploadRow(job_id=job_id, upload_hash=key))


def _needless() -> Select[UploadRow]:
    """The query for uploads that can go."""
    links = select(JobUploadRow).where(JobUploadRow.upload_hash == UploadRow.hash)
    # a finished job whose picture was deleted will not be drawn again, nor one that was cancelled long ago
    old = utc_text(datetime.now(UTC) - UNUSED_KEPT)
    drawn_and_deleted = (JobRow.state == "finished") & JobRow.image_id.is_(None)
    cancelled_long_ago = (JobRow.state == "cancelled") & (func.coalesce(JobRow.finished_at, JobRow.created_at) < old)
    needed = links.join(JobRow, JobRow.id == JobUploadRow.job_id).where(~drawn_and_deleted & ~cancelled_long_ago)
    last_use = (
        select(func.max(JobRow.created_at))
        .join(JobUploadRow, JobRow.id == JobUploadRow.job_id)
        .where(JobUploadRow.upload_hash == UploadRow.hash)
        .scalar_subquery()
    )
    used_since_sent = UploadRow.added_at <= last_use  # else somebody has sent it anew, and is about to use it
    return select(UploadRow).where(~exists(needed)).where(used_since_sent | (UploadRow.added_at < old))


def _upload(row: UploadRow) -> Upload:
    return Upload(**shared_fields(Upload, row) | {"notes": tuple(row.notes) if isinstance(row.notes, list) else ()})


def _shown_name(name: str | None) -> str | None:
    """Without folders and what cannot be printed."""
    if not name:
        return None
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(c for c in last if c.isprintable())[:MAX_NAME_CHARS] or None
