from __future__ import annotations

from dataclasses import replace

import pytest

from hidream_studio.errors import RequestError
from hidream_studio.job.loras import LoraAsked
from hidream_studio.job.profiles import HIDREAM_O1_IMAGE, profile_by_id
from hidream_studio.job.sizes import MAX_AREA_PX
from hidream_studio.page.state.compose import (
    Axis,
    ComposeState,
    LoraLine,
    first_state,
    in_shape,
    plan,
    restored_state,
    stored_state,
    with_preset,
)  # fmt: skip
from hidream_studio.service.variations import sheet_requests

TINY = profile_by_id("o1-tiny")


def test_a_first_visit_starts_with_the_quick_preset_and_linked_noise():
    state = first_state(HIDREAM_O1_IMAGE)
    assert (state.size, state.steps, state.guidance, state.snap, state.noise) == (
        "1024 × 1024", "24", "1", False, "linked",
    )  # fmt: skip


def test_four_seeds_of_one_setting_are_four_pictures():
    wanted = plan(first_state(TINY).changed(prompt="a star"), TINY, random_seed=100)
    assert wanted.seeds == (100, 101, 102, 103)
    assert wanted.pictures == 4
    assert wanted.sheet().steps == [TINY.preset("quick").steps]


def test_lists_are_crossed_and_say_what_is_swept():
    state = first_state(TINY).changed(prompt="a star", steps="12, 24", guidance="1..3", seed="7", count=1)
    wanted = plan(state, TINY, random_seed=1)
    assert wanted.pictures == 6
    assert [(axis.name, len(axis.values)) for axis in wanted.axes] == [("steps", 2), ("guidance", 3)]
    assert wanted.sheet().seeds == [7]


def test_a_list_of_seeds_counts_for_itself():
    wanted = plan(first_state(TINY).changed(prompt="a star", seed="3, 5, 8", count=4), TINY, random_seed=1)
    assert wanted.seeds == (3, 5, 8)


def test_an_empty_prompt_has_a_price_but_no_picture():
    assert plan(first_state(TINY), TINY, random_seed=1, prompt="anything").pictures == 4
    with pytest.raises(RequestError) as caught:
        plan(first_state(TINY), TINY, random_seed=1)
    assert caught.value.field == "prompt"


def test_what_is_stored_comes_back_as_it_was_typed():
    state = first_state(TINY).changed(prompt="half a thou", steps="12, ", seed="7")
    assert restored_state(stored_state(state, TINY), TINY) == (state, ())


def test_another_model_keeps_the_words_and_takes_its_own_sizes():
    state = with_preset(first_state(TINY).changed(prompt="a star"), TINY.preset("high"))
    restored, _ = restored_state(stored_state(state, TINY), HIDREAM_O1_IMAGE)
    assert (restored.prompt, restored.size, restored.preset) == ("a star", "2048 × 2048", "high")


@pytest.mark.parametrize("stored", [None, [], {"state": {"count": "many"}, "profile": "o1-tiny"}, {"state": 3}])
def test_what_cannot_be_read_back_is_a_first_visit(stored):
    assert restored_state(stored, TINY)[0] == first_state(TINY)


def test_what_cannot_be_read_is_named_and_takes_nothing_else_with_it():
    stored = stored_state(first_state(TINY).changed(prompt="a star", steps="7", seed="3"), TINY)
    stored["state"] |= {"steps": 7, "count": 1e999, "sampler": "magic", "nothing": "known"}
    state, unread = restored_state(stored, TINY)
    assert unread == ("steps", "count", "sampler")
    assert state == first_state(TINY).changed(prompt="a star", seed="3")


def test_a_prompt_that_is_too_long_is_kept_and_refused_with_its_length():
    state = first_state(TINY).changed(prompt="ab" * 6000)
    assert restored_state(stored_state(state, TINY), TINY) == (state, ())
    with pytest.raises(RequestError, match="the prompt has 12,000 characters; at most 10,000 can be drawn") as caught:
        plan(state, TINY, random_seed=0)
    assert (caught.value.field, caught.value.limit) == ("prompt", 10_000)


@pytest.mark.parametrize("ratio", [1.0, 4 / 3, 16 / 9, 1 / 3, 3.0])
@pytest.mark.parametrize("side", [256, 1024, 2048])
def test_another_shape_has_about_the_same_area_and_stays_inside_the_limits(side, ratio):
    width, height = in_shape(side, side, ratio)
    assert width % 32 == height % 32 == 0
    assert min(width, height) >= 256
    assert width * height <= MAX_AREA_PX
    assert width / height == pytest.approx(ratio, rel=0.1)  # small sizes, too: they grow where they must
    if side >= 1024:
        assert width * height == pytest.approx(side * side, rel=0.12)


def test_strengths_of_loras_are_crossed_and_swept():
    state = ComposeState(
        count=1, prompt="a cat", seed="7", loras=(LoraLine(name="ink", strength="0, 0.5"), LoraLine(name="cat"))
    )
    wanted = plan(state, TINY, random_seed=1)
    assert [[(lora.name, lora.strength) for lora in mix] for mix in wanted.loras] == [
        [("ink", 0.0), ("cat", 1.0)], [("ink", 0.5), ("cat", 1.0)],
    ]  # fmt: skip
    assert wanted.axes == (Axis("strengths", wanted.loras),)
    assert [request.loras for request in sheet_requests(wanted.sheet(), queue_limit=9)] == list(wanted.loras)
    with pytest.raises(RequestError, match="strength is 3; it must be between -2 and 2"):
        plan(state.changed(loras=(LoraLine(name="ink", strength="3"),)), TINY, random_seed=1)


@pytest.mark.parametrize(
    ("strengths", "count"), [(("0..1/0.1",) * 2, "121"), (("0..1/0.011",) * 8, "4,702,525,276,151,521")]
)
def test_more_mixes_of_strengths_than_a_sheet_holds_are_refused_before_one_is_made(strengths, count):
    lines = tuple(LoraLine(name=f"{index}", strength=strength) for index, strength in enumerate(strengths))
    with pytest.raises(RequestError, match=f"make {count} mixes; there may be 100") as caught:
        plan(ComposeState(prompt="a cat", loras=lines), TINY, random_seed=1)
    assert (caught.value.field, caught.value.limit) == ("loras", 100)


def test_what_a_sheet_cannot_hold_is_refused_in_words():
    wanted = plan(ComposeState(prompt="a cat"), TINY, random_seed=1)
    with pytest.raises(RequestError) as caught:
        replace(wanted, loras=tuple((LoraAsked(name=f"{index}"),) for index in range(101))).sheet()
    assert (caught.value.field, caught.value.limit) == ("loras", 100)
