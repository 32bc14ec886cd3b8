from __future__ import annotations

import pytest

from hidream_studio.errors import RequestError
from hidream_studio.page.state.fields import guidance_of, seeds_of, sizes_of, steps_of


def test_one_value_a_list_and_a_range_are_read():
    assert steps_of("24") == (24,)
    assert steps_of("12, 24 36") == (12, 24, 36)
    assert steps_of("10..50/20") == (10, 30, 50)
    assert guidance_of("1, 3.5") == (1.0, 3.5)
    assert guidance_of("1..2/0.5") == (1.0, 1.5, 2.0)
    assert seeds_of("1–3") == (1, 2, 3)


def test_an_empty_field_asks_for_nothing():
    assert steps_of(" ") == guidance_of("") == seeds_of(",") == sizes_of("") == ()


def test_a_seed_is_exact_up_to_the_last_one():
    assert seeds_of("9007199254740991") == (9007199254740991,)
    assert seeds_of("9007199254740990..9007199254740991") == (9007199254740990, 9007199254740991)


def test_sizes_are_read_with_any_cross_and_a_single_side_is_a_square():
    assert sizes_of("256 × 320, 512x384; 1024 * 768, 640") == ((256, 320), (512, 384), (1024, 768), (640, 640))


def test_values_that_stand_twice_count_once():
    assert steps_of("20, 20, 24") == (20, 24)


@pytest.mark.parametrize(
    ("read", "text", "field"),
    [
        (steps_of, "many", "steps"),
        (steps_of, "0", "steps"),
        (steps_of, "201", "steps"),
        (steps_of, "12.5", "steps"),
        (steps_of, "50..10", "steps"),
        (guidance_of, "31", "guidance"),
        (guidance_of, "nan", "guidance"),
        (guidance_of, "inf", "guidance"),
        (seeds_of, "-1", "seed"),
        (seeds_of, "9007199254740992", "seed"),
        (seeds_of, "1..2000", "seed"),
        (sizes_of, "wide", "size"),
        (sizes_of, "256 x", "size"),
    ],
)
def test_what_cannot_be_read_names_its_field(read, text, field):
    with pytest.raises(RequestError) as caught:
        read(text)
    assert caught.value.field == field


def test_a_refused_number_is_said_as_it_was_written():
    with pytest.raises(RequestError, match="steps is 0; it must be between 1 and 200"):
        steps_of("0")
    with pytest.raises(RequestError, match=r"guidance is 30\.5; it must be between 0 and 30$"):
        guidance_of("30.5")
    with pytest.raises(RequestError, match="guidance is inf;"):
        guidance_of("1e999")
