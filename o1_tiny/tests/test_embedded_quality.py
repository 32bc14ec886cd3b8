"""The whole chain with real quality figures: the embedded model, its suite, the adherence check, the sweet spots."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hidream_studio.bench.cli import main
from hidream_studio.settings import EMBEDDED_CHECKPOINT
from served import Served


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The suite at few and at enough steps, at the smallest trained size, which is where loss shows first."""
    folder: Path = tmp_path_factory.mktemp("embedded")
    with Served(folder / "data", EMBEDDED_CHECKPOINT, threads=2) as server:
        code = main(["--url", server.url, "--suite", "o1-tiny", "--seed", "7", "--variant", "s3,3,3",
                     "--variant", "s16,16,3", "--size", "256x256", "--no-snap-resolution", "--reference", "s16",
                     "--out", str(folder / "out")])  # fmt: skip
    assert code == 0
    results: dict[str, Any] = json.loads((folder / "out" / "results.json").read_text())
    return results


def test_too_few_steps_cost_adherence_and_detail(measured):
    rows = {row["steps"]: row for row in measured["settings"]}
    assert rows[3]["losses"]["adherence"] + 0.1 < rows[16]["losses"]["adherence"]
    assert rows[3]["losses"]["ssim"] < 0.98


def test_the_cost_model_predicts_the_long_setting_from_the_short_one(measured):
    long = next(p for p in measured["predictions"] if p["setting_id"].endswith("_s16_g3"))
    assert abs(long["error"]) < 0.5, "within half, on a shared CPU"


def test_what_a_picture_gets_wrong_is_told_in_words(measured):
    wrong = [said for loss in measured["losses"] for said in loss["wrong"]]
    assert wrong and all(isinstance(said, str) and said for said in wrong)
