"""GET /health and GET /metrics: whether a picture can be drawn now, and how it has been going."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

import hidream_studio
from hidream_studio.server.answers import HealthAnswer
from hidream_studio.server.state import StudioOfApp
from hidream_studio.service.studio import Studio
from hidream_studio.service.views import queue_to_dict

router = APIRouter(tags=["health"])


@router.head("/health", include_in_schema=False)
@router.get(
    "/health",
    response_model=HealthAnswer,
    response_model_exclude_none=True,
    responses={503: {"model": HealthAnswer, "description": "no picture can be drawn now: the phase, or the reason"}},
    summary="200 once a picture can be drawn, until then 503 with the phase",
)
async def health(studio: StudioOfApp) -> Response:
    answer = HealthAnswer.model_validate(health_values(studio))
    status = 200 if answer.ready else 503
    return JSONResponse(answer.model_dump(mode="json", exclude_none=True), status_code=status)


@router.head("/metrics", include_in_schema=False)
@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    summary="For Prometheus",
)
async def metrics(request: Request) -> Response:
    body, content_type = request.app.state.metrics.exposition()
    return Response(body, media_type=content_type)


def health_values(studio: Studio) -> dict[str, Any]:
    """The fields of `HealthAnswer`."""
    now = studio.health()
    memory = None
    if now.memory_total_mib is not None:
        memory = {"used_mib": now.memory_used_mib, "total_mib": now.memory_total_mib}
    shared = HealthAnswer.model_fields.keys() - {"version", "gpu_memory", "queue"}
    return {name: getattr(now, name) for name in shared} | {
        "version": hidream_studio.__version__,
        "gpu_memory": memory,
        "queue": queue_to_dict(studio.queue_summary()),
    }
