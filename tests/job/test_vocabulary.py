"""A field of a job is written down once: what a request, a row, an answer and a finish have of it follows."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hidream_studio.job.adjustment import Adjustment
from hidream_studio.job.job import ASKED_FIELDS, Job, pin, request_of
from hidream_studio.job.profiles import HIDREAM_O1_IMAGE, profile_by_id
from hidream_studio.job.request import GenerationRequest
from hidream_studio.job.stored import JOB_SCHEMA, read_job, write_job
from hidream_studio.job.values import from_json, to_json

TOLD_TOGETHER = {"requested_width", "requested_height"}  # as `requested`
PROFILES = [HIDREAM_O1_IMAGE, profile_by_id("hidream-o1-image-dev"), profile_by_id("o1-tiny")]


def drawn(**asked: Any) -> Job:
    return pin(GenerationRequest(**{"prompt": "a cat", "seed": 7, **asked}), HIDREAM_O1_IMAGE).job


asked_requests = st.builds(
    GenerationRequest,
    prompt=st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1).filter(str.strip),
    negative_prompt=st.sampled_from([None, "", "blur"]),
    seed=st.integers(0, 2**53 - 1),
    steps=st.none() | st.integers(1, 200),
    guidance_scale=st.none() | st.floats(0, 30, allow_nan=False),
    preset=st.sampled_from([None, "quick", "official"]),
    sampler=st.sampled_from([None, "unipc", "euler"]),
    shift=st.none() | st.floats(0.01, 100),
    noise_scale=st.none() | st.floats(0.01, 100),
    noise=st.sampled_from(["upstream", "linked"]),
    snap_resolution=st.none() | st.booleans(),
)


@settings(max_examples=60, deadline=None)
@given(request=asked_requests, profile=st.sampled_from(PROFILES))
def test_what_a_job_asks_for_is_pinned_to_the_same_job_and_a_row_brings_it_back(
    request: GenerationRequest, profile: Any
) -> None:
    job = pin(request, profile).job

    assert pin(request_of(job), profile).job == job
    stored = json.loads(json.dumps(write_job(job)))
    assert stored["schema"] == JOB_SCHEMA
    assert read_job(stored).job == job and read_job(stored).notes == () and read_job(stored).unreadable is None


def test_a_job_has_whatever_can_be_asked_for() -> None:
    assert set(ASKED_FIELDS) == set(GenerationRequest.model_fields)


@dataclass(frozen=True)
class Reference:
    image_id: str
    strength: float = 1.0


@dataclass(frozen=True)
class Later:
    """As a job is going to be: values in values, and fields that older rows do not have."""

    references: tuple[Reference, ...] = ()
    layout: tuple[tuple[float, float, float, float], ...] = ()
    guidance_interval: tuple[float, float] | None = None
    notes: dict[str, Any] = field(default_factory=dict)


def test_values_inside_of_values_come_back_from_json_as_they_were() -> None:
    later = Later((Reference("a", 0.5), Reference("b")), ((0.0, 1.0, 0.0, 0.5),), (0.1, 0.9))

    assert from_json(Later, json.loads(json.dumps(to_json(later)))) == later
    assert from_json(Later, {}) == Later()


def test_a_name_that_is_not_known_is_told_and_the_rest_is_understood() -> None:
    stored = read_job({**write_job(drawn()), "of_tomorrow": "safe", "and_after": [{"name": "ink", "strength": 0.5}]})

    assert stored.job == drawn() and stored.unreadable is None
    assert stored.notes == (
        Adjustment(field="of_tomorrow", asked="safe", used=None, why="not known to this version"),
        Adjustment(
            field="and_after", asked='[{"name": "ink", "strength": 0.5}]', used=None, why="not known to this version"
        ),
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sampler": "dpm"}, "sampler is 'dpm'"),
        ({"width": 0}, "width is 0"),
        ({"steps": None}, "steps"),
        ({"schema": 9}, r"newer HiDream Studio wrote its settings \(schema 9; this one reads up to 1\)"),
        ({"schema": "two"}, "newer HiDream Studio"),
    ],
)
def test_what_cannot_be_understood_is_unreadable_and_each_value_that_stands_in_is_told(
    change: dict[str, Any], says: str
) -> None:
    stored = read_job({**write_job(drawn()), **change}, {"width": 512, "prompt": "a cat"})

    assert stored.unreadable is not None
    assert re.search(says, stored.unreadable)
    assert stored.job.prompt == "a cat" and stored.job.seed == 7
    changed = set(change) - {"schema"}
    assert {note.field for note in stored.notes} == changed
    assert stored.job.width == (512 if "width" in change else drawn().width)


@pytest.mark.parametrize("damaged", [None, [], "{", 5, {}, {"schema": 1, "prompt": 5}])
def test_a_row_that_holds_no_job_at_all_is_unreadable(damaged: Any) -> None:
    stored = read_job(damaged, {"seed": 3, "width": -1})

    assert stored.unreadable is not None and stored.job.seed == 3 and stored.job.width > 0
