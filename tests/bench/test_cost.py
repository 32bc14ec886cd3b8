"""The cost model against a run: every size predicted by a model that never saw it."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from measured_run import plan, sample, setting

from hidream_studio.bench.cost import fitted, predictions, shape_of
from hidream_studio.bench.summary import make_rows
from hidream_studio.job.workload import SHAPE_8B


def test_fitted_on_1024_and_2048_it_predicts_1536_within_5_percent():
    settings = (setting(1024, 20, 5), setting(1536, 20, 5), setting(2048, 20, 5))
    run = plan(*settings)
    samples = [sample(one, repeat=repeat) for one in settings for repeat in range(2)]
    found = {p.setting_id: p for p in predictions(run, make_rows(run, samples, {}), samples, SHAPE_8B, {})}
    middle = found["1536_s20_g5"]
    assert middle.learned_from == "2048×2048, 1024×1024"
    assert middle.error == pytest.approx(0, abs=0.05)


def test_with_one_size_it_predicts_each_setting_from_the_others():
    settings = tuple(setting(2048, steps, 5) for steps in (20, 28, 50))
    run = plan(*settings)
    samples = [sample(one) for one in settings]
    found = predictions(run, make_rows(run, samples, {}), samples, SHAPE_8B, {"2048_s20_g5": 9.0})
    assert all(p.error == pytest.approx(0, abs=0.05) for p in found)
    assert [p.server_s for p in found] == [9.0, None, None]


def test_without_a_known_shape_nothing_is_predicted():
    settings = (setting(1024, 20, 5), setting(2048, 20, 5))
    run = plan(*settings)
    samples = [sample(one) for one in settings]
    assert all(p.unseen_s is None for p in predictions(run, make_rows(run, samples, {}), samples, None, {}))
    assert fitted(run, samples, None) is None


def test_the_shape_is_the_servers_word_else_from_the_models_folder_else_by_its_profile(golden_checkpoint):
    golden = shape_of({"model": str(golden_checkpoint), "profile": "hidream-o1-image"})
    assert golden is not None and golden.hidden == 64
    assert shape_of({"model": "HiDream-ai/HiDream-O1-Image", "profile": "hidream-o1-image"}) == SHAPE_8B
    assert shape_of({"models": ["flux"]}) is None
    assert shape_of({"shape": asdict(SHAPE_8B), "profile": "o1-tiny"}) == SHAPE_8B
