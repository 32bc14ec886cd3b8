"""What Pydantic finds becomes one sentence that names the field, the value and the limit."""

from __future__ import annotations

from typing import Any

import pytest

from hidream_studio.errors import RequestError
from hidream_studio.job.request import GenerationRequest, SheetRequest
from hidream_studio.job.validation import field_name, parse_request, request_error


def refusal(model: type[GenerationRequest] | type[SheetRequest], values: dict[str, Any]) -> RequestError:
    with pytest.raises(RequestError) as refused:
        parse_request(model, values)
    return refused.value


@pytest.mark.parametrize(
    ("values", "field", "limit", "words"),
    [
        ({}, "prompt", None, "prompt is missing"),
        ({"prompt": "a", "steps": 0}, "steps", 1, "steps is 0: it should be greater than or equal to 1"),
        ({"prompt": "a", "guidance_scale": float("nan")}, "guidance_scale", None, "guidance_scale is nan"),
        ({"prompt": "a", "step": 3}, "step", None, "step is unknown; did you mean steps?"),
        ({"prompt": "a", "zzz": 3}, "zzz", None, "zzz is unknown"),
        ({"prompt": " "}, "prompt", None, "must hold more than white space"),
        ({"prompt": ""}, "prompt", 1, "prompt is '': it should have at least 1 character"),
        ({"prompt": "x" * 20_000}, "prompt", 10_000, "at most 10000"),
    ],
)
def test_a_finding_names_field_value_and_limit(values: dict[str, Any], field: str, limit: object, words: str) -> None:
    error = refusal(GenerationRequest, values)
    assert (error.field, error.limit) == (field, limit)
    assert words in error.message
    assert len(error.message) < 200


def test_a_place_in_a_list_is_named_by_its_number() -> None:
    error = refusal(SheetRequest, {"request": {"prompt": "a"}, "sizes": [[512, 512], [512, -1]]})
    assert error.field == "sizes.1.1"


def test_what_somebody_sent_is_shown_short_and_printable() -> None:
    for wrong in (
        {"prompt": "a", "\ud800\n\x1b[31m": 1},
        {"prompt": "a", "k" * 5000: 1},
        {"prompt": "a", "seed": "\x1b" * 50},
    ):
        error = refusal(GenerationRequest, wrong)
        assert error.message.isprintable()
        error.message.encode("utf-8")
        assert len(error.message) < 200


def test_tags_of_unions_and_places_of_fastapi_are_no_fields() -> None:
    assert field_name(("body", "<many>", 3, "steps")) == "3.steps"
    assert field_name(("query", "limit")) == "limit"
    assert field_name(("body",)) == "body"


def test_broken_json_is_told_of_the_body_and_not_of_a_place_in_it() -> None:
    error = request_error(
        [{"type": "json_invalid", "loc": ("body", 10), "msg": "", "ctx": {"error": "Expecting value"}}]
    )
    assert (error.field, error.message) == ("body", "the body is no JSON: Expecting value")
