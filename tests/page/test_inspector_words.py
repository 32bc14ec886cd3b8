from __future__ import annotations

from dataclasses import replace

from hidream_studio.job.adjustment import Adjustment
from hidream_studio.job.job import pin
from hidream_studio.job.profiles import HIDREAM_O1_IMAGE, profile_by_id
from hidream_studio.job.record import JobError
from hidream_studio.job.request import GenerationRequest
from hidream_studio.page.regions.inspector import mode_words, notes_of
from hidream_studio.page.state.versions import Version


def test_what_was_changed_for_one_reason_is_one_note_and_a_failure_stands_first():
    job = pin(GenerationRequest(prompt="a star", seed=1, snap_resolution=False), profile_by_id("o1-tiny")).job
    version = Version("a01", "failed", "draft", job, "2026-01-01T00:00:01")
    changed = tuple(Adjustment(field=side, asked=250, used=256, why="rounded") for side in ("width", "height"))
    version = replace(version, adjustments=changed, error=JobError("worker_failed", "its worker died twice"))
    assert notes_of(version) == ["Its worker died twice.", "Width and height: rounded."]


def test_a_snapped_size_is_told_in_the_page_s_own_words():
    asked = GenerationRequest(prompt="a star", seed=1, width=300, height=200)
    pinned = pin(asked, profile_by_id("o1-tiny"))
    version = Version("a01", "finished", "draft", pinned.job, "2026-01-01T00:00:01")
    (note,) = notes_of(replace(version, adjustments=pinned.adjustments))
    assert note.startswith(f"Drawn at {pinned.job.width} × {pinned.job.height}: of the model's own sizes, the nearest")
    assert "300 × 200 that you asked for" in note
    assert "snap_resolution" not in note and "_" not in note


def test_no_note_calls_a_setting_by_its_name_in_the_interface():
    pinned = pin(GenerationRequest(prompt="a star", recipe="dev", preset="high"), HIDREAM_O1_IMAGE)
    version = Version("a01", "finished", "draft", pinned.job, "2026-01-01T00:00:01")
    notes = notes_of(replace(version, adjustments=pinned.adjustments))
    assert notes == ["Steps and guidance: fixed in the dev recipe, whatever the preset high has."]


def test_a_way_to_finish_promises_only_what_it_keeps():
    profile = profile_by_id("o1-tiny")
    linked, plain = (
        pin(GenerationRequest(prompt="a star", seed=1, noise=noise), profile).job for noise in ("linked", "upstream")
    )
    assert mode_words("re-render", linked).startswith("Keeps prompt, seed and noise.")
    assert "will differ" in mode_words("re-render", plain)
    assert mode_words("exact", plain) == mode_words("exact", linked)


def test_what_a_newer_version_drew_is_said_to_be_shown_as_far_as_it_is_understood():
    job = pin(GenerationRequest(prompt="a star", seed=1), profile_by_id("o1-tiny")).job
    version = Version("a01", "finished", "draft", job, "2026-01-01T00:00:01", unreadable="its sampler is new")
    assert notes_of(version) == ["What this version understands of it is shown: its sampler is new."]
