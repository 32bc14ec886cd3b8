"""Settings that travel: out as a curl line, back from a dropped PNG. Knows nothing of the page's elements."""

from __future__ import annotations

import base64
import binascii
import json
import shlex
from typing import Any

from pydantic import ValidationError

from hidream_studio.errors import RequestError
from hidream_studio.image.metadata import settings_from_chunks
from hidream_studio.image.png import read_text_chunks
from hidream_studio.job.job import Job, request_of
from hidream_studio.job.profiles import ModelProfile
from hidream_studio.job.request import GenerationRequest
from hidream_studio.page import words
from hidream_studio.page.state.compose import ComposeState


def restored_from_png(data: str, state: ComposeState, profile: ModelProfile) -> tuple[ComposeState, tuple[str, ...]]:
    """The column with the settings of a PNG (base64, pixels may be missing), and what of it could not be used.

    Raises
    ------
    RequestError
        when it is no PNG, is damaged, or carries no settings.
    """
    try:
        png = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise RequestError("the file did not arrive whole; drop it again", field="file") from None
    settings = settings_from_chunks(read_text_chunks(png))
    try:
        request = GenerationRequest.model_validate(settings.request)
    except ValidationError as error:
        first = error.errors()[0]
        raise RequestError(
            f"the file's settings cannot be used: {first['loc']}: {first['msg']}", field="file"
        ) from error
    return with_request(request, state, profile), tuple(settings.notes)


def with_request(request: GenerationRequest, state: ComposeState, profile: ModelProfile) -> ComposeState:
    """The column filled in from a request; what that leaves open keeps what stands there."""
    changes: dict[str, Any] = {"prompt": request.prompt, "negative": request.negative_prompt or "", "count": 1}
    if request.preset is not None and any(preset.id == request.preset for preset in profile.presets):
        changes["preset"] = request.preset
    if request.width is not None and request.height is not None:
        changes["size"] = words.size(request.width, request.height)
    if request.steps is not None:
        changes["steps"] = str(request.steps)
    if request.guidance_scale is not None:
        changes["guidance"] = words.number(request.guidance_scale)
    if request.seed is not None:
        changes["seed"] = str(request.seed)
    if request.snap_resolution is not None:
        changes["snap"] = request.snap_resolution
    changes["sampler"] = request.sampler
    changes["noise"] = request.noise
    return state.changed(**changes)


def curl_line(job: Job, base_url: str, *, with_token: bool) -> str:
    """A shell line that draws `job` again and writes it to a file."""
    body = request_of(job, preset=None).model_dump(mode="json")
    text = json.dumps({name: value for name, value in body.items() if value is not None}, ensure_ascii=False)
    token = ' -H "Authorization: Bearer $HIDREAM_STUDIO_TOKEN"' if with_token else ""
    reader = "import sys, json, base64; sys.stdout.buffer.write(base64.b64decode(json.load(sys.stdin)['image']))"
    return (
        f"curl -sS {shlex.quote(base_url.rstrip('/') + '/generate/t2i')} -H 'Content-Type: application/json'{token} "
        f"-d {shlex.quote(text)} | python3 -c {shlex.quote(reader)} > seed-{job.seed}.png"
    )
