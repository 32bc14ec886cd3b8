"""Pictures of jobs made ready beside the steps: read once for equal jobs, and what is wrong with one is its job's end."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from hidream_studio.engine.prepared import KEPT, Preparer
from hidream_studio.errors import RequestError, WorkerError
from hidream_studio.job.job import Job, pin
from hidream_studio.job.profiles import HIDREAM_O1_IMAGE
from hidream_studio.job.references import Reference, fit
from hidream_studio.job.request import GenerationRequest

PICTURES = Path(__file__).parents[1] / "data" / "golden_ref" / "pictures"
WIDE = (PICTURES / "wide.png").read_bytes()


def job(data: bytes = WIDE, **asked: object) -> Job:
    small = {"prompt": "x", "seed": 1, "width": 352, "height": 352, "snap_resolution": False, "keep_aspect": True}
    reference = Reference(hashlib.sha256(data).hexdigest(), 640, 427)
    return pin(GenerationRequest(**{**small, **asked}), HIDREAM_O1_IMAGE, references=(reference,)).job


def test_equal_pictures_at_one_size_are_read_once() -> None:
    preparer = Preparer(HIDREAM_O1_IMAGE)
    first = preparer.ask(job(), (WIDE,))
    assert preparer.ask(job(seed=2, steps=5), (WIDE,)) is first
    larger = preparer.ask(job(width=512, height=512), (WIDE,))
    assert larger is not first
    for asked, side in ((first, 352), (larger, 512)):
        (picture,) = asked.result()
        assert picture.pixels.shape[1::-1] == fit((640, 427), side).size
    for side in range(600, 600 + 32 * KEPT, 32):
        preparer.ask(job(width=side, height=side), (WIDE,))
    assert preparer.ask(job(), (WIDE,)) is not first


def test_a_job_from_words_waits_for_nothing() -> None:
    assert Preparer(HIDREAM_O1_IMAGE).ask(replace(job(), references=(), keep_aspect=False), ()).result() == ()


def test_what_is_wrong_with_a_picture_is_told_to_its_job_and_tried_anew() -> None:
    preparer = Preparer(HIDREAM_O1_IMAGE)
    with pytest.raises(RequestError, match=r"references\.0 is damaged"):
        preparer.ask(job(), (WIDE[:5000],)).result()
    with pytest.raises(WorkerError, match="0 files came for 1 references"):
        preparer.ask(job(), ()).result()
    assert len(preparer.ask(job(), (WIDE,)).result()) == 1
