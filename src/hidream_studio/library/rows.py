"""Records to rows and back. Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, cast

from hidream_studio.job.adjustment import Adjustment
from hidream_studio.job.job import Job
from hidream_studio.job.record import JobError, State, Timings
from hidream_studio.job.request import Lane
from hidream_studio.library.models import ImageRow, JobRow
from hidream_studio.library.records import ImageDraft, ImageRecord, JobRecord
from hidream_studio.library.search import fold

_JOB_FIELDS = frozenset(field.name for field in fields(JobRecord))


def job_columns(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a JobRecord as column values.

    Raises
    ------
    TypeError
        for a name that is none of its fields.
    """
    if unknown := values.keys() - _JOB_FIELDS:
        raise TypeError(f"a job has no {', '.join(sorted(unknown))}")
    return {name: _plain(value) for name, value in values.items()}


def new_job_row(record: JobRecord) -> JobRow:
    return JobRow(**job_columns({name: getattr(record, name) for name in _JOB_FIELDS}))


def job_record(row: JobRow) -> JobRecord:
    return JobRecord(
        id=row.id,
        state=cast(State, row.state),
        lane=cast(Lane, row.lane),
        job=Job.from_dict(row.job),
        created_at=row.created_at,
        queue_order=row.queue_order,
        request=row.request,
        adjustments=_adjustments(row.adjustments),
        attempts=row.attempts,
        estimate_s=row.estimate_s,
        started_at=row.started_at,
        finished_at=row.finished_at,
        elapsed_s=row.elapsed_s,
        queued_s=row.queued_s,
        timings=Timings(**row.timings) if row.timings is not None else None,
        error=JobError(**row.error) if row.error is not None else None,
        image_id=row.image_id,
        sheet_id=row.sheet_id,
    )


def new_image_row(draft: ImageDraft, *, family_id: str, file: str, file_bytes: int) -> ImageRow:
    job = draft.job
    return ImageRow(
        id=draft.id,
        job_id=draft.job_id,
        sheet_id=draft.sheet_id,
        parent_id=job.parent_id,
        family_id=family_id,
        lane=draft.lane,
        created_at=draft.created_at,
        elapsed_s=draft.elapsed_s,
        estimate_s=draft.estimate_s,
        timings=asdict(draft.timings),
        model=draft.model,
        fingerprint=draft.fingerprint,
        numeric_path=draft.numeric_path,
        favourite=False,
        rejected_at=None,
        file=file,
        bytes=file_bytes,
        job=job.to_dict(),
        adjustments=_plain(draft.adjustments),
        prompt_folded=fold(job.prompt),
        seed=job.seed,
        steps=job.steps,
        guidance_scale=job.guidance_scale,
        width=job.width,
        height=job.height,
        preset=job.preset,
        recipe=job.recipe,
    )


def image_record(row: ImageRow) -> ImageRecord:
    return ImageRecord(
        id=row.id,
        job_id=row.job_id,
        job=Job.from_dict(row.job),
        lane=cast(Lane, row.lane),
        created_at=row.created_at,
        elapsed_s=row.elapsed_s,
        model=row.model,
        fingerprint=row.fingerprint,
        numeric_path=row.numeric_path,
        timings=Timings(**row.timings),
        adjustments=_adjustments(row.adjustments),
        estimate_s=row.estimate_s,
        sheet_id=row.sheet_id,
        family_id=row.family_id,
        favourite=row.favourite,
        rejected_at=row.rejected_at,
        file=row.file,
        bytes=row.bytes,
    )


def _adjustments(values: list[dict[str, Any]]) -> tuple[Adjustment, ...]:
    return tuple(Adjustment(**value) for value in values)


def _plain(value: Any) -> Any:
    """Values of the product as JSON's."""
    if isinstance(value, Job):
        return value.to_dict()
    if isinstance(value, Timings | JobError):
        return asdict(value)
    if isinstance(value, tuple | list):
        return [one.model_dump() if isinstance(one, Adjustment) else one for one in value]
    return value
