from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hidream_studio.errors import RequestError
from hidream_studio.page.regions.loras import _number as thumb_at
from hidream_studio.page.state.fields import guidance_of, seeds_of, sizes_of, steps_of


def test_one_value_a_list_and_a_range_are_read():
    assert steps_of("24") == (24,)
    assert steps_of("12, 24 36") == (12, 24, 36)
    assert steps_of("10..50/20") == (10, 30, 50)
    assert guidance_of("1, 3.5") == (1.0, 3.5)
    assert guidance_of("1..2/0.5") == (1.0, 1.5, 2.0)
    assert seeds_of("1–3") == (1, 2, 3)


@pytest.mark.parametrize(("typed", "at"), [("0.5", 0.5), ("9", 2), ("-1e9", -2), ("nan", 1), ("inf", 1), ("0, 1", 1)])
def test_the_thumb_of_a_lora_stands_somewhere_whatever_is_typed(typed, at):
    assert thumb_at(typed) == at


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
        (steps_of, "inf", "steps"),
        (steps_of, "nan", "steps"),
        (steps_of, "1e999", "steps"),
        (steps_of, "1..2/0." + "0" * 400 + "1", "steps"),
        (guidance_of, "1..2/0", "guidance"),
        (guidance_of, "0..30/1e-3", "guidance"),
        (guidance_of, "0..30/0." + "0" * 320 + "1", "guidance"),
        (steps_of, "1.." + "9" * 400, "steps"),
        (seeds_of, "1.." + "9" * 400, "seed"),
        (seeds_of, "9" * 5000, "seed"),
        (sizes_of, "9" * 5000, "size"),
        (sizes_of, "0 x 256", "size"),
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


READERS = (steps_of, guidance_of, seeds_of, sizes_of)
NUMBERS = st.one_of(
    st.text("0123456789.eE+-_ infaxN\u0660\u00b2", max_size=8),
    st.floats().map(str), st.integers().map(str), st.sampled_from(["9" * 400, "9" * 5000, "0." + "0" * 400 + "1"]),
)  # fmt: skip
TYPED = st.one_of(
    st.text(max_size=30),
    st.lists(NUMBERS, max_size=4).map(", ".join),
    st.tuples(NUMBERS, NUMBERS).map("..".join),
    st.tuples(NUMBERS, NUMBERS, NUMBERS).map(lambda three: f"{three[0]}..{three[1]}/{three[2]}"),
    st.tuples(NUMBERS, NUMBERS).map("x".join),
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(READERS), TYPED)
def test_whatever_is_typed_is_read_or_refused_in_a_short_sentence(read, text):
    try:
        values = read(text)
    except RequestError as error:
        assert error.field in ("steps", "guidance", "seed", "size")
        assert len(error.message) < 300
    else:
        assert len(values) <= 100


def test_a_refused_number_is_said_as_it_was_written():
    with pytest.raises(RequestError, match="steps is 0; it must be between 1 and 200"):
        steps_of("0")
    with pytest.raises(RequestError, match=r"guidance is 30\.5; it must be between 0 and 30$"):
        guidance_of("30.5")
    with pytest.raises(RequestError, match="guidance is inf;"):
        guidance_of("1e999")
