"""What the table says follows from the samples: medians, speed-ups, lines, the guidance ratio, the Pareto front."""

from __future__ import annotations

import pytest
from measured_run import plan, sample, seconds, setting

from hidream_studio.bench.metrics import METRICS_BY_KEY
from hidream_studio.bench.summary import fit_line, guidance_ratios, line_fits, make_rows, pareto_front, sample_notes

REFERENCE = "2048_s50_g5"
SETTINGS = (
    setting(2048, 50, 5, is_reference=True, reference=REFERENCE),
    *(setting(2048, steps, 5, reference=REFERENCE) for steps in (20, 28, 36)),
    setting(2048, 20, 1, reference=REFERENCE),
    setting(1024, 20, 5, reference=REFERENCE),
)
RUN = plan(*SETTINGS)
SAMPLES = [sample(one, repeat=repeat) for one in SETTINGS for repeat in range(3)]


def test_a_row_holds_the_median_with_its_least_and_most():
    one = SETTINGS[0]
    odd = [sample(one, repeat=repeat, factor=factor) for repeat, factor in enumerate((1.0, 1.1, 3.0))]
    (row,) = make_rows(plan(one), odd, {})
    spread = row.time
    assert (spread.median_s, spread.min_s, spread.max_s, spread.count) == pytest.approx(
        (seconds(one) * 1.1, seconds(one), seconds(one) * 3, 3)
    )


def test_speed_ups_name_what_they_are_against():
    rows = {row.setting.id: row for row in make_rows(RUN, SAMPLES, {})}
    draft, reference = rows["1024_s20_g5"], rows[REFERENCE]
    assert draft.against_reference == pytest.approx(reference.time.median_s / draft.time.median_s)
    assert draft.against_largest == pytest.approx(rows["2048_s20_g5"].time.median_s / draft.time.median_s)
    assert rows["2048_s20_g5"].against_most_steps == pytest.approx(
        reference.time.median_s / rows["2048_s20_g5"].time.median_s
    )
    assert draft.against_most_steps is None, "it has the most steps at its size"


def test_seconds_over_steps_are_a_line_with_its_r_squared():
    (fit,) = line_fits(make_rows(RUN, SAMPLES, {}))
    assert fit.r_squared > 0.999999 and fit.base_s == pytest.approx(0.2, abs=1e-3)
    assert [steps for steps, _ in fit.points] == [20, 28, 36, 50]


def test_a_bent_line_has_a_lower_r_squared():
    assert fit_line((1, 1), 5, [(10, 1.0), (20, 4.0), (30, 9.0), (40, 16.0)]).r_squared < 0.97


def test_guidance_off_is_compared_at_equal_size_and_steps():
    (ratio,) = guidance_ratios(make_rows(RUN, SAMPLES, {}))
    assert (ratio.size, ratio.steps) == ((2048, 2048), 20) and 0.50 <= ratio.ratio <= 0.55


def test_guidance_off_at_other_steps_is_compared_by_step():
    settings = (setting(2048, 24, 1), setting(2048, 20, 5))
    (ratio,) = guidance_ratios(make_rows(plan(*settings), [sample(one) for one in settings], {}))
    assert ratio.steps == 0 and ratio.ratio == pytest.approx(0.5, abs=0.01)


def test_the_pareto_front_leaves_out_what_is_slower_and_worse():
    losses = {"2048_s20_g5": {"ssim": 0.9}, "2048_s28_g5": {"ssim": 0.85}, "2048_s36_g5": {"ssim": 0.95},
              "1024_s20_g5": {"ssim": 0.6}}  # fmt: skip
    front = pareto_front(make_rows(RUN, SAMPLES, losses), METRICS_BY_KEY["ssim"])
    assert [row.setting.id for row in front] == ["1024_s20_g5", "2048_s20_g5", "2048_s36_g5"]


def test_pictures_that_differ_from_one_repeat_to_the_next_are_told():
    one = SETTINGS[0]
    steady = [sample(one, repeat=0), sample(one, repeat=1)]
    assert sample_notes(steady) == []
    assert "other pixels" in sample_notes([steady[0], sample(one, repeat=1, pixels="q")])[0]
