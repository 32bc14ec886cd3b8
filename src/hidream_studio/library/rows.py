"""Records to rows and back, column by column of the same name. Decides nothing, and no row makes it fail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, get_args

from hidream_studio.job.adjustment import Adjustment
from hidream_studio.job.job import Job
from hidream_studio.job.record import JobError, JobRecord, State, Timings
from hidream_studio.job.request import Lane
from hidream_studio.job.stored import StoredJob, read_job, write_job
from hidream_studio.job.values import from_json, shared_fields, to_json
from hidream_studio.library.models import ImageRow, JobRow
from hidream_studio.library.records import ImageDraft, ImageRecord
from hidream_studio.library.search import fold

_JOB_COLUMNS = frozenset(JobRow.__table__.columns.keys())
_SEARCHED = ("seed", "steps", "guidance_scale", "width", "height", "preset", "recipe")  # columns of a picture's job
_STATES: tuple[State, ...] = get_args(State)
_LANES: tuple[Lane, ...] = get_args(Lane)

Value = TypeVar("Value")


def job_columns(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a JobRecord as column values.

    Raises
    ------
    TypeError
        for a name that is none of them.
    """
    if unknown := values.keys() - _JOB_COLUMNS:
        raise TypeError(f"a job has no {', '.join(sorted(unknown))}")
    return {name: _plain(value) for name, value in values.items()}


def new_job_row(record: JobRecord) -> JobRow:
    return JobRow(**job_columns({name: getattr(record, name) for name in _JOB_COLUMNS}))


def job_record(row: JobRow) -> JobRecord:
    stored = read_job(row.job)
    return JobRecord(
        **shared_fields(JobRecord, row)
        | {
            "job": stored.job,
            "state": row.state if row.state in _STATES else "queued",
            "lane": row.lane if row.lane in _LANES else "final",
            "request": row.request if isinstance(row.request, dict) else {},
            "adjustments": _adjustments(row.adjustments, stored),
            "timings": _read(Timings, row.timings),
            "error": _read(JobError, row.error),
            "unreadable": stored.unreadable or _strange("state", row.state, _STATES) or _lane_refusal(row),
        }
    )


def is_understood(row: JobRow) -> bool:
    """Whether this version would draw what the row asks for, and all of it."""
    stored = read_job(row.job)
    return stored.unreadable is None and not stored.notes and row.state in _STATES and row.lane in _LANES


def new_image_row(draft: ImageDraft, *, family_id: str, file: str, file_bytes: int) -> ImageRow:
    job = draft.job
    columns = {name: value for name, value in vars(draft).items() if name in ImageRow.__table__.columns}
    return ImageRow(
        **{name: _plain(value) for name, value in columns.items()},
        **{name: getattr(job, name) for name in _SEARCHED},
        parent_id=job.parent_id,
        family_id=family_id,
        favourite=False,
        rejected_at=None,
        file=file,
        bytes=file_bytes,
        prompt_folded=fold(job.prompt),
    )


def image_record(row: ImageRow) -> ImageRecord:
    known = {name: getattr(row, name) for name in _SEARCHED} | {"prompt": row.prompt_folded}
    stored = read_job(row.job, known)
    return ImageRecord(
        **shared_fields(ImageRecord, row)
        | {
            "job": stored.job,
            "lane": row.lane if row.lane in _LANES else "final",
            "adjustments": _adjustments(row.adjustments, stored),
            "timings": _read(Timings, row.timings) or Timings(),
            "unreadable": stored.unreadable or _lane_refusal(row),
        }
    )


def _adjustments(values: Any, stored: StoredJob) -> tuple[Adjustment, ...]:
    """Those that were told with the job, as far as they are understood, and what of the job is not."""
    told = [_read(Adjustment, _of_adjustment(value)) for value in values] if isinstance(values, list) else []
    return (*(one for one in told if one is not None), *stored.notes)


def _of_adjustment(value: Any) -> Any:
    """Without what a newer version adds to it, which is forbidden in what is asked."""
    if not isinstance(value, dict):
        return value
    return {name: one for name, one in value.items() if name in Adjustment.model_fields}


def _read(kind: type[Value], plain: Any) -> Value | None:
    """None where nothing is kept, or nothing that this version understands."""
    if not isinstance(plain, dict):
        return None
    try:
        return from_json(kind, plain)
    except ValueError:
        return None


def _strange(name: str, value: object, known: tuple[str, ...]) -> str | None:
    return None if value in known else f"its {name} is {str(value)[:40]!r}, which this version does not know"


def _lane_refusal(row: JobRow | ImageRow) -> str | None:
    return _strange("lane", row.lane, _LANES)


def _plain(value: Any) -> Any:
    """Values of the product as JSON's."""
    if isinstance(value, Job):
        return write_job(value)
    if isinstance(value, Timings | JobError):
        return to_json(value)
    if isinstance(value, tuple | list):
        return [to_json(one) if isinstance(one, Adjustment) else one for one in value]
    return value
