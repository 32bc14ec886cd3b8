"""schemathesis asks everything that the OpenAPI document allows, and much that it does not: no 5xx, no surprise."""

from __future__ import annotations

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from studio_serving import StudioServer

EXAMPLES = 10  # of each operation, valid ones and wrong ones alike
CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
    unsupported_method,
]  # fmt: skip


def test_no_request_is_answered_with_a_fault_or_undocumented(server: StudioServer) -> None:
    document = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    operations = [found.ok() for found in document.get_all_operations()]
    assert len(operations) >= 30
    try:
        for operation in operations:
            for mode in schemathesis.GenerationMode:
                ask(operation, mode)
    finally:
        server.client.post("/api/queue/resume")
        server.client.post("/api/queue/clear")
    assert server.draw()["steps"] == 2


def ask(operation: schemathesis.APIOperation, mode: schemathesis.GenerationMode) -> None:
    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def answer_is_fit(case: schemathesis.Case) -> None:
        make_cheap(case.body)
        case.call_and_validate(checks=CHECKS, timeout=60)

    try:
        answer_is_fit()
    except Unsatisfiable:
        assert mode is schemathesis.GenerationMode.NEGATIVE  # nothing can be wrong about it


def make_cheap(body: object) -> None:
    """One step of the smallest picture in place of what is valid but takes minutes; what is wrong stays wrong."""
    if isinstance(body, list):
        for one in body:
            make_cheap(one)
    if not isinstance(body, dict):
        return
    make_cheap(body.get("request"))
    if not isinstance(body.get("prompt"), str):
        return
    for field in ("steps", "num_inference_steps"):
        if type(body.get(field)) is int and 1 <= body[field] <= 200:
            body[field] = 1
    if "size" in body or "num_inference_steps" in body or "n" in body:
        if body.get("size") in (None, "", "auto"):
            body["size"] = "256x256"
            body["num_inference_steps"] = 1
    elif all(body.get(side) is None for side in ("width", "height")):
        body |= {"width": 256, "height": 256, "snap_resolution": False}
        body.setdefault("steps", 1)
