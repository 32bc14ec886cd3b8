"""Texts of a form become what JSON would have said, and what they cannot be stays what it was."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hidream_studio.job.request import TextToImageRequest
from hidream_studio.server.openai_request import EditsRequest
from hidream_studio.server.picture_form import form_schema, form_values


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("steps", "20", 20), ("guidance_scale", "2.5", 2.5), ("keep_aspect", "true", True),
        ("snap_resolution", "False", False), ("prompt", "123", "123"), ("negative_prompt", "true", "true"),
        ("layout", "[[0, 1, 0, 0.5]]", [[0, 1, 0, 0.5]]), ("seed", "1e400x", "1e400x"), ("unheard_of", "7", "7"),
        ("recipe", "dev", "dev"), ("noise", "null", "null"), ("steps", "null", None),
    ],
)  # fmt: skip
def test_a_text_is_read_by_what_its_field_takes(name: str, text: str, value: object) -> None:
    assert form_values(TextToImageRequest, {name: text}) == {name: value}


def test_an_empty_text_is_an_absent_one_but_for_the_prompt() -> None:
    assert form_values(EditsRequest, {"prompt": "", "size": "", "n": "", "user": ""}) == {"prompt": ""}


@given(st.text(max_size=40))
@settings(max_examples=60, deadline=None)
def test_no_text_makes_reading_fail(text: str) -> None:
    for name in ("steps", "layout", "keep_aspect", "prompt"):
        form_values(TextToImageRequest, {name: text})


def test_a_list_of_a_form_is_told_to_be_json() -> None:
    schema = form_schema(TextToImageRequest)
    assert schema["properties"]["layout"] == {"type": "string", "contentMediaType": "application/json"}
    assert schema["required"] == ["image", "prompt"]
