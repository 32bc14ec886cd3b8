from __future__ import annotations

from dataclasses import replace

import pytest

from hidream_studio.job.job import pin
from hidream_studio.job.profiles import HIDREAM_O1_IMAGE, profile_by_id
from hidream_studio.job.record import JobError
from hidream_studio.job.request import GenerationRequest
from hidream_studio.page.state.cells import SheetModel, contact_axes
from hidream_studio.page.state.versions import Version, badge_of, version_words

TINY = profile_by_id("o1-tiny")


def version(key: str, *, profile=TINY, state="finished", parent=None, sheet=None, **asked) -> Version:
    request = GenerationRequest(**{"prompt": "a star", "preset": "quick", "seed": 1, **asked})
    job = replace(pin(request, profile).job, parent_id=parent, finish_mode="re-render" if parent else None)
    return Version(
        id=key, state=state, lane="draft", job=job, created_at=f"2026-01-01T00:00:{key[-2:]}", sheet_id=sheet,
        elapsed_s=0.5, estimate_s=0.4, steps=job.steps,
    )  # fmt: skip


def model_of(*versions: Version) -> SheetModel:
    model = SheetModel(TINY)
    model.load(versions)
    return model


def test_a_draft_stacks_its_finals_and_finals_of_finals():
    model = model_of(
        version("a01"), version("a02", parent="a01", preset="standard"), version("a03", parent="a02", preset="high")
    )
    assert [v.key for v in model.family("a01")] == ["a01", "a02", "a03"]
    cell = model.cell("a01")
    assert [v["badge"] for v in cell["versions"]] == ["DRAFT", "384", "512"]
    assert cell["front"]["badge"] == "512"


def test_a_cell_shows_what_is_being_drawn_then_the_newest_picture():
    model = model_of(version("a01"), version("a02", parent="a01", state="queued"))
    assert model.front("a01").key == "a01"
    model.put(version("a02", parent="a01", state="running"))
    assert model.front("a01").key == "a02"
    model.put(version("a02", parent="a01", state="failed"))
    assert model.front("a01").key == "a01"


def test_while_a_final_is_drawn_the_newest_picture_stands_for_its_cell():
    model = model_of(version("a01"), version("a02", parent="a01"), version("a03", parent="a01", state="running"))
    assert model.front("a01").key == "a03"
    assert model.shown_picture("a01").key == "a02"
    model.choose("a01", "a01")
    assert model.shown_picture("a01").key == "a01"
    assert model.shown_picture("nowhere") is None


def test_a_version_that_somebody_chose_stays_in_front_until_a_new_one_comes():
    model = model_of(version("a01"), version("a02", parent="a01"))
    model.choose("a01", "a01")
    assert model.front("a01").key == "a01"
    model.put(version("a03", parent="a01"))
    assert model.front("a01").key == "a03"


def test_a_final_whose_draft_is_gone_has_a_cell_of_its_own():
    model = model_of(version("a02", parent="gone", preset="high"))
    assert model.cell("a02")["front"]["badge"] == "512"


def test_the_newest_group_comes_first_and_a_sheet_stays_together():
    model = model_of(
        version("a01", sheet="s"), version("a02", prompt="a ring"), version("a03", prompt="a ring"),
        version("a04", sheet="s"),
    )  # fmt: skip
    assert [(group.id, group.roots) for group in model.groups()] == [("a02", ["a02", "a03"]), ("s", ["a01", "a04"])]


def test_dropping_the_last_cell_drops_its_group():
    model = model_of(version("a01"), version("a02", prompt="a ring"))
    group = model.drop("a02")
    assert group is not None
    assert (group.id, group.roots) == ("a02", [])
    assert len(model.groups()) == 1


def test_a_sweep_lies_as_rows_and_columns():
    versions = [
        version(f"a{index:02}", sheet="s", steps=steps, guidance_scale=scale)
        for index, (steps, scale) in enumerate([(12, 1.0), (12, 3.0), (24, 1.0), (24, 3.0)])
    ]
    axes = contact_axes(versions)
    assert axes is not None
    assert (axes.rows, axes.columns) == (["guidance 1", "guidance 3"], ["12 steps", "24 steps"])
    assert axes.order == ["a00", "a02", "a01", "a03"]


def test_seeds_alone_are_no_contact_sheet():
    assert contact_axes([version("a01", seed=1), version("a02", seed=2)]) is None


def test_a_sweep_keeps_its_rows_and_columns_when_a_picture_of_it_is_thrown_out():
    holed = [
        version(f"a{index:02}", steps=steps, guidance_scale=scale)
        for index, (steps, scale) in enumerate([(8, 3.0), (12, 1.0), (12, 3.0)], start=2)
    ]
    axes = contact_axes(holed)
    assert axes is not None
    assert (axes.rows, axes.columns) == (["guidance 1", "guidance 3"], ["8 steps", "12 steps"])
    assert axes.order == [None, "a03", "a02", "a04"]
    assert axes.places() == [(0, 1), (1, 0), (1, 1)]


def test_two_pictures_of_one_place_are_no_contact_sheet():
    assert contact_axes([version("a01", steps=12), version("a02", steps=24), version("a03", steps=24)]) is None


def test_the_requested_size_stands_beside_the_rendered_one_where_they_differ():
    words = version_words(version("a01", width=300, height=300, snap_resolution=False), TINY)
    assert (words["size"], words["asked"]) == ("288 × 288", "300 × 300")
    assert version_words(version("a01"), TINY)["asked"] == ""


def test_badges_go_by_the_profile_of_the_model():
    def badge(side: int) -> str:
        return badge_of(version("a01", profile=HIDREAM_O1_IMAGE, width=side, height=side, snap_resolution=False).job,
                        HIDREAM_O1_IMAGE)  # fmt: skip

    assert [badge(side) for side in (1024, 1440, 1536, 1760, 2048)] == ["DRAFT", "DRAFT", "1536", "1760", "2K"]


def test_a_smaller_retry_is_offered_with_its_own_price_where_there_is_one():
    failed = replace(version("a01", state="failed"), error=JobError("out_of_memory", "too large"))
    words = version_words(failed, TINY, 12.0)
    assert (words["smaller"], words["smallerCost"], words["reason"]) == (True, "~12 s", "Too large.")
    assert version_words(failed, TINY)["smaller"] is False
    model = SheetModel(TINY, lambda version: 3.0)
    model.load([failed])
    assert model.cell("a01")["front"]["smallerCost"] == "~3.0 s"


def test_a_screen_reader_hears_seed_size_state_and_time():
    label = version_words(replace(version("a01"), favourite=True), TINY)["label"]
    assert label == "DRAFT, seed 1, rendered 256 × 256, 24 steps, finished, 0.5 s, favourite"


@pytest.mark.parametrize("sheet", [None, "a00"])
def test_the_finals_of_a_deleted_draft_stay_in_sight(sheet):
    drafts = [version(f"a0{n}", sheet=sheet, steps=n, seed=4) for n in (1, 2, 3)]
    finals = [version("a05", parent="a01", preset="standard"), version("a06", parent="a05", preset="high")]
    later = version("a07", prompt="something later")
    model = model_of(*drafts, *finals, later)
    model.choose("a01", "a01")
    assert model.drop("a01") is None  # all is drawn anew
    groups = [model.group_cells(group) for group in model.groups()]
    shown = [version["key"] for group in groups for cell in group["cells"] for version in cell["versions"]]
    assert sorted(shown) == ["a02", "a03", "a05", "a06", "a07"]
    again = model_of(*drafts[1:], *finals, later)  # as a reload shows it
    assert [cell["key"] for group in groups for cell in group["cells"]] == [
        cell["key"] for group in again.groups() for cell in again.group_cells(group)["cells"]
    ]


def test_a_page_that_stays_open_drops_its_oldest_pictures_but_none_that_is_held():
    model = model_of(*(version(f"a{index:02}", prompt=f"prompt {index}") for index in range(10)))
    model.put(version("a00", prompt="prompt 0", state="running"))
    dropped = model.trim(6, keep={"a02"})
    assert [group.id for group in dropped] == ["a01", "a03", "a04", "a05"]
    assert len(model) == 6


def test_strengths_are_columns_and_shown_on_each_cell():
    versions = [
        version(f"a{index:02}", sheet="s", loras=[{"name": "ink", "strength": strength, "hash": "0" * 64}])
        for index, strength in enumerate((0.5, 0.0, -1.0))
    ]
    axes = contact_axes(versions)
    assert axes is not None
    assert axes.columns == ["ink -1", "ink 0", "ink 0.5"]
    assert axes.order == ["a02", "a01", "a00"]
    assert model_of(*versions).cell("a00")["front"]["loras"] == "ink 0.5"
