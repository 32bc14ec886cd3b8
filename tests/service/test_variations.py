"""What is asked becomes jobs: sheets, finishes, smaller tries."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hidream_studio.errors import RequestError
from hidream_studio.job.job import Job, PinnedJob, pin
from hidream_studio.job.layout import boxes_in_px
from hidream_studio.job.profiles import HIDREAM_O1_IMAGE
from hidream_studio.job.references import Reference
from hidream_studio.job.request import FinishRequest, GenerationRequest, JobRequest, SheetRequest
from hidream_studio.service.variations import (
    check_count,
    plan_finish,
    planned_steps,
    same_ratio,
    sheet_requests,
    smaller_job,
)

PROFILE = HIDREAM_O1_IMAGE


def draft(**values: Any) -> Job:
    asked = {"prompt": "a cat", "seed": 7, "preset": "quick", "noise": "linked", **values}
    return pin(GenerationRequest(**asked), PROFILE).job


def finished(job: Job, **values: Any) -> PinnedJob:
    return plan_finish("draft-id", job, FinishRequest(**values), PROFILE)


def sheet(**values: Any) -> list[GenerationRequest]:
    return sheet_requests(SheetRequest(request=JobRequest(prompt="a cat"), **values), queue_limit=100_000)


def test_a_sheet_crosses_its_lists_with_sizes_outermost():
    cells = sheet(steps=[4, 8], sizes=[(256, 256), (512, 512)], seeds=[1, 2])
    assert [(cell.width, cell.steps, cell.seed) for cell in cells] == [
        (256, 4, 1), (256, 4, 2), (256, 8, 1), (256, 8, 2), (512, 4, 1), (512, 4, 2), (512, 8, 1), (512, 8, 2),
    ]  # fmt: skip


def test_mixes_of_loras_stand_inside_of_the_seeds():
    mixes = [[{"name": "ink", "strength": strength}] for strength in (0.0, 1.0)]
    cells = sheet(loras=mixes, seeds=[1, 2])
    assert [(cell.seed, cell.loras[0].strength) for cell in cells if cell.loras] == [(1, 0), (1, 1), (2, 0), (2, 1)]


def test_n_counts_seeds_up_from_the_first():
    assert [cell.seed for cell in sheet(n=3, seeds=[40])] == [40, 41, 42]
    random = [cell.seed for cell in sheet(n=3)]
    assert random[0] is not None
    assert random == [random[0], random[0] + 1, random[0] + 2]


def test_cells_that_name_no_seed_share_one_so_that_they_can_be_compared():
    assert len({cell.seed for cell in sheet(steps=[4, 8, 12])}) == 1


def test_a_sheet_of_too_many_jobs_is_refused_with_its_limit():
    with pytest.raises(RequestError, match="makes 9,900 jobs; at most 1,000") as refusal:
        sheet(steps=list(range(1, 101)), n=99)
    assert (refusal.value.field, refusal.value.limit) == ("steps", 1000)


@pytest.mark.parametrize(("queue_limit", "named"), [(200, 200), (1000, 1000), (5000, 1000)])
def test_of_the_two_limits_of_one_call_the_one_that_holds_is_named(queue_limit: int, named: int):
    with pytest.raises(RequestError, match=f"makes 2,000 jobs; at most {named:,} ") as refusal:
        check_count(2000, queue_limit=queue_limit, field="body")
    assert refusal.value.limit == named
    check_count(named, queue_limit=queue_limit, field="body")


def test_n_beside_several_seeds_contradicts():
    with pytest.raises(RequestError, match="either n or several seeds"):
        sheet(n=2, seeds=[1, 2])


def test_seeds_do_not_count_past_the_largest():
    with pytest.raises(RequestError, match="pass the largest seed"):
        sheet(n=2, seeds=[2**53 - 1])


def test_a_finish_keeps_prompt_and_seed_and_takes_standard_quality_in_the_final_lane():
    pinned = finished(draft())
    job = pinned.job
    assert (job.prompt, job.seed, job.noise, job.parent_id) == ("a cat", 7, "linked", "draft-id")
    assert (job.width, job.height, job.steps, job.guidance_scale, job.preset) == (1536, 1536, 28, 5.0, "standard")
    assert (job.finish_mode, job.strength, pinned.lane) == ("re-render", None, "final")


def test_a_finish_keeps_the_drafts_aspect_ratio():
    job = finished(draft(width=1280, height=704), preset="high").job
    assert abs(job.width / job.height - 1280 / 704) < 0.06
    assert abs(job.width * job.height - 2048 * 2048) < 0.05 * 2048 * 2048


def test_a_finish_by_the_official_preset_snaps_to_a_bucket():
    job = finished(draft(width=1280, height=704), preset="official").job
    assert (job.width, job.height) in PROFILE.buckets


def test_a_size_that_is_named_is_taken_as_it_is():
    job = finished(draft(), preset="official", width=1024, height=768).job
    assert (job.width, job.height) == (1024, 768)
    with pytest.raises(RequestError, match="height is missing"):
        finished(draft(), width=1024)


def test_keep_composition_has_a_strength_and_pays_for_the_tail_alone():
    job = finished(draft(), mode="keep-composition").job
    assert job.strength == 0.5
    assert 1 <= planned_steps(job) < job.steps / 2
    assert planned_steps(finished(draft(), mode="keep-composition", strength=1.0).job) == job.steps
    assert planned_steps(finished(draft(), mode="keep-composition", strength=0.0).job) == 1


def test_keep_composition_in_another_shape_says_which_part_of_the_draft_is_kept():
    pinned = finished(draft(), mode="keep-composition", width=2048, height=1024)
    assert [(one.field, one.asked, one.used) for one in pinned.adjustments] == [("draft", "1024x1024", "1024x512")]
    bucket = finished(draft(width=1280, height=704), mode="keep-composition", preset="official")
    assert [(one.field, one.used) for one in bucket.adjustments if one.field == "draft"] == [("draft", "1252x704")]
    assert finished(draft(), mode="keep-composition", width=2048, height=2048).adjustments == ()
    assert finished(draft(), width=2048, height=1024).adjustments == ()  # a re-render has no draft to crop


@pytest.mark.parametrize(("width", "height", "field"), [(256, 2048, "height"), (2048, 256, "width")])
def test_keep_composition_refuses_a_shape_in_which_hardly_anything_of_the_draft_is_left(
    width: int, height: int, field: str
):
    with pytest.raises(RequestError, match="12% of the draft, 1024x1024") as refusal:
        finished(draft(), mode="keep-composition", width=width, height=height)
    assert (refusal.value.field, refusal.value.limit) == (field, 0.25)


def test_strength_means_nothing_in_other_modes():
    with pytest.raises(RequestError, match="strength belongs to keep-composition") as refusal:
        finished(draft(), mode="exact", strength=0.5)
    assert refusal.value.field == "strength"


def test_exact_keeps_size_guidance_and_noise_and_takes_more_steps():
    job = finished(draft(noise="upstream", sampler="euler"), mode="exact").job
    assert (job.width, job.height, job.guidance_scale, job.noise, job.sampler) == (1024, 1024, 1.0, "upstream", "euler")
    assert job.steps == 50
    with pytest.raises(RequestError, match="exact keeps the draft's size, 1024x1024"):
        finished(draft(), mode="exact", width=2048, height=2048)


def test_a_draft_of_plain_noise_is_finished_with_a_warning_that_the_picture_will_differ():
    adjustments = finished(draft(noise="upstream")).adjustments
    assert [(one.field, one.asked, one.used) for one in adjustments] == [("noise", "upstream", "linked")]
    assert finished(draft(noise="upstream"), mode="keep-composition").adjustments == ()


def test_a_draft_of_the_dev_recipe_is_finished_by_it():
    job = finished(draft(recipe="dev"), preset="high").job
    assert (job.recipe, job.sampler, job.steps, job.width) == ("dev", "flash", 28, 2048)


def test_a_smaller_try_has_half_the_pixels_at_the_same_ratio_and_says_so():
    job, adjustments = smaller_job(draft(width=2048, height=1024))
    assert (job.width, job.height) == (1440, 736)
    assert [(one.field, one.asked, one.used) for one in adjustments] == [("width", 2048, 1440), ("height", 1024, 736)]


def test_a_box_that_would_have_no_pixel_left_refuses_a_smaller_try():
    narrow, wide = (0.0, 0.6 / 512, 0.0, 1.0), (0.0, 0.5, 0.0, 1.0)
    whole = replace(draft(width=512, height=512, snap_resolution=False), references=(Reference("a" * 64, 64, 64),) * 2)
    smaller_job(replace(whole, layout=(wide, wide)))
    boxes_in_px((wide, narrow), 512, 512, 2)
    with pytest.raises(RequestError) as refusal:
        smaller_job(replace(whole, layout=(wide, narrow)))
    assert refusal.value.field == "layout.1"


def test_what_is_smallest_cannot_be_smaller():
    with pytest.raises(RequestError, match="256x256 is the smallest") as refusal:
        smaller_job(draft(width=256, height=256))
    assert refusal.value.limit == 256


@pytest.mark.parametrize(("width", "height"), [(256, 256), (3104, 1312), (256, 4096), (2048, 2048), (16_384, 256)])
@pytest.mark.parametrize("area_px", [1, 65_536, 2048 * 2048, 10**9])
def test_a_size_of_the_same_ratio_is_always_one_that_can_be_drawn(width: int, height: int, area_px: int):
    used = same_ratio(width, height, area_px)
    assert all(side % 32 == 0 and side >= 256 for side in used)
    assert used[0] * used[1] <= 4_300_000
