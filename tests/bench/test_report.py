"""Charts, crops and tables: what is drawn is what was measured, and nothing in it can run."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
from measured_run import plan, setting

from hidream_studio.bench.plan import Plan, Setting, shots
from hidream_studio.bench.report.charts import Point, Series, chart
from hidream_studio.bench.report.pictures import busiest_place, difference_map
from hidream_studio.bench.report.tables import Table, markdown, plain_text, seconds
from hidream_studio.bench.suites import SUITES


def drawn(*series: Series) -> ET.Element:
    markup = chart(series, x_title="steps", y_title="seconds & more")
    return ET.fromstring(markup)


def test_a_chart_is_well_formed_and_its_points_lie_in_the_order_of_their_values():
    page = drawn(Series("a", (Point(10, 1.0), Point(20, 2.0), Point(50, 5.0)), line=((0, 0), (50, 5))))
    dots = [(float(c.get("cx", 0)), float(c.get("cy", 0))) for c in page.iter("circle")]
    assert [x for x, _ in dots] == sorted(x for x, _ in dots)
    assert [y for _, y in dots] == sorted((y for _, y in dots), reverse=True), "more seconds are higher up"
    assert all(0 <= x <= 480 and 0 <= y <= 320 for x, y in dots)


def test_axes_start_at_zero_and_end_at_round_numbers():
    page = drawn(Series("a", (Point(20, 13.07), Point(50, 33.37))))
    ticks = [text.text for text in page.iter("text") if text.get("class") == "tick"]
    assert ticks[0] == "0" and "50" in ticks and "40" in ticks


def test_what_a_chart_is_told_stays_text():
    markup = chart([Series("<b>", (Point(1, 1, "<i>", '"x"'),))], x_title="<u>", y_title="&")
    assert "<b>" not in markup and "<i>" not in markup and "<u>" not in markup


def test_one_value_alone_is_drawn_too():
    assert drawn(Series("a", (Point(0, 0),))) is not None
    assert chart([], x_title="x", y_title="y") == ""


def test_the_crop_is_taken_where_the_reference_has_most_detail():
    grey = np.full((512, 768), 100, dtype=np.float32)
    grey[300:420, 500:640] += np.random.default_rng(0).normal(0, 40, (120, 140)).astype(np.float32)
    left, top = busiest_place(grey, 128)
    assert 480 <= left <= 530 and 284 <= top <= 316


def test_a_crop_of_the_whole_picture_is_the_picture():
    assert busiest_place(np.zeros((256, 256), dtype=np.float32), 256) == (0, 0)


def test_equal_pixels_are_black_on_the_map_of_differences_and_far_ones_white():
    reference = np.zeros((2, 2, 3), dtype=np.uint8)
    picture = reference.copy()
    picture[0, 0] = 255
    heat = difference_map(picture, reference)
    assert heat[0, 0].tolist() == [255, 255, 255] and heat[1, 1].tolist() == [0, 0, 0]


def test_tables_are_aligned_on_the_terminal_and_whole_in_markdown():
    table = Table(("name", "seconds"), (("a|b", "1.00"), ("longer name", "12.50")))
    assert plain_text(table).splitlines()[1:] == ["a|b             1.00", "longer name    12.50"]
    assert markdown(table).splitlines()[2] == "| a\\|b | 1.00 |"


def test_seconds_keep_three_digits_that_mean_something():
    assert [seconds(v) for v in (123.45, 12.345, 0.1234, 0.01234, None)] == ["123.5", "12.35", "0.123", "0.0123", "–"]


def order(run: Plan, repeats: int) -> list[list[str]]:
    per_repeat: list[list[str]] = [[] for _ in range(repeats)]
    for shot in shots(run, repeats):
        per_repeat[shot.repeat].append(shot.setting.id)
    return per_repeat


def test_settings_take_turns_and_each_repeat_starts_at_another_one():
    settings: tuple[Setting, ...] = tuple(setting(1024, steps, 5) for steps in (10, 20, 30))
    first, second, third = order(plan(*settings), 3)
    assert sorted(first) == sorted(second) == sorted(third)
    assert len({first[0], second[0], third[0]}) == 3


def test_every_suite_has_hard_classes_and_forgiving_ones_beside_them():
    for prompts in (make() for make in SUITES.values()):
        assert any(prompt.hard for prompt in prompts) and any(not prompt.hard for prompt in prompts)
        assert len({prompt.text for prompt in prompts}) == len(prompts)
