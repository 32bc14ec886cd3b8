"""The whole chain: a real server with a resident model, the benchmark's launcher, and the report that comes out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hidream_studio.job.workload import ModelShape
from served import Served

PROJECT = Path(__file__).parents[2]
LAUNCHER = PROJECT / "image_server" / "bench_quality_speed.py"


def bench(url: str, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(LAUNCHER), "--url", url, "--out", str(out), *options],
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, golden_checkpoint: Path) -> dict[str, Any]:
    """One run over sizes, steps and guidance, and the server's estimate before and after it."""
    folder = tmp_path_factory.mktemp("bench")
    with Served(folder / "data", golden_checkpoint) as server:
        url = server.url
        done = bench(
            url, folder / "out", "--prompt", "a red circle", "--seed", "42", "--variant", "s4_g3,4,3",
            "--variant", "s8_g3,8,3", "--variant", "s12_g3,12,3", "--variant", "s8_g1,8,1", "--size", "256x256",
            "--size", "384x384", "--no-snap-resolution", "--noise", "linked", "--repeat", "2",
            "--reference", "s12_g3@384x384",
        )  # fmt: skip
        again = bench(
            url, folder / "snapped", "--prompt", "a red circle", "--variant", "s2,2,3", "--size", "512x512",
            "--size", "1024x1024", "--reference", "none",
        )  # fmt: skip
        openai = bench(
            url, folder / "openai", "--prompt", "a red circle", "--seed", "42", "--variant", "s8_g3,8,3",
            "--size", "384x384", "--no-snap-resolution", "--api", "openai", "--reference", "none",
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert openai.returncode == 0, openai.stderr
    assert again.returncode == 0, again.stderr
    results = json.loads((folder / "out" / "results.json").read_text())
    other = json.loads((folder / "openai" / "results.json").read_text())
    return {
        "results": results, "out": folder / "out", "stdout": done.stdout, "again": again.stderr, "openai": other
    }  # fmt: skip


def test_every_setting_is_measured_with_the_servers_own_split(measured):
    rows = measured["results"]["settings"]
    assert len(rows) == 8
    for row in rows:
        assert row["server"]["count"] == 2 and row["split_s"]["steps_s"] > 0
        assert row["split_s"]["steps_s"] <= row["server"]["max_s"] <= row["client"]["max_s"]


def test_the_model_that_was_measured_is_named(measured):
    server = measured["results"]["server"]
    assert server["device"] == "cpu" and server["precision"] == "fp32" and server["fingerprint"]
    assert ModelShape(**server["shape"]).layers == 3
    assert server["parameters"] > 0 and server["torch"]
    report = (measured["out"] / "report.md").read_text()
    assert "3 layers of 64, " in report and f"torch {server['torch']}" in report


def test_fewer_steps_lose_more_and_the_same_request_gives_the_same_pixels(measured):
    rows = {row["id"]: row for row in measured["results"]["settings"]}
    psnr = [rows[f"384x384_s{steps}_g3"]["losses"]["psnr_db"] for steps in (4, 8)]
    assert psnr[0] < psnr[1]
    assert not any("other pixels" in note for note in measured["results"]["notes"])


def test_the_server_said_what_every_setting_would_cost_before_it_was_measured(measured):
    assert all(p["server_s"] > 0 for p in measured["results"]["predictions"])


def test_the_report_opens_on_its_own(measured):
    page = (measured["out"] / "report.html").read_text()
    assert "<svg" in page and "data:image/webp" in page and "s8_g1" in page
    assert measured["stdout"].startswith("variant")


def test_two_sizes_that_the_server_snaps_to_one_are_measured_once(measured):
    assert "512x512 and 1024x1024 are both rendered as 512x512" in measured["again"]


def test_the_same_server_through_its_openai_shape_is_timed_from_outside(measured):
    (row,) = measured["openai"]["settings"]
    assert row["server"] is None and row["client"]["median_s"] > 0
    assert (row["width"], row["height"]) == (384, 384)
