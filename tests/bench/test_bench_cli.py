"""The benchmark from the command line: what it measures, what it says when things go wrong, and that all is kept."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from small_image_server import SmallServer, small_server

from hidream_studio.bench.cli import main
from hidream_studio.errors import RequestError
from hidream_studio.job.profiles import profile_by_id

PROJECT = Path(__file__).parents[2]
PROMPT = "A cinematic portrait photo of a woman in a rainy neon street"
TWO_STEPS = ["--variant", "s4_g3,4,3", "--variant", "s8_g3,8,3"]


def bench(server: SmallServer, out: Path, *options: str) -> int:
    return main(["--url", server.url, "--prompt", PROMPT, "--seed", "42", "--out", str(out), *options])


def results(out: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((out / "results.json").read_text())
    return values


def test_every_variant_is_measured_at_every_size_with_prompt_and_seed_held_constant(tmp_path, capsys):
    with small_server() as server:
        code = bench(server, tmp_path, *TWO_STEPS, "--size", "256x256", "--size", "320x256", "--no-snap-resolution",
                     "--reference", "s8_g3")  # fmt: skip
        drawn = server.drawn
    assert code == 0
    measured = [(b["width"], b["height"], b["steps"]) for b in drawn if b["steps"] > 2]
    assert sorted(measured) == [(256, 256, 4), (256, 256, 8), (320, 256, 4), (320, 256, 8)]
    assert {(b["prompt"], b["seed"], b["snap_resolution"]) for b in drawn} == {(PROMPT, 42, False)}


def test_the_table_goes_to_stdout_and_everything_else_to_stderr(tmp_path, capsys):
    with small_server() as server:
        bench(server, tmp_path, *TWO_STEPS, "--reference", "none")
    out, err = capsys.readouterr()
    assert out.splitlines()[0].startswith("variant") and "s4_g3" in out and "512×512" in out
    assert "report" in err and "report.html" not in out


def test_one_warm_up_for_each_size_is_drawn_and_not_counted(tmp_path):
    with small_server() as server:
        bench(server, tmp_path, *TWO_STEPS, "--size", "256x256", "--size", "512x512", "--no-snap-resolution",
              "--repeat", "2", "--reference", "none")  # fmt: skip
        warm_ups = [b for b in server.drawn if b["steps"] == 2]
    assert sorted(b["width"] for b in warm_ups) == [256, 512]
    assert len(results(tmp_path)["samples"]) == 8


def test_two_sizes_that_snapping_makes_one_are_said_to_be_one_and_measured_once(tmp_path, capsys):
    with small_server() as server:
        bench(server, tmp_path, "--variant", "s4,4,3", "--size", "256x256", "--size", "1024x1024")
        measured = [b for b in server.drawn if b["steps"] == 4]
    assert len(measured) == 1
    assert "256x256 and 1024x1024 are both rendered as 512x512" in capsys.readouterr().err


def test_loss_is_measured_against_the_official_recipe_at_the_same_seed(tmp_path):
    with small_server() as server:
        bench(server, tmp_path, *TWO_STEPS, "--size", "512x512")
    rows = {row["id"]: row for row in results(tmp_path)["settings"]}
    official = profile_by_id("o1-tiny").recipes["full"]
    reference = rows[f"512x512_s{official.steps}_g{official.guidance_scale:g}"]
    assert reference["is_reference"] and rows["512x512_s4_g3"]["reference"] == reference["id"]
    assert rows["512x512_s4_g3"]["losses"]["ssim"] < rows["512x512_s8_g3"]["losses"]["ssim"] < 1


def test_the_reports_hold_the_raw_samples_the_machine_and_the_model(tmp_path):
    with small_server() as server:
        bench(server, tmp_path, *TWO_STEPS, "--repeat", "3")
    found = results(tmp_path)
    assert len(found["samples"]) == 9 and all(sample["client_s"] > 0 for sample in found["samples"])
    assert {"commit", "studio_version", "python", "torch", "gpus", "driver", "cpu"} <= found["machine"].keys()
    assert found["server"]["fingerprint"] == "small-1" and found["command"]
    with (tmp_path / "results.csv").open() as lines:
        assert [row["steps"] for row in csv.DictReader(lines)] == ["4", "8", "50"]
    row = found["settings"][0]
    assert row["server"]["count"] == 3 and row["server"]["min_s"] <= row["server"]["median_s"]
    assert (tmp_path / "report.md").is_file() and list((tmp_path / "sheets").glob("*.png"))


def test_the_page_needs_no_other_file_and_shows_prompts_as_text(tmp_path):
    with small_server() as server:
        main(["--url", server.url, "--prompt", "<script>alert(1)</script> a|b", "--out", str(tmp_path), *TWO_STEPS])
    page = (tmp_path / "report.html").read_text()
    assert "<script" not in page and "&lt;script&gt;" in page
    assert 'src="data:image/webp' in page
    assert "http://" not in page.replace(server.url, "") and "https://" not in page


def test_a_run_that_is_interrupted_goes_on_without_measuring_twice(tmp_path, capsys):
    options = [*TWO_STEPS, "--size", "256x256", "--no-snap-resolution", "--reference", "none", "--repeat", "2"]
    with small_server(dies_after=3) as server:  # the warm-up and two pictures
        assert bench(server, tmp_path, *options) == 1
        err = capsys.readouterr().err
        assert "stopped after 2 of 4 pictures" in err and "Traceback" not in err
        assert len(results(tmp_path)["samples"]) == 2 and (tmp_path / "report.html").is_file()
        server.dies_after = None
        server.drawn.clear()
        assert bench(server, tmp_path, *options) == 0
        assert len([b for b in server.drawn if b["steps"] > 2]) == 2
    assert results(tmp_path)["missing_pictures"] == 0 and len(results(tmp_path)["samples"]) == 4


def test_a_line_that_a_crash_left_half_written_is_measured_again(tmp_path):
    options = [*TWO_STEPS, "--reference", "none"]
    with small_server() as server:
        bench(server, tmp_path, *options)
        lines = (tmp_path / "samples.jsonl").read_text()
        (tmp_path / "samples.jsonl").write_text(lines[: len(lines) - 40])
        server.drawn.clear()
        assert bench(server, tmp_path, *options) == 0
        assert len([b for b in server.drawn if b["steps"] > 2]) == 1


def test_a_folder_with_another_runs_results_is_refused_and_left_as_it_is(tmp_path, capsys):
    with small_server() as server:
        bench(server, tmp_path, *TWO_STEPS, "--reference", "none")
        before = results(tmp_path)
        assert bench(server, tmp_path, "--variant", "s6,6,3", "--reference", "none") == 2
    assert "results of another run" in capsys.readouterr().err
    assert results(tmp_path) == before


def test_a_folder_with_other_files_is_refused(tmp_path, capsys):
    (tmp_path / "novel.txt").write_text("chapter one")
    with small_server() as server:
        assert bench(server, tmp_path, *TWO_STEPS) == 2
    assert "holds other files" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["novel.txt"]


def test_a_server_with_another_model_does_not_continue_the_run(tmp_path, capsys):
    with small_server() as server:
        bench(server, tmp_path, *TWO_STEPS, "--reference", "none")
        server.health["fingerprint"] = "small-2"
        assert bench(server, tmp_path, *TWO_STEPS, "--reference", "none") == 2
    assert "fingerprint" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--variant", "s20"], "NAME,STEPS,GUIDANCE"),
        (["--variant", "s20,twenty,5"], "steps are 'twenty'"),
        (["--variant", "s20,201,5"], "from 1 to 200"),
        (["--variant", "s20,20,99"], "from 0 to 30"),
        (["--variant", "a,20,5", "--variant", "a,30,5"], "given twice"),
        (["--size", "1024"], "WIDTHxHEIGHT"),
        (["--size", "100x100", "--no-snap-resolution"], "at least 256 px"),
        (["--size", "4096x4096", "--no-snap-resolution"], "at most 4,300,000 px"),
        (["--seed", "minus one"], "--seed"),
        (["--reference", "nothing"], "names no variant"),
        (["--suite", "nothing"], "hard-cases"),
        (["--limit", "beauty=1"], "--limit"),
        (["--url", "127.0.0.1:7860"], "no address"),
        (["--api", "openai", "--noise", "linked"], "not part of --api openai"),
        (["--model", "some-model"], "not part of --api studio"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(tmp_path, capsys, options, said):
    with small_server() as server:
        code = bench(server, tmp_path / "out", *options)
        assert server.drawn == []
    lines = capsys.readouterr().err.strip().splitlines()
    assert code == 2 and len(lines) == 1 and said in lines[0]
    assert not (tmp_path / "out").exists()


def test_no_prompt_at_all_is_a_wrong_call(capsys):
    assert main([]) == 2
    assert "--prompt or --suite" in capsys.readouterr().err


def test_an_unreachable_server_is_one_line_and_exit_code_1(tmp_path, capsys):
    code = main(["--url", "http://127.0.0.1:1", "--prompt", PROMPT, "--out", str(tmp_path / "out")])
    lines = capsys.readouterr().err.strip().splitlines()
    assert code == 1 and len(lines) == 1 and "no server answers at http://127.0.0.1:1" in lines[0]


def test_a_server_of_another_api_is_told_apart(tmp_path, capsys):
    with small_server(is_website=True) as server:
        assert bench(server, tmp_path / "out") == 1
    assert "another API" in capsys.readouterr().err


def test_a_server_whose_model_cannot_load_is_told_with_its_reason(tmp_path, capsys):
    with small_server() as server:
        server.health |= {"ready": False, "phase": "failed", "reason": "config.json is missing"}
        assert bench(server, tmp_path / "out") == 1
    assert "config.json is missing" in capsys.readouterr().err


def test_a_token_comes_from_the_environment(tmp_path, capsys, monkeypatch):
    with small_server(token="secret") as server:
        assert bench(server, tmp_path, *TWO_STEPS, "--reference", "none") == 1
        assert "HIDREAM_STUDIO_TOKEN" in capsys.readouterr().err
        monkeypatch.setenv("HIDREAM_STUDIO_TOKEN", "secret")
        assert bench(server, tmp_path, *TWO_STEPS, "--reference", "none") == 0


def test_any_server_of_the_openai_shape_is_measured_by_the_clients_clock(tmp_path, capsys):
    with small_server() as server:
        code = bench(server, tmp_path, *TWO_STEPS, "--api", "openai", "--size", "256x256", "--model", "some-model")
        sent = server.drawn[-1]
    assert "snap_resolution" not in sent, "another server may refuse what it does not know"
    assert code == 0 and {sent["model"], sent["size"], sent["n"]} == {"some-model", "256x256", 1}
    rows = {row["id"]: row for row in results(tmp_path)["settings"]}
    assert rows["256x256_s4_g3"]["server"] is None and rows["256x256_s4_g3"]["client"]["median_s"] > 0
    assert rows["256x256_s8_g3"]["is_reference"] and "ssim" in rows["256x256_s4_g3"]["losses"]


def test_pictures_that_waited_for_other_work_and_pictures_that_differ_are_told(tmp_path):
    with small_server(queued_s=9.0, unsteady=True) as server:
        bench(server, tmp_path, *TWO_STEPS, "--repeat", "2", "--reference", "none")
    notes = " ".join(results(tmp_path)["notes"])
    assert "4 of 4 pictures waited" in notes and "2 of 2 pictures came out with other pixels" in notes


SUITE = ["--suite", "o1-tiny", "--variant", "s3,3,3", "--reference", "none", "--size", "256x256",
         "--no-snap-resolution"]  # fmt: skip


def installed_judge(folder: Path, value: str) -> None:
    """As pip leaves a package that offers a judge for the embedded model's prompts."""
    (folder / "strict.py").write_text("def judge(pixels, demands):\n    return ('nothing is good enough',)\n")
    about = folder / "strict-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: strict\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[hidream_studio.checks]\no1-tiny = {value}\n")


def test_a_suites_prompts_are_checked_by_the_judge_that_is_installed(tmp_path, monkeypatch):
    installed_judge(tmp_path, "strict:judge")
    monkeypatch.syspath_prepend(tmp_path)
    with small_server() as server:
        code = main(["--url", server.url, *SUITE, "--out", str(tmp_path / "out")])
    found = results(tmp_path / "out")
    assert code == 0 and found["limits"] == {"adherence": 0.95}
    assert found["settings"][0]["losses"]["adherence"] == 0.0
    assert {tuple(loss["wrong"]) for loss in found["losses"]} == {("nothing is good enough",)}


def test_a_judge_that_cannot_be_loaded_is_named_before_anything_is_drawn(tmp_path, monkeypatch, capsys):
    installed_judge(tmp_path, "strict:nobody")
    monkeypatch.syspath_prepend(tmp_path)
    with small_server() as server:
        assert main(["--url", server.url, *SUITE, "--out", str(tmp_path / "out")]) == 2
        assert server.drawn == []
    assert "the judge 'o1-tiny' of the suite's prompts (strict:nobody) cannot be loaded" in capsys.readouterr().err


def test_without_a_judge_the_suite_is_drawn_and_what_is_not_measured_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("hidream_studio.bench.checks.GROUP", "hidream_studio.nobodys_checks")
    with small_server() as server:
        code = main(["--url", server.url, *SUITE, "--out", str(tmp_path)])
    found = results(tmp_path)
    assert code == 0 and "adherence" not in found["settings"][0]["losses"]
    assert any("no judge 'o1-tiny' is installed" in note for note in found["notes"])


def test_the_launcher_works_with_any_python(tmp_path):
    script = PROJECT / "image_server" / "bench_quality_speed.py"
    with small_server() as server:
        done = subprocess.run(
            [sys.executable, str(script), "--url", server.url, "--prompt", PROMPT, *TWO_STEPS, "--out", str(tmp_path)],
            capture_output=True, text=True, cwd="/", timeout=120, check=False, env={"PATH": os.environ["PATH"]},
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("variant")


def test_help_names_every_option(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for option in ("--prompt", "--variant", "--size", "--no-snap-resolution", "--repeat", "--url", "--out",
                   "--reference", "--suite", "--seed", "--api"):  # fmt: skip
        assert option in text


def test_two_benchmarks_do_not_measure_into_one_folder(tmp_path):
    from hidream_studio.bench.folder import RunFolder
    from hidream_studio.errors import LibraryError

    first = RunFolder.open(tmp_path, {"a": 1}, {})
    with pytest.raises(LibraryError, match="another benchmark"):
        RunFolder.open(tmp_path, {"a": 1}, {})
    first.close()
    with pytest.raises(RequestError, match="its a is 1, now it is 2"):
        RunFolder.open(tmp_path, {"a": 2}, {})
