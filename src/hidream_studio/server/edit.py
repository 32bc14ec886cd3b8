"""POST /generate/edit: one picture from pictures and words, answered when it is there."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import ValidationError

from hidream_studio.errors import naming
from hidream_studio.job.request import References, TextToImageRequest
from hidream_studio.job.validation import request_error
from hidream_studio.server.answers import PictureAnswer
from hidream_studio.server.errors import answers
from hidream_studio.server.generate import draw
from hidream_studio.server.picture_form import form_field, form_schema, picture_form
from hidream_studio.server.sent_files import FORM_TYPE, check_type, content_type
from hidream_studio.server.state import StudioOfApp

router = APIRouter(tags=["pictures"])

JSON_TYPE = "application/json"
IN_A_FORM = "references belong into JSON; in a form each picture is a file: curl -F image=@picture.png"


class EditRequest(TextToImageRequest):
    """The body of POST /generate/edit as JSON."""

    references: References


def _bodies() -> dict[str, Any]:
    as_json = EditRequest.model_json_schema(ref_template="#/components/schemas/{model}")
    del as_json["$defs"]  # they are components by themselves, for /generate/t2i
    as_form = form_schema(TextToImageRequest)
    del as_form["properties"]["references"]
    content = {JSON_TYPE: {"schema": as_json}, FORM_TYPE: {"schema": as_form}}
    return {"requestBody": {"required": True, "content": content}}


@router.post(
    "/generate/edit",
    response_model_exclude_none=True,
    responses=answers(404, 409, 429, 502, 503),
    openapi_extra=_bodies(),
    summary="Draw one picture from pictures and words, and wait for it",
)
async def edit(request: Request, studio: StudioOfApp) -> PictureAnswer:
    """As /generate/t2i, with at least one picture: in `references` of JSON, or as files of a form, each named `image`.

    One picture is edited and keeps its aspect ratio where no size is asked for; of several one scene is made.
    A client that hangs up cancels its job.
    """
    if content_type(request) == FORM_TYPE:
        asked, references = await picture_form(request, studio, TextToImageRequest, refused={"references": IN_A_FORM})
        with naming(form_field):
            return await draw(asked.model_copy(update={"references": references}), request, studio)
    return await draw(await _json_request(request), request, studio)


async def _json_request(request: Request) -> EditRequest:
    check_type(request, JSON_TYPE, FORM_TYPE)
    try:
        return EditRequest.model_validate_json(await request.body())
    except ValidationError as error:
        raise request_error(error.errors(include_url=False), known=EditRequest.model_fields) from None
