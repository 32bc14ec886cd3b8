from __future__ import annotations

from dataclasses import replace

from hidream_studio.job.adjustment import Adjustment
from hidream_studio.job.events import JobError
from hidream_studio.job.job import pin
from hidream_studio.job.profiles import profile_by_id
from hidream_studio.job.request import GenerationRequest
from hidream_studio.studio.inspector import mode_words, notes_of
from hidream_studio.studio.versions import Version


def test_what_was_changed_for_one_reason_is_one_note_and_a_failure_stands_first():
    job = pin(GenerationRequest(prompt="a star", seed=1), profile_by_id("o1-tiny")).job
    version = Version("a01", "failed", job, "2026-01-01T00:00:01", None, None)
    changed = tuple(Adjustment(field=side, asked=250, used=256, why="rounded") for side in ("width", "height"))
    version = replace(version, adjustments=changed, error=JobError("worker_failed", "its worker died twice"))
    assert notes_of(version) == ["Its worker died twice.", "Width and height: rounded."]


def test_a_way_to_finish_promises_only_what_it_keeps():
    profile = profile_by_id("o1-tiny")
    linked, plain = (
        pin(GenerationRequest(prompt="a star", seed=1, noise=noise), profile).job for noise in ("linked", "upstream")
    )
    assert mode_words("re-render", linked).startswith("Keeps prompt, seed and noise.")
    assert "will differ" in mode_words("re-render", plain)
    assert mode_words("exact", plain) == mode_words("exact", linked)
