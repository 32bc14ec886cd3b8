from __future__ import annotations

import pytest

from hidream_studio.page import words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"), (0.44, "0.4 s"), (9.94, "9.9 s"), (9.96, "10 s"), (31.2, "31 s"), (59.6, "1 min"),
        (200, "3 min 20 s"), (7500, "2 h 5 min"), (3599.7, "1 h"), (None, ""),
    ],
)  # fmt: skip
def test_a_length_of_time_reads_as_people_say_it(seconds, text):
    assert words.duration(seconds) == text


def test_what_is_over_has_no_time_left():
    assert words.left(0.01) == words.left(None) == ""
    assert words.left(2.4) == "2.4 s left"


def test_numbers_carry_no_needless_zeros():
    assert [words.number(value) for value in (5.0, 3.5, 0.75, 0.0)] == ["5", "3.5", "0.75", "0"]


def test_a_long_prompt_is_cut_at_a_word_and_stays_one_line():
    text = words.excerpt("many\nsmall  words " * 20, 30)
    assert text == "many small words many small …"
