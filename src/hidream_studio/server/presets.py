"""What a request would cost and become, and the presets to start from. Draws nothing."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from hidream_studio.job.request import JobRequest, Prompt
from hidream_studio.server.answers import EstimateAnswer, PresetsAnswer, ProfileAnswer, ResolvedAnswer
from hidream_studio.server.state import StudioOfApp
from hidream_studio.service.views import Estimate

router = APIRouter(prefix="/api", tags=["settings"])


class Question(JobRequest):
    """A request that nobody wants drawn yet: the prompt may be absent."""

    prompt: Prompt = "a picture"


@router.get("/presets", summary="The loaded model's profile and its presets, and when to use each")
async def presets(studio: StudioOfApp) -> PresetsAnswer:
    return PresetsAnswer(profile=ProfileAnswer.of(studio.profile), presets=list(studio.profile.presets))


@router.post("/estimate", response_model=EstimateAnswer, summary="What a request would cost on this machine")
async def estimate(body: Question, studio: StudioOfApp) -> dict[str, Any]:
    return estimate_values(studio.estimate(await studio.keep_references(body)))


@router.post(
    "/resolve", response_model=ResolvedAnswer, response_model_exclude_none=True, summary="What a request would become"
)
async def resolve(body: Question, studio: StudioOfApp) -> dict[str, Any]:
    pinned = studio.resolve(await studio.keep_references(body))
    values = pinned.job.to_dict()
    if body.seed is None:
        del values["seed"]  # drawn anew when it is asked for in earnest
    return values | {
        "cfg": pinned.job.cfg,
        "requested": {"width": pinned.job.requested_width, "height": pinned.job.requested_height},
        "lane": pinned.lane,
        "adjustments": pinned.adjustments,
    }


def estimate_values(estimate: Estimate) -> dict[str, Any]:
    """An estimate as `EstimateAnswer` has it."""
    values = asdict(estimate)
    return values | {"requested": {"width": values["requested_width"], "height": values["requested_height"]}}
