"""Pictures in the tables: found, added with the end of their job, kept in families. Touches no file."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from hidream_studio import __version__
from hidream_studio.errors import NotFoundError
from hidream_studio.image.metadata import picture_chunks
from hidream_studio.image.png import with_text_chunks
from hidream_studio.job.clock import utc_now
from hidream_studio.job.record import JobRecord
from hidream_studio.library import rows, search
from hidream_studio.library.models import ImageRow, JobRow
from hidream_studio.library.records import ImageDraft, ImageRecord
from hidream_studio.library.uploads import tie


def image_row(session: Session, image_id: str) -> ImageRow:
    """
    Raises
    ------
    NotFoundError
        when there is none.
    """
    row = session.get(ImageRow, image_id) if image_id.isascii() else None
    if row is None:
        raise NotFoundError(f"there is no picture {image_id[:40]}")
    return row


def image_of_job(session: Session, job_id: str) -> ImageRow | None:
    return session.scalar(select(ImageRow).where(ImageRow.job_id == job_id))


def image_query(
    *,
    q: str | None,
    favourite: bool | None,
    rejected: bool | None,
    parent_id: str | None,
    sheet_id: str | None,
    before: str | None,
) -> Select[ImageRow]:
    """The newest first; None is no condition."""
    query = select(ImageRow).order_by(ImageRow.id.desc())
    if q:
        query = query.where(*search.conditions(q))
    if favourite is not None:
        query = query.where(ImageRow.favourite.is_(favourite))
    if rejected is not None:
        query = query.where(ImageRow.rejected_at.is_not(None) if rejected else ImageRow.rejected_at.is_(None))
    if parent_id is not None:
        query = query.where(ImageRow.parent_id == parent_id)
    if sheet_id is not None:
        query = query.where(ImageRow.sheet_id == sheet_id)
    if before is not None:
        query = query.where(ImageRow.id < before)
    return query


def add_image(session: Session, draft: ImageDraft, *, file: str, file_bytes: int) -> ImageRecord:
    """The picture's row and its job's end; the picture that the job has already, where it has one."""
    if (known := image_of_job(session, draft.job_id)) is not None:
        return rows.image_record(known)
    _finish_job(session, draft)
    session.flush()  # before the row that refers to it
    row = rows.new_image_row(draft, family_id=_family(session, draft), file=file, file_bytes=file_bytes)
    session.add(row)
    session.flush()
    return rows.image_record(row)


def with_texts(draft: ImageDraft, png: bytes, thumbnails: Mapping[str, bytes]) -> bytes:
    """The PNG with all that is known of it, by which it is drawn again, and adopted after a crash.

    `thumbnails` are of its references, by their hash.
    """
    chunks = picture_chunks(
        draft.job, image_id=draft.id, created_at=draft.created_at, model=draft.model, fingerprint=draft.fingerprint,
        numeric_path=draft.numeric_path, timings=draft.timings, version=__version__, job_id=draft.job_id,
        adjustments=draft.adjustments, thumbnails=thumbnails,
    )  # fmt: skip
    return with_text_chunks(png, chunks)


def _finish_job(session: Session, draft: ImageDraft) -> None:
    """The end of the picture's job; a job that is not known here (an adopted picture's) gets its row."""
    row = session.get(JobRow, draft.job_id)
    if row is None:
        record = JobRecord(
            id=draft.job_id, state="finished", lane=draft.lane, job=draft.job, created_at=draft.created_at,
            queue_order=0.0, adjustments=draft.adjustments, estimate_s=draft.estimate_s, sheet_id=draft.sheet_id,
        )  # fmt: skip
        row = rows.new_job_row(record)
        session.add(row)
        session.flush()
        tie(session, record.id, (reference.hash for reference in record.job.references))
    ended = {
        "state": "finished", "finished_at": utc_now(), "elapsed_s": draft.elapsed_s, "queued_s": draft.queued_s,
        "timings": draft.timings, "error": None, "image_id": draft.id,
    }  # fmt: skip
    for name, value in rows.job_columns(ended).items():
        setattr(row, name, value)


def _family(session: Session, draft: ImageDraft) -> str:
    """The family of the parent; where that was deleted meanwhile, that of a sibling, else one named for the parent."""
    parent_id = draft.job.parent_id
    if parent_id is None:
        return draft.id
    known = (ImageRow.id == parent_id) | (ImageRow.parent_id == parent_id) | (ImageRow.family_id == parent_id)
    return session.scalar(select(ImageRow.family_id).where(known).limit(1)) or parent_id
