"""A form with pictures, as curl and OpenAI's clients send it: its texts as values, its files as references."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel
from starlette.datastructures import UploadFile

from hidream_studio.errors import RequestError
from hidream_studio.job.references import MAX_REFERENCES
from hidream_studio.job.request import ReferenceRequest
from hidream_studio.job.validation import parse_request
from hidream_studio.server.sent_files import FORM_TYPE, MAX_FIELD_CHARS, check_type, keep, read_file, sent_form
from hidream_studio.service.studio import Studio

Model = TypeVar("Model", bound=BaseModel)

PICTURE = "image"
PICTURE_FIELDS = frozenset({PICTURE, f"{PICTURE}[]"})  # one and several, as OpenAI's client calls them
NO_PICTURE = "image is missing: send at least one picture as a file, as curl -F image=@picture.png does"
BINARY = {"type": "string", "format": "binary"}


async def picture_form(
    request: Request, studio: Studio, model: type[Model], *, refused: Mapping[str, str]
) -> tuple[Model, tuple[ReferenceRequest, ...]]:
    """What the texts of the form ask for, and its pictures, kept in the library, in their order.

    `refused` says why some fields are not taken.

    Raises
    ------
    RequestError
        naming the field; nothing is kept where a text is wrong.
    """
    check_type(request, FORM_TYPE)
    async with sent_form(request, MAX_REFERENCES) as form:
        items = form.multi_items()
        for name, _ in items:
            if name in refused:
                raise RequestError(refused[name], field=name)
        files = _pictures(items)
        asked = parse_request(model, form_values(model, _texts(items)))
        kept = [await keep(studio, await read_file(files, index)) for index in range(len(files))]
        return asked, tuple(ReferenceRequest(upload_id=upload.hash) for upload in kept)


def form_field(field: str) -> str:
    """What the form calls a field of the request that was made of it."""
    return field.replace("references", PICTURE, 1) if field.startswith("references") else field


def form_values(model: type[BaseModel], texts: Mapping[str, str]) -> dict[str, Any]:
    """Texts as JSON has them: numbers, lists, true and false where `model` takes no text. Empty ones are absent."""
    takes_text = _text_fields(model)
    return {
        name: text if name in takes_text or name not in model.model_fields else _value(text)
        for name, text in texts.items()
        if text or name == "prompt"
    }


def form_body(model: type[BaseModel]) -> dict[str, Any]:
    """Such a form as OpenAPI's `requestBody`. What is no text in JSON is written as JSON here, too."""
    return {"requestBody": {"required": True, "content": {FORM_TYPE: {"schema": form_schema(model)}}}}


def form_schema(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema()
    fields = {name: _in_a_form(value) for name, value in schema["properties"].items()}
    pictures = {"type": "array", "items": BINARY, "minItems": 1, "maxItems": MAX_REFERENCES}
    required = [PICTURE, *schema.get("required", ())]
    return {"type": "object", "properties": {**fields, PICTURE: pictures}, "required": required}


def _in_a_form(schema: dict[str, Any]) -> dict[str, Any]:
    if any(choice.get("type") == "array" for choice in (schema, *schema.get("anyOf", ()))):
        return {"type": "string", "contentMediaType": "application/json"}
    return schema


def _pictures(items: list[tuple[str, UploadFile | str]]) -> list[tuple[str, UploadFile]]:
    files = []
    for name, value in items:
        if isinstance(value, UploadFile):
            if name not in PICTURE_FIELDS:
                shown = name[:MAX_FIELD_CHARS]
                raise RequestError(f"{shown!r} is unknown as a file; pictures are {PICTURE}", field=shown)
            files.append((PICTURE, value))
        elif name in PICTURE_FIELDS:
            raise RequestError(f"{PICTURE} is a text; a picture is a file: curl -F image=@picture.png", field=PICTURE)
    if not files:
        raise RequestError(NO_PICTURE, field=PICTURE, limit=1)
    if len(files) > MAX_REFERENCES:
        message = f"there are {len(files)} pictures; there may be at most {MAX_REFERENCES}"
        raise RequestError(message, field=PICTURE, limit=MAX_REFERENCES)
    return files


def _texts(items: list[tuple[str, UploadFile | str]]) -> dict[str, str]:
    texts = [(name, value) for name, value in items if isinstance(value, str)]
    for name, times in Counter(name for name, _ in texts).items():
        if times > 1:
            raise RequestError(
                f"{name[:MAX_FIELD_CHARS]} is given {times} times; give it once", field=name[:MAX_FIELD_CHARS], limit=1
            )
    return dict(texts)


@cache
def _text_fields(model: type[BaseModel]) -> frozenset[str]:
    fields = model.model_json_schema()["properties"]
    return frozenset(
        name
        for name, field in fields.items()
        if any(choice.get("type") == "string" for choice in (field, *field.get("anyOf", ())))
    )


def _value(text: str) -> Any:
    if text.strip().lower() in ("true", "false"):
        return text.strip().lower() == "true"
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text  # refused for what it is
