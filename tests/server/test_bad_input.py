"""Whatever is sent, the answer is one clear sentence that names the field, and the next request is drawn."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest
from odd_pictures import png
from studio_serving import SMALL, StudioServer

from hidream_studio.job.request import MAX_PICTURE_BYTES
from hidream_studio.server.body_limit import (
    JSON_LIMIT_BYTES,
    PICTURES_JSON_LIMIT_BYTES,
    PICTURES_LIMIT_BYTES,
    limit_for,
)

WRONG_VALUES: list[tuple[str, dict[str, Any], object]] = [
    ("prompt", {"prompt": ""}, 1),
    ("prompt", {"prompt": " \n\t"}, None),
    ("prompt", {"prompt": "x" * 10_001}, 10_000),
    ("prompt", {"prompt": "word " * 1999}, 4095),  # the byte-level tokenizer of the test makes more than 4,096 of it
    ("prompt", {"prompt": None}, None),
    ("prompt", {"prompt": ["a"]}, None),
    ("prompt", {"prompt": "nul \0"}, None),
    ("prompt", {"prompt": "a <|tms_token|> b"}, None),
    ("prompt", {"prompt": "<|vision_start|>"}, None),
    ("negative_prompt", {"negative_prompt": "<|im_end|>"}, None),
    ("steps", {"steps": 0}, 1),
    ("steps", {"steps": -1}, 1),
    ("steps", {"steps": 201}, 200),
    ("steps", {"steps": 1.5}, None),
    ("steps", {"steps": "20"}, None),
    ("steps", {"steps": True}, None),
    ("guidance_scale", {"guidance_scale": -0.1}, 0),
    ("guidance_scale", {"guidance_scale": 30.1}, 30),
    ("seed", {"seed": -1}, 0),
    ("seed", {"seed": 2**53}, 2**53 - 1),
    ("width", {"width": 0}, 1),
    ("width", {"width": 10**12}, 65_536),
    ("width", {"width": 239}, 256),
    ("height", {"height": 64}, 256),
    ("width", {"width": 2112, "height": 2048}, 4_300_000),
    ("height", {"height": None}, None),
    ("preset", {"preset": "fast"}, None),
    ("recipe", {"recipe": "turbo"}, None),
    ("sampler", {"sampler": "ddim"}, None),
    ("shift", {"shift": 1e-200}, 0.01),
    ("noise_scale", {"noise_scale": 1e9}, 100),
    ("noise", {"noise": "white"}, None),
    ("response_format", {"response_format": "jpeg"}, None),
    ("stepz", {"stepz": 3}, None),
    ("lane", {"lane": "draft"}, None),  # of /api/jobs alone
]


@pytest.mark.parametrize(
    ("field", "wrong", "limit"), WRONG_VALUES, ids=[str(wrong)[:40] for _, wrong, _ in WRONG_VALUES]
)
def test_a_wrong_value_is_refused_by_its_name(
    server: StudioServer, field: str, wrong: dict[str, Any], limit: object
) -> None:
    answer = server.client.post("/generate/t2i", json={**SMALL, **wrong})
    assert answer.status_code == 422, answer.text
    error = answer.json()["error"]
    assert error["field"] == field
    assert error["message"]
    assert "\n" not in error["message"]
    if limit is not None:
        assert error["limit"] == limit


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"nonsense", b"[]", b'"prompt"', b"null", b"{\"prompt\": \"a\"", b"\xff\xfe", b"[" * 100_000,
        b'{"prompt": "a", "seed": ' + b"9" * 5000 + b"}", b'{"prompt": "\\ud800"}', b'{"\\ud800": 1, "prompt": "a"}',
        b'{"prompt": "a", "guidance_scale": NaN}', b'{"prompt": "a", "guidance_scale": -Infinity}',
        b'{"prompt": "a", "guidance_scale": 1e999}', b'{"prompt": "a", "steps": 1e2}',
    ],
    ids=range(16),
)  # fmt: skip
def test_what_is_no_json_of_ours_is_refused(server: StudioServer, body: bytes) -> None:
    for path in ("/generate/t2i", "/api/jobs", "/api/sheets", "/v1/images/generations", "/api/estimate"):
        answer = server.client.post(path, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422, (path, answer.text)
        assert set(answer.json()["error"]) <= {"code", "message", "field", "limit"}
        assert answer.json()["error"]["field"]


def test_json_under_another_name_is_refused(server: StudioServer) -> None:
    """A foreign page can send text/plain without asking first; it is not read as JSON."""
    for path in ("/api/jobs", "/generate/t2i"):
        answer = server.client.post(path, content=json.dumps(SMALL), headers={"Content-Type": "text/plain"})
        assert answer.status_code == 422
        assert answer.json()["error"]["field"] == "Content-Type"
        assert answer.json()["error"]["limit"] == "application/json"


def test_a_body_over_the_limit_is_413_with_or_without_its_length(server: StudioServer) -> None:
    large = b'{"prompt": "' + b"a" * JSON_LIMIT_BYTES + b'"}'

    def in_pieces() -> Any:
        for start in range(0, len(large), 65_536):
            yield large[start : start + 65_536]

    for content in (large, in_pieces(), b"0" * (8 << 20)):
        answer = server.client.post("/api/images/x/finish", content=content)
        assert answer.status_code == 413
        assert answer.json()["error"] == {
            "code": "body_too_large", "message": f"the body is larger than {JSON_LIMIT_BYTES:,} bytes",
            "field": "body", "limit": JSON_LIMIT_BYTES,
        }  # fmt: skip


def test_only_calls_that_take_pictures_may_be_large() -> None:
    form = "multipart/form-data; boundary=x"
    for path in ("/generate/t2i", "/api/jobs", "/api/sheets", "/api/estimate", "/api/resolve"):
        assert limit_for(path, form) == limit_for(path) == PICTURES_JSON_LIMIT_BYTES
    for path in ("/api/uploads", "/generate/edit", "/v1/images/edits"):
        assert limit_for(path, form) == PICTURES_LIMIT_BYTES
    for path in ("/generate/edit", "/v1/images/edits"):
        assert limit_for(path, "application/json") == PICTURES_JSON_LIMIT_BYTES
    assert limit_for("/api/uploads", "image/png") == MAX_PICTURE_BYTES
    for path in ("/api/queue/clear", "/v1/images/generations", "/login", "/api/uploads/x", "/api/jobs/x"):
        assert limit_for(path, form) == JSON_LIMIT_BYTES


@pytest.mark.parametrize("path", ["/generate/edit", "/api/jobs"])
def test_a_large_picture_in_json_is_told_to_be_uploaded_first(server: StudioServer, path: str) -> None:
    large = b'{"references": [{"image": "' + b"a" * PICTURES_JSON_LIMIT_BYTES + b'"}]}'
    for content in (large, iter([large])):
        answer = server.client.post(path, content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 413
        assert answer.json()["error"]["limit"] == PICTURES_JSON_LIMIT_BYTES
        assert "send large pictures to /api/uploads" in answer.json()["error"]["message"]


def test_pictures_for_a_model_that_sees_none_are_refused_before_they_are_queued(server: StudioServer) -> None:
    picture = png()
    reference = {"image": base64.b64encode(picture).decode("ascii")}
    for path in ("/generate/t2i", "/generate/edit", "/api/jobs", "/api/estimate", "/api/resolve"):
        answer = server.client.post(path, json={**SMALL, "references": [reference]})
        assert answer.status_code == 422, (path, answer.text)
        assert answer.json()["error"]["field"] == "references"
    for path in ("/generate/edit", "/v1/images/edits"):
        answer = server.client.post(path, data={"prompt": "a cat"}, files={"image": ("cat.png", picture)})
        assert (answer.status_code, answer.json()["error"]["field"]) == (422, "image"), answer.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/nothing", 404), ("POST", "/generate", 404), ("GET", "/v1", 404), ("PUT", "/api/jobs", 405),
        ("GET", "/generate/t2i", 405), ("DELETE", "/health", 405), ("TRACE", "/api/jobs", 405),
        ("GET", "/api/jobs/", 404),
    ],
)  # fmt: skip
def test_unknown_paths_and_methods_have_the_same_shape(
    server: StudioServer, method: str, path: str, status: int
) -> None:
    answer = server.client.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"]["code"] in ("not_found", "method_not_allowed")
    if status == 405:
        assert answer.headers["allow"]


def test_queries_out_of_range_are_refused(server: StudioServer) -> None:
    for query in ("limit=0", "limit=1001", "limit=x", "state=gone", "before=" + "a" * 101):
        answer = server.client.get(f"/api/jobs?{query}")
        assert answer.status_code == 422, query
        assert answer.json()["error"]["field"].split(".")[0] == query.split("=")[0]
    many = server.client.get("/api/images", params={"q": "seed:many"})
    assert (many.status_code, many.json()["error"]["field"]) == (422, "q")
    assert server.client.get("/api/images", params={"q": "100% _ \\ ' \" ; --"}).status_code == 200


def test_after_all_of_that_the_next_request_is_drawn(server: StudioServer) -> None:
    assert server.draw()["width"] == 256
    assert server.client.get("/health").json()["worker_restarts"] == 0


def test_a_prompt_is_given_back_as_it_was_sent_and_never_as_markup(server: StudioServer) -> None:
    prompt = '<script>alert(1)</script> & "quotes" 猫 \u202e'
    answer = httpx.get(f"{server.url}/api/images/{server.draw(prompt=prompt)['id']}")
    assert answer.json()["job"]["prompt"] == prompt
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
