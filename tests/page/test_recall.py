"""The law of recall: what the column asks for after a recall is the very job that was recalled, whatever it is."""

from __future__ import annotations

import base64
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings

from any_jobs import PROFILES, jobs, without_draft
from hidream_studio.image.metadata import picture_chunks
from hidream_studio.image.png import encode_png
from hidream_studio.job.job import Job, pin
from hidream_studio.job.profiles import HIDREAM_O1_IMAGE, ModelProfile
from hidream_studio.job.record import Timings
from hidream_studio.job.request import GenerationRequest
from hidream_studio.page.state.compose import (
    ComposeState,
    first_state,
    not_recalled,
    plan,
    recalled,
    restored_state,
    stored_state,
    with_preset,
)
from hidream_studio.page.state.pictures import pictures_of, references_of
from hidream_studio.page.state.restore import restored_from_file

ODD = pin(
    GenerationRequest(
        prompt="a red heart", seed=7, recipe="full", sampler="euler", shift=2.5, noise_scale=6.25, noise="linked",
        guidance_scale=2.123456789, steps=11, width=500, height=700,
    ),
    HIDREAM_O1_IMAGE,
).job  # fmt: skip


def asked(state: ComposeState, profile: ModelProfile) -> Job:
    """What a click on Generate draws."""
    again, unread = restored_state(stored_state(state, profile), profile)
    assert (again, unread) == (state, ())
    wanted = plan(again, profile, random_seed=0)
    assert wanted.pictures == 1
    return pin(wanted.single(), profile, references=references_of(again.pictures)).job


def wanted_again(job: Job) -> Job:
    """What is asked for again of a job; an empty name of a picture is none."""
    references = tuple(replace(reference, role=reference.role or None) for reference in job.references)
    return replace(without_draft(job), references=references)


def dropped(job: Job, profile: ModelProfile, *keys: str) -> tuple[ComposeState, tuple[str, ...]]:
    """The column after a picture of `job` was dropped that has only these texts."""
    chunks = picture_chunks(
        job, image_id="i", job_id="j", created_at="2026-03-01T09:30:00.125Z", model='a "model", of ours',
        fingerprint="0123456789abcdef", numeric_path="cpu-fp32", timings=Timings(), version="0.1.0",
    )  # fmt: skip
    png = encode_png(np.zeros((1, 1, 3), np.uint8), {key: chunks[key] for key in keys})
    return restored_from_file(base64.b64encode(png).decode(), first_state(profile), profile)


@settings(max_examples=60, deadline=None)
@given(jobs() | jobs(pictures=True))
@example((ODD, HIDREAM_O1_IMAGE))
def test_a_recalled_job_is_asked_for_again_as_it_was(drawn: tuple[Job, ModelProfile]):
    job, profile = drawn
    assert asked(recalled(job, first_state(profile), profile), profile) == wanted_again(job)


@settings(max_examples=60, deadline=None)
@given(jobs() | jobs(pictures=True))
@example((ODD, HIDREAM_O1_IMAGE))
def test_a_picture_that_was_dropped_asks_for_its_job_again_by_either_of_its_texts(drawn: tuple[Job, ModelProfile]):
    job, profile = drawn
    for key in ("hidream_studio", "parameters"):
        state, notes = dropped(job, profile, key)
        assert [picture.upload_id for picture in state.pictures] == [one.hash for one in job.references]
        state = state.changed(pictures=pictures_of(job))  # as the library knows them
        assert asked(state, profile) == wanted_again(job)
        assert len(notes) == (job.finish_mode == "keep-composition")


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.id)
def test_what_the_profile_fills_in_anyway_is_not_carried_along(profile: ModelProfile):
    plain = pin(GenerationRequest(prompt="a red heart", seed=7), profile).job
    assert recalled(plain, first_state(profile), profile).also == {}


def test_what_has_no_field_on_the_page_stays_until_it_is_taken_away_or_another_picture_is_recalled():
    state = recalled(ODD, first_state(HIDREAM_O1_IMAGE), HIDREAM_O1_IMAGE)
    assert state.also == {"shift": 2.5, "noise_scale": 6.25}
    assert with_preset(state, HIDREAM_O1_IMAGE.preset("high")).also == state.also
    plain = pin(GenerationRequest(prompt="a red heart", seed=7), HIDREAM_O1_IMAGE).job
    assert recalled(plain, state, HIDREAM_O1_IMAGE).also == {}


def test_what_a_recall_does_not_bring_back_is_said():
    tiny = PROFILES[-1]
    assert not_recalled(ODD, HIDREAM_O1_IMAGE) == ""
    assert "drawn by hidream-o1-image" in not_recalled(ODD, tiny)
    composed = replace(ODD, finish_mode="keep-composition", strength=0.5, parent_id="d")
    assert "without the draft" in not_recalled(composed, HIDREAM_O1_IMAGE)


def test_a_text_of_another_program_leaves_the_noise_as_it_stands():
    png = encode_png(np.zeros((1, 1, 3), np.uint8), {"parameters": "a cat\nSteps: 20, Sampler: Euler, Seed: 42"})
    state, _ = restored_from_file(base64.b64encode(png).decode(), first_state(HIDREAM_O1_IMAGE), HIDREAM_O1_IMAGE)
    assert (state.noise, state.sampler) == ("linked", "euler")
