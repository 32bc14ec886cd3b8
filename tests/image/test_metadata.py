"""A PNG brings its settings back: ours whole, those of others as far as they can be used."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hidream_studio.errors import RequestError
from hidream_studio.image.metadata import picture_chunks, picture_facts, settings_from_chunks
from hidream_studio.job.ids import new_id
from hidream_studio.job.job import Job, pin
from hidream_studio.job.profiles import HIDREAM_O1_IMAGE, HIDREAM_O1_IMAGE_DEV
from hidream_studio.job.record import Timings
from hidream_studio.job.request import GenerationRequest

A1111_TEXT = """masterpiece, a fox in snow
by the river
Negative prompt: blurry, low quality
text
Steps: 28, Sampler: DPM++ 2M Karras, CFG scale: 6.5, Seed: 12345, Size: 768x1024, Model hash: abc, Model: foo, \
Lora hashes: "one: 12, two: 34", Version: v1.6.0"""


def request(**values: object) -> GenerationRequest:
    return GenerationRequest.model_validate({"prompt": "a cat", "seed": 7} | values)


def job(**values: object) -> Job:
    return pin(request(**values), HIDREAM_O1_IMAGE).job


def chunks(of: Job) -> dict[str, str]:
    return picture_chunks(
        of, image_id=new_id(), job_id=new_id(), created_at="2026-03-01T09:30:00.125Z", model="HiDream-O1-Image",
        fingerprint="0123456789abcdef", numeric_path="cpu-fp32", timings=Timings(0.1, 2.0, 0.1, 0.05), version="0.1.0",
    )  # fmt: skip


def test_our_own_picture_brings_back_a_request_that_pins_to_the_same_job() -> None:
    for drawn in (
        job(),
        job(prompt="two\nlines, “quoted” 漢字", negative_prompt="blur", steps=24, guidance_scale=1.5, noise="linked"),
        job(width=1000, height=1500, snap_resolution=False, preset="standard", sampler="euler", shift=2.5),
        job(width=500, height=700),
    ):
        restored = settings_from_chunks(chunks(drawn))

        assert restored.source == "hidream_studio" and restored.notes == ()
        assert pin(GenerationRequest.model_validate(restored.request), HIDREAM_O1_IMAGE).job == drawn


def test_a_picture_of_the_dev_recipe_comes_back_as_one() -> None:
    drawn = pin(request(), HIDREAM_O1_IMAGE_DEV).job

    restored = settings_from_chunks(chunks(drawn))

    assert pin(GenerationRequest.model_validate(restored.request), HIDREAM_O1_IMAGE_DEV).job == drawn


def test_a_finished_draft_says_that_its_draft_does_not_come_back() -> None:
    from_draft = Job.from_dict(
        job().to_dict() | {"parent_id": new_id(), "finish_mode": "keep-composition", "strength": 0.5}
    )

    restored = settings_from_chunks(chunks(from_draft))

    assert restored.request["seed"] == 7
    assert "without the draft" in restored.notes[0]


def test_the_facts_of_a_picture_are_all_in_its_text() -> None:
    drawn = job()
    texts = chunks(drawn)

    facts = picture_facts(texts)

    assert facts is not None and facts.job == drawn and facts.timings == Timings(0.1, 2.0, 0.1, 0.05)
    assert (facts.model, facts.fingerprint, facts.numeric_path) == ("HiDream-O1-Image", "0123456789abcdef", "cpu-fp32")
    assert facts.version == "0.1.0" and facts.created_at == "2026-03-01T09:30:00.125Z"


def test_other_tools_find_the_text_that_they_know() -> None:
    text = chunks(job(prompt="a cat, sitting", negative_prompt="a dog"))["parameters"]

    assert text.startswith(
        "a cat, sitting\nNegative prompt: a dog\nSteps: 50, Sampler: UniPC, CFG scale: 5.0, Seed: 7, "
    )
    assert "Size: 2048x2048" in text and "Model: HiDream-O1-Image" in text


def test_the_a1111_text_of_a_stranger_is_taken_as_far_as_it_goes() -> None:
    restored = settings_from_chunks({"parameters": A1111_TEXT})

    assert restored.source == "a1111"
    assert restored.request == {
        "prompt": "masterpiece, a fox in snow\nby the river", "negative_prompt": "blurry, low quality\ntext",
        "steps": 28, "guidance_scale": 6.5, "seed": 12345, "width": 768, "height": 1024, "snap_resolution": False,
    }  # fmt: skip
    assert any("DPM++ 2M Karras" in note for note in restored.notes)
    assert any("Lora hashes" in note and "Version" not in note for note in restored.notes)


def test_a_prompt_alone_is_enough() -> None:
    assert settings_from_chunks({"parameters": "just a prompt, ratio 3:4"}).request == {
        "prompt": "just a prompt, ratio 3:4"
    }


def test_values_out_of_range_are_left_out_and_named() -> None:
    restored = settings_from_chunks(
        {"parameters": "a cat\nSteps: 999, Sampler: Euler, CFG scale: many, Seed: -1, Size: 0x64"}
    )

    assert restored.request == {"prompt": "a cat", "sampler": "euler", "snap_resolution": False}
    said = " ".join(restored.notes)
    assert "steps 999" in said and "'many'" in said and "seed -1" in said and "width 0" in said


def test_our_line_in_the_a1111_text_is_read_where_our_own_text_is_lost() -> None:
    drawn = job(prompt="a cat", width=1024, height=1024, snap_resolution=False, steps=24, guidance_scale=1.0)

    restored = settings_from_chunks({"parameters": chunks(drawn)["parameters"]})

    assert pin(GenerationRequest.model_validate(restored.request), HIDREAM_O1_IMAGE).job == drawn


@pytest.mark.parametrize(
    "text",
    [
        "", "no JSON", "[]", "null", "{}", '{"schema": 1}', '{"schema": 2, "job": {}}', '{"schema": 1, "job": 5}',
        '{"schema": 1, "job": {"prompt": 5}}', "[" * 100_000, '{"schema": 1' + "0" * 5000 + "}",
        json.dumps({"schema": 1, "job": {"prompt": "x" * 20_000, "requested_width": 1, "requested_height": 1}}),
        json.dumps({"schema": True, "job": []}),
    ],
)  # fmt: skip
def test_a_text_under_our_name_that_is_not_ours_is_passed_over(text: str) -> None:
    assert picture_facts({"hidream_studio": text}) is None
    assert settings_from_chunks({"hidream_studio": text, "parameters": "a cat"}).source == "a1111"
    with pytest.raises(RequestError) as refusal:
        settings_from_chunks({"hidream_studio": text})
    assert refusal.value.field == "file" and "could not be read" in refusal.value.message


def test_a_newer_version_is_named_where_its_text_is_passed_over() -> None:
    texts = chunks(job(prompt="a cat"))
    newer = json.dumps(json.loads(texts["hidream_studio"]) | {"schema": 2})

    restored = settings_from_chunks(texts | {"hidream_studio": newer})

    assert (restored.source, restored.request["prompt"]) == ("a1111", "a cat")
    assert "a newer HiDream Studio wrote it (schema 2; this one reads up to 1)" in restored.notes[0]
    assert picture_facts({"hidream_studio": newer}) is None


def test_a_job_with_a_value_that_no_request_may_have_is_no_fact() -> None:
    texts = chunks(job())
    for field, value in (("steps", 10**6), ("width", "wide"), ("seed", -1), ("sampler", "other"), ("prompt", ""),
                         ("guidance_scale", float("nan")), ("parent_id", 5)):  # fmt: skip
        facts = json.loads(texts["hidream_studio"])
        facts["job"][field] = value

        assert picture_facts({"hidream_studio": json.dumps(facts)}) is None, field


def test_a_png_without_settings_says_what_was_looked_for() -> None:
    with pytest.raises(RequestError, match="neither a hidream_studio nor a parameters text"):
        settings_from_chunks({"Software": "something"})


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=400))
def test_any_text_is_answered_with_settings_or_a_refusal(text: str) -> None:
    for texts in ({"parameters": text}, {"hidream_studio": text}, {"parameters": f"a cat\nSteps: 20, {text}"}):
        try:
            restored = settings_from_chunks(texts)
        except RequestError:
            continue
        GenerationRequest.model_validate(restored.request)


def test_a_hostile_line_is_read_in_a_moment() -> None:
    for line in (" " * 900_000, "a " * 400_000, 'a:"' * 300_000, "a:," * 300_000, 'Steps: 1, a:"' + "\\" * 900_000):
        settings_from_chunks({"parameters": "a cat\n" + line[:9_000]})
        try:
            settings_from_chunks({"parameters": "a cat\n" + line})
        except RequestError:
            pass


def test_what_a_newer_version_adds_to_a_job_is_told_and_the_rest_is_read() -> None:
    texts = chunks(job())
    facts = json.loads(texts["hidream_studio"])
    facts["job"]["zoom"] = {"to": 2}

    read = picture_facts({"hidream_studio": json.dumps(facts)})

    assert read is not None and read.job == job()
    assert [(one.field, one.asked) for one in read.adjustments if one.field == "zoom"] == [("zoom", '{"to": 2}')]
