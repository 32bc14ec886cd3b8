from __future__ import annotations

import base64
import json
import shlex
from dataclasses import replace

import numpy as np
import pytest

from hidream_studio.errors import RequestError
from hidream_studio.image.metadata import picture_chunks
from hidream_studio.image.png import encode_png
from hidream_studio.job.job import pin
from hidream_studio.job.profiles import profile_by_id
from hidream_studio.job.record import Timings
from hidream_studio.job.references import Reference
from hidream_studio.job.request import GenerationRequest, TextToImageRequest
from hidream_studio.page.state.compose import first_state, restored_state, stored_state
from hidream_studio.page.state.restore import curl_line, restored_from_file

TINY = profile_by_id("o1-tiny")
PIXELS = np.zeros((32, 32, 3), np.uint8)


def job(**asked):
    return pin(GenerationRequest(**{"prompt": "a star", "preset": "quick", "seed": 7, **asked}), TINY).job


def dropped(png: bytes) -> str:
    return base64.b64encode(png).decode("ascii")


def test_the_text_of_another_program_brings_its_settings_back():
    text = "a red fox\nNegative prompt: blur\nSteps: 30, Sampler: Euler a, CFG scale: 4.5, Seed: 99, Size: 512x384"
    state, _ = restored_from_file(dropped(encode_png(PIXELS, {"parameters": text})), first_state(TINY), TINY)
    assert (state.prompt, state.negative, state.steps, state.guidance, state.seed, state.size) == (
        "a red fox", "blur", "30", "4.5", "99", "512 × 384",
    )  # fmt: skip
    assert state.count == 1


def test_a_picture_of_ours_brings_small_pictures_of_its_references_along():
    reference = Reference("a" * 64, 640, 480, "coat")
    drawn = replace(job(), references=(reference,))
    chunks = picture_chunks(
        drawn, image_id="i", created_at="2026-03-01T09:30:00.125Z", model="m", fingerprint="f", numeric_path="cpu",
        timings=Timings(), version="0.1.0", thumbnails={reference.hash: b"a small picture"},
    )  # fmt: skip
    state, _ = restored_from_file(dropped(encode_png(PIXELS, chunks)), first_state(TINY), TINY)
    (picture,) = state.pictures
    assert (picture.role, base64.b64decode(picture.tiny)) == ("coat", b"a small picture")
    assert restored_state(stored_state(state, TINY), TINY) == (state, ())


@pytest.mark.parametrize("data", ["no base64!", dropped(b"GIF89a"), dropped(b""), dropped(encode_png(PIXELS))])
def test_a_file_without_settings_says_so_and_changes_nothing(data):
    with pytest.raises(RequestError) as caught:
        restored_from_file(data, first_state(TINY), TINY)
    assert caught.value.field == "file"


@pytest.mark.parametrize("prompt", ['it\'s "quoted" $(rm) `x`', "línea\nbreak — 你好", "-d @/etc/passwd"])
def test_the_curl_line_asks_for_the_very_same_job(prompt):
    drawn = job(prompt=prompt, negative_prompt="blur", width=300, height=420, snap_resolution=False)
    words = shlex.split(curl_line(drawn, "http://127.0.0.1:7860/", with_token=False))
    body = json.loads(words[words.index("-d") + 1])
    again = pin(TextToImageRequest.model_validate(body), TINY).job
    assert again.to_dict() == {**drawn.to_dict(), "preset": None}
    assert words[2] == "http://127.0.0.1:7860/generate/t2i"


def test_the_curl_line_names_the_token_but_never_holds_it():
    assert "$HIDREAM_STUDIO_TOKEN" in curl_line(job(), "http://studio:7860", with_token=True)
