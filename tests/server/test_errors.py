"""Every way in which a picture can fail has a status, and none of them is 500."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI

from hidream_studio.job.job import pin
from hidream_studio.job.profiles import HIDREAM_O1_IMAGE
from hidream_studio.job.record import JobError, JobView
from hidream_studio.job.request import GenerationRequest
from hidream_studio.server.errors import STATUS_OF_CODE, add_error_handlers, job_failure

LOST = JobView(
    id="0" * 26, state="failed", lane="draft", job=pin(GenerationRequest(prompt="a cat"), HIDREAM_O1_IMAGE).job,
    steps=4, created_at="2026-03-01T09:30:00.125Z",
)  # fmt: skip


def answer_for(view: JobView) -> httpx.Response:
    """What somebody is answered who waited for it."""
    app = FastAPI()
    add_error_handlers(app)

    @app.get("/")
    def lost() -> None:
        raise job_failure(view)

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://studio") as client:
            return await client.get("/")

    return asyncio.run(ask())


@pytest.mark.parametrize("code", [*STATUS_OF_CODE, "error", "gkpj"])
def test_a_job_that_failed_is_told_with_its_reason_whatever_that_was(code: str) -> None:
    answer = answer_for(replace(LOST, error=JobError(code, "the reason")))
    assert answer.status_code in range(400, 600)
    assert answer.status_code not in (500, 503)  # nothing is wrong with the server: it draws the next one
    assert answer.json() == {"error": {"code": code, "message": "the reason"}}


def test_a_job_that_died_of_its_worker_is_502_and_one_that_was_cancelled_409() -> None:
    assert answer_for(replace(LOST, error=JobError("worker_failed", "died twice"))).status_code == 502
    assert answer_for(LOST).status_code == 502
    assert answer_for(replace(LOST, state="cancelled")).status_code == 409
