"""Waits for jobs on behalf of a client, and cancels them when the client hangs up. Knows no answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fastapi import Request
from starlette.exceptions import HTTPException

from hidream_studio.errors import ConflictError, JobCancelled, NotFoundError, WorkerError
from hidream_studio.job.record import JobView
from hidream_studio.server.errors import JobFailed, job_failure
from hidream_studio.service.studio import Studio

PICTURE_LOST = (JobFailed, JobCancelled)
CLIENT_CLOSED_REQUEST = 499  # nginx's; nobody is there to read it


async def finished_jobs(studio: Studio, job_ids: Sequence[str], request: Request) -> list[JobView]:
    """The jobs when all have finished.

    Raises
    ------
    JobFailed, JobCancelled
        why one of them did not finish; those that still wait or run are cancelled then.
    WorkerError
        when the server stops, or cannot load its model; the jobs stay in the queue.
    """
    waiting = [asyncio.ensure_future(_finished(studio, job_id)) for job_id in job_ids]
    everything = asyncio.gather(*waiting)
    hang_up = asyncio.ensure_future(client_hung_up(request))
    everything.add_done_callback(lambda _: hang_up.cancel())
    try:
        await asyncio.wait({hang_up})
        if not everything.done():
            await cancel_jobs(studio, job_ids)
            raise HTTPException(CLIENT_CLOSED_REQUEST, "the client hung up")
        return everything.result()
    except PICTURE_LOST:  # not when the server stops: its jobs wait for its next start
        await cancel_jobs(studio, job_ids)
        raise
    finally:
        everything.cancel()
        hang_up.cancel()
        await asyncio.gather(everything, hang_up, return_exceptions=True)


async def client_hung_up(request: Request) -> None:
    """Returns when the client is gone. The body must have been read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def cancel_jobs(studio: Studio, job_ids: Sequence[str]) -> None:
    """All at once, so that none begins while another one ends. Those that have ended are left alone."""
    await asyncio.gather(*(_cancel(studio, job_id) for job_id in job_ids))


async def _cancel(studio: Studio, job_id: str) -> None:
    try:
        await studio.cancel(job_id)
    except (ConflictError, NotFoundError, WorkerError):
        pass  # it ended by itself meanwhile, or the server stops


async def _finished(studio: Studio, job_id: str) -> JobView:
    view = await studio.wait(job_id)
    if view.state == "finished":
        return view
    raise job_failure(view)
