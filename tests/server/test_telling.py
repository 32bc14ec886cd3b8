"""What is told of a job: every field of it, by its own name, in events and answers alike."""

from __future__ import annotations

import json
from dataclasses import replace

from hidream_studio.job.adjustment import Adjustment
from hidream_studio.job.job import pin
from hidream_studio.job.profiles import HIDREAM_O1_IMAGE
from hidream_studio.job.record import JobError, JobView, Timings
from hidream_studio.job.references import Reference
from hidream_studio.job.request import GenerationRequest
from hidream_studio.server.answers import JobAnswer
from hidream_studio.service.views import NOT_TOLD, job_to_dict

PINNED = pin(GenerationRequest(prompt="a cat", negative_prompt="blur", seed=7, preset="quick"), HIDREAM_O1_IMAGE).job
WHOLE = replace(
    PINNED, parent_id="p" * 26, finish_mode="keep-composition", strength=0.5,
    references=(Reference("a" * 64, 300, 200, "coat"),), layout=((0.0, 0.5, 0.0, 1.0),),
)  # fmt: skip
VIEW = JobView(
    id="a" * 26, state="failed", lane="draft", job=WHOLE, created_at="2026-01-01T00:00:00Z", steps=3, step=1,
    position=2, wait_s=1.23456789, estimate_s=2.0, elapsed_s=1.0, queued_s=0.5, image_id="b", sheet_id="c",
    started_at="d", finished_at="e", error=JobError("out_of_memory", "too large"), unreadable="newer",
    adjustments=(Adjustment(field="width", asked=250, used=256, why="rounded"),),
    timings=Timings(0.12345678, 1.0, 0.1, 0.05),
)  # fmt: skip


def test_every_field_of_a_job_is_told_in_its_json_and_documented_in_its_answer() -> None:
    told = json.loads(json.dumps(job_to_dict(VIEW)))

    for name, value in WHOLE.to_dict().items():
        if name not in NOT_TOLD | {"steps"}:  # those that are taken are told, which may be fewer
            assert told.get(name) == value, name
            assert name in JobAnswer.model_fields, name
    assert told["requested"] == {"width": WHOLE.requested_width, "height": WHOLE.requested_height}
    assert (told["steps"], told["cfg"]) == (3, WHOLE.cfg)
    absent = {name for name, value in WHOLE.to_dict().items() if value is None}
    assert told.keys() == JobAnswer.model_fields.keys() - absent
    assert json.loads(JobAnswer.model_validate(told).model_dump_json(exclude_none=True)) == told


def test_seconds_are_told_to_a_tenth_of_a_millisecond_and_what_is_absent_is_left_out() -> None:
    told = job_to_dict(VIEW)
    assert told["wait_s"] == 1.2346
    assert told["timings"] == {"text_s": 0.1235, "steps_s": 1.0, "decode_s": 0.1, "png_s": 0.05}
    bare = JobView(id="a", state="queued", lane="draft", job=replace(PINNED, preset=None), created_at="t")
    assert not {"preset", "parent_id", "error", "timings", "position", "unreadable"} & job_to_dict(bare).keys()
