from __future__ import annotations

from dataclasses import replace

from hidream_studio.job.job import pin
from hidream_studio.job.profiles import profile_by_id
from hidream_studio.job.request import GenerationRequest
from hidream_studio.page.contact import _newest_tries
from hidream_studio.page.state.cells import contact_axes
from hidream_studio.page.state.versions import Version
from hidream_studio.service.variations import smaller_job

TINY = profile_by_id("o1-tiny")


def version(key: str, *, state="finished", **asked) -> Version:
    request = GenerationRequest.model_validate({"prompt": "a star", "preset": "high", "seed": 1, **asked})
    job = pin(request, TINY).job
    return Version(
        id=key, state=state, lane="draft", job=job, created_at=f"2026-01-01T00:00:{key[-2:]}", sheet_id="s",
        elapsed_s=0.5, estimate_s=0.4, steps=job.steps,
    )  # fmt: skip


def test_the_file_of_a_sweep_of_strengths_has_every_picture_in_its_column():
    versions = [
        version(f"a{index:02}", loras=({"name": "ink", "strength": strength, "hash": "0" * 64},))
        for index, strength in enumerate([0.0, 0.5, 1.0])
    ]
    tries = _newest_tries(versions)
    assert tries == versions
    axes = contact_axes(tries)
    assert axes is not None and axes.order == ["a00", "a01", "a02"]


def test_of_a_picture_that_was_tried_again_only_the_last_try_is_drawn_even_where_it_is_smaller():
    first, other = version("a01", state="failed"), version("a02", seed=2)
    again = replace(first, id="a03", state="finished", job=smaller_job(first.job)[0])
    assert _newest_tries([first, other, again]) == [again, other]
