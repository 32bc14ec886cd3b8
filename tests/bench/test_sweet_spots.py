"""Sweet spots: the cheapest setting within the limits, by class, and what may be promised when nothing was measured."""

from __future__ import annotations

import pytest
from measured_run import PROMPTS, plan, sample, setting

from hidream_studio.bench.losses import PictureLoss, mean_losses
from hidream_studio.bench.summary import make_rows
from hidream_studio.bench.sweet_spots import default_limits, parse_limit, proposed_presets, sweet_spots
from hidream_studio.errors import RequestError

REFERENCE = setting(2048, 50, 5, is_reference=True, reference="2048_s50_g5")
SMALL, MIDDLE = setting(1024, 20, 5, reference=REFERENCE.id), setting(2048, 20, 5, reference=REFERENCE.id)
RUN = plan(REFERENCE, MIDDLE, SMALL, prompts=PROMPTS)


def loss(setting_id: str, prompt: int, **values: float) -> PictureLoss:
    return PictureLoss(setting_id, prompt, PROMPTS[prompt].prompt_class, 42, values, False)


LOSSES = [
    loss(SMALL.id, 0, quarter_ssim=0.70, ssim=0.50), loss(SMALL.id, 1, quarter_ssim=0.95, ssim=0.92),
    loss(MIDDLE.id, 0, quarter_ssim=0.90, ssim=0.85), loss(MIDDLE.id, 1, quarter_ssim=0.97, ssim=0.95),
]  # fmt: skip
ROWS = make_rows(RUN, [sample(s, prompt=p) for s in RUN.settings for p in (0, 1)], mean_losses(LOSSES))


def test_a_hard_class_needs_the_dearer_setting_and_a_forgiving_one_does_not():
    spots = {spot.prompt_class: spot for spot in sweet_spots(RUN, ROWS, LOSSES, {"quarter_ssim": 0.85})}
    assert spots["faces"].row is not None and spots["faces"].row.setting.id == MIDDLE.id
    assert spots["lakes"].row is not None and spots["lakes"].row.setting.id == SMALL.id
    assert spots["lakes"].values == {"quarter_ssim": 0.95}


def test_where_nothing_else_is_good_enough_the_reference_is():
    (faces, _) = sweet_spots(RUN, ROWS, LOSSES, {"ssim": 0.99})
    assert faces.row is not None and faces.row.setting.is_reference


def test_a_setting_that_was_not_compared_promises_nothing():
    uncompared = [one for one in LOSSES if one.setting_id != SMALL.id]
    (faces, lakes) = sweet_spots(RUN, ROWS, uncompared, {"quarter_ssim": 0.5})
    assert faces.row is not None and lakes.row is not None
    assert faces.row.setting.id == lakes.row.setting.id == MIDDLE.id


def test_presets_go_from_the_composition_of_some_classes_to_everything_for_all():
    presets = {p.id: p.row.setting.id for p in proposed_presets(RUN, ROWS, LOSSES, {"quarter_ssim": 0.85, "ssim": 0.8})}
    assert presets == {"quick": SMALL.id, "standard": SMALL.id, "high": MIDDLE.id}
    (high,) = (p for p in proposed_presets(RUN, ROWS, LOSSES, {"ssim": 0.8}) if p.id == "high")
    assert high.to_dict()["steps"] == 20 and high.to_dict()["width"] == 2048


def test_a_limit_is_metric_equals_value():
    assert parse_limit("gmsd=0.05") == ("gmsd", 0.05)
    for wrong in ("gmsd", "beauty=1", "ssim=much"):
        with pytest.raises(RequestError, match="--limit"):
            parse_limit(wrong)


def test_where_demands_can_be_checked_they_are_the_first_limit():
    assert set(default_limits(LOSSES)) == {"quarter_ssim"}
    assert set(default_limits([loss(SMALL.id, 0, adherence=1.0)])) == {"adherence"}
