"""The queue over HTTP: jobs, sheets, lanes. What happens to them is told by event_stream.py."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Response
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from hidream_studio.errors import NotFoundError
from hidream_studio.job.record import State
from hidream_studio.job.request import JobRequest, Lane, SheetRequest
from hidream_studio.server.answers import ClearedAnswer, JobAnswer, JobsAnswer, SheetAnswer, page_of
from hidream_studio.server.errors import answers
from hidream_studio.server.state import JobId, StudioOfApp
from hidream_studio.service.views import QueueSummary, SheetView, job_to_dict, queue_to_dict

router = APIRouter(prefix="/api", tags=["queue"])

MAX_JOBS_A_CALL = 1000
MAX_JOBS_A_PAGE = 1000

OneOrMany = Annotated[
    Annotated[JobRequest, Tag("<one>")]
    | Annotated[list[JobRequest], Field(min_length=1, max_length=MAX_JOBS_A_CALL), Tag("<many>")],
    Discriminator(lambda body: "<many>" if isinstance(body, list) else "<one>"),
]
OptionalLane = Annotated[Lane | None, Query(description="both lanes when absent")]


class RetryRequest(BaseModel):
    """The body of POST /api/jobs/{id}/retry."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    smaller: bool = False  # with half as many pixels, after running out of memory


@router.post(
    "/jobs",
    status_code=202,
    response_model=JobAnswer | SheetAnswer,
    response_model_exclude_unset=True,
    responses=answers(429, 503),
    summary="Queue one picture, or a list of pictures as one sheet",
)
async def submit(body: Annotated[OneOrMany, Body()], studio: StudioOfApp) -> dict[str, Any]:
    """Answered as soon as it is on disk. A list is queued whole or not at all."""
    if isinstance(body, list):
        return _sheet_to_dict(await studio.submit_list(body))
    return job_to_dict(await studio.submit(body))


@router.get("/jobs", response_model=JobsAnswer, response_model_exclude_unset=True, summary="Jobs, newest first")
async def list_jobs(
    studio: StudioOfApp,
    state: Annotated[list[State] | None, Query(max_length=10, description="any state when absent")] = None,
    sheet_id: Annotated[str | None, Query(max_length=100)] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_JOBS_A_PAGE)] = 200,
    before: Annotated[str | None, Query(max_length=100, description="`next` of the page before")] = None,
) -> dict[str, Any]:
    states = tuple(dict.fromkeys(state)) if state else None
    views = await studio.jobs(states=states, sheet_id=sheet_id, limit=limit, before=before)
    return page_of("jobs", [job_to_dict(view) for view in views], limit)


@router.get(
    "/jobs/{job_id}",
    response_model=JobAnswer,
    response_model_exclude_unset=True,
    responses=answers(404),
    summary="One job in its state now",
)
async def get_job(job_id: JobId, studio: StudioOfApp) -> dict[str, Any]:
    return job_to_dict(await studio.job(job_id))


@router.delete(
    "/jobs/{job_id}",
    response_model=JobAnswer,
    response_model_exclude_unset=True,
    responses=answers(404, 409, 503),
    summary="Cancel a job at its next step",
)
async def cancel(job_id: JobId, studio: StudioOfApp) -> dict[str, Any]:
    return job_to_dict(await studio.cancel(job_id))


@router.post(
    "/jobs/{job_id}/front",
    response_model=JobAnswer,
    response_model_exclude_unset=True,
    responses=answers(404, 409),
    summary="Let this job go before all others",
)
async def front(job_id: JobId, studio: StudioOfApp) -> dict[str, Any]:
    return job_to_dict(await studio.front(job_id))


@router.post(
    "/jobs/{job_id}/retry",
    status_code=202,
    response_model=JobAnswer,
    response_model_exclude_unset=True,
    responses=answers(404, 409, 429, 503),
    summary="Queue a failed or cancelled job again",
)
async def retry(job_id: JobId, studio: StudioOfApp, body: RetryRequest | None = None) -> dict[str, Any]:
    return job_to_dict(await studio.retry(job_id, smaller=body.smaller if body else False))


@router.get(
    "/jobs/{job_id}/preview",
    response_class=Response,
    responses={200: {"content": {"image/webp": {}, "image/jpeg": {}}}, **answers(404)},
    summary="How a running job's picture looks now",
)
async def preview(
    job_id: JobId,
    studio: StudioOfApp,
    step: Annotated[
        int | None, Query(ge=0, description="makes the address of each preview its own; not looked at")
    ] = None,
) -> Response:
    newest = studio.preview(job_id)
    if newest is None:
        raise NotFoundError(f"job {job_id} has no preview now", field="id")
    headers = {"Cache-Control": "no-store", "X-Step": str(newest.step)}
    return Response(newest.data, media_type=newest.media_type, headers=headers)


@router.post(
    "/sheets",
    status_code=202,
    response_model=SheetAnswer,
    response_model_exclude_unset=True,
    responses=answers(429, 503),
    summary="Queue a sheet: lists of seeds, steps, guidance and sizes are crossed",
)
async def submit_sheet(body: SheetRequest, studio: StudioOfApp) -> dict[str, Any]:
    return _sheet_to_dict(await studio.submit_sheet(body))


@router.get("/queue", response_model=QueueSummary, summary="How much waits, and how long it will take")
async def queue(studio: StudioOfApp) -> dict[str, Any]:
    return queue_to_dict(studio.queue_summary())


@router.post("/queue/pause", response_model=QueueSummary, summary="Start no more jobs; what runs goes on")
async def pause(studio: StudioOfApp, lane: OptionalLane = None) -> dict[str, Any]:
    studio.pause(lane)
    return queue_to_dict(studio.queue_summary())


@router.post("/queue/resume", response_model=QueueSummary, summary="Start jobs again")
async def resume(studio: StudioOfApp, lane: OptionalLane = None) -> dict[str, Any]:
    studio.resume(lane)
    return queue_to_dict(studio.queue_summary())


@router.post(
    "/queue/clear",
    response_model=ClearedAnswer,
    summary="Cancel every job, waiting or running",
)
async def clear(studio: StudioOfApp, lane: OptionalLane = None) -> dict[str, Any]:
    cancelled = await studio.clear(lane)
    return {"cancelled": cancelled, "queue": queue_to_dict(studio.queue_summary())}


def _sheet_to_dict(sheet: SheetView) -> dict[str, Any]:
    return {"id": sheet.id, "jobs": [job_to_dict(view) for view in sheet.jobs]}
