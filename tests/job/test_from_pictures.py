"""Pictures as input in a request: what they decide of the job, what is refused, and that it asks for itself again."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from any_jobs import jobs, without_draft
from hidream_studio.errors import RequestError
from hidream_studio.image.metadata import picture_chunks, settings_from_chunks
from hidream_studio.job.job import Job, PinnedJob, pin, request_of
from hidream_studio.job.profiles import HIDREAM_O1_IMAGE, HIDREAM_O1_IMAGE_DEV, ModelProfile, profile_by_id
from hidream_studio.job.record import Timings
from hidream_studio.job.references import Reference, fit
from hidream_studio.job.request import GenerationRequest, JobRequest
from hidream_studio.job.stored import read_job, write_job
from hidream_studio.job.validation import parse_request

SQUARE = Reference("a" * 64, 1000, 1000)
WIDE = Reference("b" * 64, 3000, 2000)


def pinned(*references: Reference, profile: ModelProfile = HIDREAM_O1_IMAGE, **asked: Any) -> PinnedJob:
    return pin(GenerationRequest(**{"prompt": "a cat", "seed": 7, **asked}), profile, references=references)


def told(of: PinnedJob) -> set[str]:
    return {one.field for one in of.adjustments}


@settings(max_examples=80, deadline=None)
@given(jobs(pictures=True))
def test_a_job_of_pictures_asks_for_itself_again(drawn: tuple[Job, ModelProfile]) -> None:
    job, profile = drawn
    assert pin(request_of(job), profile, references=job.references).job == without_draft(job)
    assert read_job(json.loads(json.dumps(write_job(job)))).job == job


@settings(max_examples=60, deadline=None)
@given(jobs(pictures=True))
def test_either_text_of_a_picture_asks_for_it_again(drawn: tuple[Job, ModelProfile]) -> None:
    job, profile = drawn
    chunks = picture_chunks(
        job, image_id="i", created_at="2026-03-01T09:30:00.125Z", model="m", fingerprint="f" * 12, numeric_path="cpu",
        timings=Timings(), version="0.1.0", thumbnails={one.hash: b"RIFF" for one in job.references},
    )  # fmt: skip
    for key in ("hidream_studio", "parameters"):
        settings_ = settings_from_chunks({key: chunks[key]})
        request = parse_request(GenerationRequest, settings_.request)
        assert pin(request, profile, references=job.references).job == without_draft(job)
        assert [one.upload_id for one in request.references or ()] == [one.hash for one in job.references]
    assert set(settings_from_chunks(chunks).thumbnails) == {one.hash for one in job.references}


def test_a_job_from_words_says_nothing_that_an_older_version_does_not_know() -> None:
    assert not {"references", "layout", "keep_aspect"} & write_job(pinned().job).keys()


def test_an_edit_keeps_its_pictures_shape_unless_a_size_is_asked_for() -> None:
    upstream = fit(WIDE.size, 2048).size
    edit = pinned(WIDE)
    assert (edit.job.width, edit.job.height) == upstream and edit.job.keep_aspect
    assert told(edit) == {"width", "height"}
    assert pinned(WIDE, keep_aspect=True).job == edit.job
    small = pinned(WIDE, preset="quick").job
    assert (small.width, small.height) == fit(WIDE.size, 1024).size
    for asked in ({"width": 2048, "height": 2048}, {"keep_aspect": False}, {"snap_resolution": True}):
        assert (pinned(WIDE, **asked).job.width, pinned(WIDE, **asked).job.keep_aspect) == (2048, False)
    sized = pinned(WIDE, keep_aspect=True, width=1200, height=1200, snap_resolution=False).job
    assert (sized.width, sized.height) == fit(WIDE.size, 1200).size
    assert not pinned(WIDE, SQUARE).job.keep_aspect
    assert not pinned(WIDE, layout=[[0, 1, 0, 1]]).job.keep_aspect


@pytest.mark.parametrize(
    ("count", "asked", "sampler", "shift", "noise_scale"),
    [
        (0, {}, "unipc", 3.0, 8.0), (1, {}, "unipc", 3.0, 8.0), (2, {}, "unipc", 1.0, 8.0),
        (1, {"layout": [[0, 1, 0, 1]]}, "unipc", 1.0, 8.0), (2, {"shift": 3.0}, "unipc", 3.0, 8.0),
        (0, {"recipe": "dev"}, "flash", 1.0, 7.5), (1, {"recipe": "dev"}, "flow_match", 1.0, 8.0),
        (2, {"recipe": "dev"}, "flash", 1.0, 7.5), (1, {"recipe": "dev", "sampler": "flash"}, "flash", 1.0, 7.5),
        (1, {"recipe": "dev", "layout": [[0, 1, 0, 1]]}, "flow_match", 1.0, 8.0),
        (1, {"recipe": "dev", "noise_scale": 7.0, "shift": 2.0}, "flow_match", 2.0, 7.0),
    ],
)  # fmt: skip
def test_the_recipe_is_upstreams_for_so_many_pictures(
    count: int, asked: dict[str, Any], sampler: str, shift: float, noise_scale: float
) -> None:
    job = pinned(*[SQUARE] * count, **asked).job
    assert (job.sampler, job.shift, job.noise_scale) == (sampler, shift, noise_scale)


def test_a_shift_that_is_filled_in_for_several_pictures_is_told() -> None:
    assert [one.used for one in pinned(SQUARE, WIDE).adjustments if one.field == "shift"] == [1.0]
    assert "shift" not in told(pinned(SQUARE, WIDE, shift=1.0))


def test_weak_edits_are_warned_of_and_drawn_as_asked() -> None:
    assert told(pinned(SQUARE)) == set()
    assert told(pinned(SQUARE, preset="quick", guidance_scale=5.0)) == {"size", "width", "height"} - {"width", "height"}
    assert "guidance_scale" in told(pinned(SQUARE, guidance_scale=1.0))
    assert "recipe" in told(pinned(SQUARE, recipe="dev"))
    assert "recipe" in told(pinned(SQUARE, profile=HIDREAM_O1_IMAGE_DEV))
    assert told(pinned(SQUARE, WIDE, recipe="dev", profile=HIDREAM_O1_IMAGE)) == set()
    tiny = profile_by_id("o1-tiny")
    assert "guidance_scale" not in told(pinned(SQUARE, guidance_scale=1.0, profile=tiny))


@pytest.mark.parametrize(
    ("references", "asked", "field", "says"),
    [
        ([SQUARE] * 21, {}, "references", "at most 20"),
        ([], {"keep_aspect": True}, "keep_aspect", "exactly one reference, not 0"),
        ([SQUARE, WIDE], {"keep_aspect": True}, "keep_aspect", "exactly one reference, not 2"),
        ([SQUARE], {"keep_aspect": True, "layout": [[0, 1, 0, 1]]}, "layout", "cannot go with a layout"),
        ([], {"layout": [[0, 1, 0, 1]]}, "layout", "there are none"),
        ([SQUARE], {"layout": []}, "layout", "has no box"),
        ([SQUARE], {"layout": [[0, 1, 0, 1]] * 2}, "layout", "2 boxes for 1 references"),
        ([SQUARE], {"layout": [[0, 1, 0.5, 0.5]]}, "layout.0", "no area"),
        ([replace(SQUARE, width=4000, height=16)], {}, "references.0", "too elongated"),
        ([replace(SQUARE, width=4000, height=50)], {}, "keep_aspect", "a side must be at least 256 px"),
        ([replace(SQUARE, width=5000, height=16)], {"keep_aspect": False}, "references.0", "too elongated"),
        ([SQUARE], {"sampler": "flash"}, "sampler", "belongs to the dev recipe"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_one_sentence(
    references: list[Reference], asked: dict[str, Any], field: str, says: str
) -> None:
    with pytest.raises(RequestError, match=says) as refused:
        pinned(*references, **asked)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"layout": [0.1, 0.15, 0.2, 0.36]}, "layout"), ({"layout": [[0, 1, 0]]}, "layout"), ({"layout": 5}, "layout"),
        ({"layout": [[0, 1.5, 0, 1]]}, "layout.0.1"), ({"layout": [[0, 1, 0, float("nan")]]}, "layout.0.3"),
        ({"references": []}, "references"), ({"references": [{}]}, "references.0"),
        ({"references": [{"image_id": "a", "upload_id": "b" * 64}]}, "references.0"),
        ({"references": [{"upload_id": "../../etc/passwd"}]}, "references.0.upload_id"),
        ({"references": [{"image_id": "a", "role": "x" * 41}]}, "references.0.role"),
        ({"references": [{"image_id": "a", "role": "\x00"}]}, "references.0.role"),
        ({"references": [{"image_id": "a", "name": "x"}]}, "references.0.name"),
        ({"references": [{"image_id": "a"}] * 21}, "references"), ({"keep_aspect": "maybe"}, "keep_aspect"),
    ],
)  # fmt: skip
def test_a_request_that_is_none_names_its_field(values: dict[str, Any], field: str) -> None:
    with pytest.raises(RequestError) as refused:
        parse_request(JobRequest, {"prompt": "a cat", **values})
    assert refused.value.field == field
    assert "\n" not in refused.value.message


def test_references_that_nobody_looked_up_are_never_left_out() -> None:
    with pytest.raises(RequestError, match="not been looked up"):
        pinned(references=[{"upload_id": "a" * 64}])
