"""The command line as a shell sees it: exit codes, what goes to stdout and what to stderr."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from hidream_studio.cli import main
from hidream_studio.cli.generate import NOT_TOLD
from hidream_studio.image.png import read_text_chunks
from hidream_studio.job.job import Job

SMALL = ("--width", "256", "--height", "256", "--no-snap", "--steps", "2", "--seed", "1")
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


def hidream_studio(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hidream_studio", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env={**ONE_THREAD, **environment})


def pixels(file: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.asarray(Image.open(file)).astype(np.int64)


@pytest.mark.parametrize(
    ("asked", "drawn"),
    [
        ("512x512", "2048x2048"), ("1024x1024", "2048x2048"), ("1280x720", "2560x1440"), ("720x1280", "1440x2560"),
        ("1024x768", "2304x1728"), ("1024×768", "2304x1728"),
    ],
)  # fmt: skip
def test_resolve_prints_upstream_s_size_first_and_then_why(
    asked: str, drawn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["resolve", asked]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == drawn
    assert "closest aspect ratio" in lines[1]


def test_resolve_without_snapping_rounds_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["resolve", "1000x1000", "--no-snap"]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == ["992x992", "rounded to the nearest multiple of 32 px"]
    assert main(["resolve", "2048x2048"]) == 0
    assert capsys.readouterr().out.splitlines() == ["2048x2048", "as asked"]
    assert main(["resolve", "512x512", "--profile", "o1-tiny"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "512x512"


@pytest.mark.parametrize(
    "words",
    [
        ["resolve", "big"], ["resolve", "100x100", "--no-snap"], ["resolve", "4096x4096", "--no-snap"],
        ["resolve", "0x5"], ["resolve", "512x512", "--profile", "none"], ["generate", ""],
        ["generate", "a", "--steps", "0"],
        ["generate", "a", "--guidance", "nan"], ["generate", "a", "--width", "512"], ["generate", "a", "--seed", "-1"],
        ["generate", "a", "--out", "/no/such/folder/a.png"], ["generate", "a", "--out", "/"],
        ["generate", "a", "--out", "a.gif"], ["generate", "a", "--out", "a.jpg.txt"],
        ["generate", "a", "--url", "ftp://x"], ["generate", "a", "--url", "http://[::1"],
        ["generate", "a", "--url", "http://127.0.0.1:port"],
        ["generate", "a", "--url", "http://127.0.0.1:9", "--precision", "fp32"],
        ["serve", "--host", "0.0.0.0"], ["serve", "--port", "70000"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_wrong_call_is_2_with_one_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("hidream-studio: ")
    assert told.err.count("\n") == 1


@pytest.mark.parametrize("words", [[], ["paint"], ["generate"], ["generate", "a", "--seed", "x"], ["serve", "--hots"]])
def test_what_the_parser_does_not_know_is_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(words)
    assert exit_.value.code == 2
    assert capsys.readouterr().out == ""


def test_a_variable_that_does_not_fit_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HIDREAM_STUDIO_PORT", "high")
    assert main(["serve"]) == 2
    assert "port" in capsys.readouterr().err
    monkeypatch.delenv("HIDREAM_STUDIO_PORT")
    monkeypatch.setenv("HIDREAM_STUDIO_ALLOWED_HOSTS", "no json")
    assert main(["serve"]) == 2
    assert "HIDREAM_STUDIO_" in capsys.readouterr().err


def test_help_and_resolve_start_without_torch() -> None:
    code = (
        "import sys; from hidream_studio.cli import main; main(['resolve', '512x512']); print('torch' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert told.stdout.splitlines()[-1] == "False"
    for command in ("serve", "generate", "resolve", "doctor", "bench"):
        assert command in hidream_studio("--help").stdout


def test_the_golden_pictures_come_out_of_the_command_line(golden_checkpoint: Path, tmp_path: Path) -> None:
    cases = json.loads((golden_checkpoint.parent / "cases.json").read_text())
    for name, case in cases.items():
        out = tmp_path / f"{name}.png"
        words = [
            "generate", case["prompt"], "--model", golden_checkpoint, "--width", case["width"],
            "--height", case["height"], "--no-snap", "--steps", case["steps"], "--guidance", case["guidance"],
            "--seed", case["seed"], "--noise", "upstream", "--precision", "fp32", "--shift", case["shift"],
            "--out", out,
        ]  # fmt: skip
        words += ["--recipe", "dev"] if case["scheduler"] == "flash" else []
        assert main([str(word) for word in words]) == 0
        golden = load_file(golden_checkpoint.parent / f"{name}.safetensors")["image"].astype(np.int64)
        drawn = pixels(out)
        assert (abs(drawn - golden.reshape(drawn.shape)) <= 1).mean() >= 0.999, name


def test_generate_prints_the_path_on_stdout_and_everything_else_on_stderr(
    golden_checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a cat.png"
    told = hidream_studio("generate", "a cat", "--model", golden_checkpoint, *SMALL, "--out", out)
    assert told.returncode == 0, told.stderr
    assert told.stdout == f"{out}\n"
    assert "drawing 2 steps" in told.stderr
    assert "trained" in told.stderr  # the size's warning
    facts = json.loads(read_text_chunks(out)["hidream_studio"])
    assert facts["job"]["prompt"] == "a cat"
    assert list(tmp_path.iterdir()) == [out]


def test_generate_as_json_tells_all_that_is_known(
    golden_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.png"
    words = ["generate", "a cat", "--model", str(golden_checkpoint), *SMALL, "--width", "300", "--out", str(out)]
    assert main([*words, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["path"], facts["width"], facts["requested"]["width"], facts["seed"]) == (str(out), 288, 300, 1)
    assert facts["adjustments"][0]["field"] == "width"
    assert set(facts["timings"]) == {"text_s", "steps_s", "decode_s", "png_s"}
    assert facts["numeric_path"].startswith("cpu-fp32")
    asked = {field.name for field in fields(Job)} - NOT_TOLD - {"references", "layout", "keep_aspect", "loras"}
    assert set(facts) == asked | {
        "path", "id", "cfg", "requested", "adjustments", "elapsed_s", "timings", "precision", "model", "fingerprint",
        "numeric_path",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model", "{empty}"], "config.json"), (["--model", "{golden}", "--device", "cuda"], "cuda"),
        (["--model", "{golden}", "--precision", "fp8"], "fp8"),
        (["--url", "http://127.0.0.1:9"], "hidream-studio serve"),
    ],
    ids=["no checkpoint", "no such device", "no such precision", "no server"],
)  # fmt: skip
def test_work_that_fails_is_1_with_one_line_that_says_why(
    words: list[str], said: str, golden_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    filled = [word.format(empty=empty, golden=golden_checkpoint) for word in words]
    assert main(["generate", "a cat", *SMALL, "--out", str(tmp_path / "a.png"), *filled]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("hidream-studio: ")
    assert said in last
    assert not (tmp_path / "a.png").exists()


def test_a_prompt_that_spells_a_special_token_is_a_wrong_call(
    golden_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["generate", "a <|im_end|>", "--model", str(golden_checkpoint), *SMALL, "--out", str(tmp_path / "a.png")]
    assert main(words) == 2
    assert "<|im_end|>" in capsys.readouterr().err


def test_a_device_file_is_written_into_and_never_replaced(golden_checkpoint: Path) -> None:
    assert main(["generate", "a cat", "--model", str(golden_checkpoint), *SMALL, "--out", "/dev/null"]) == 0
    assert Path("/dev/null").is_char_device()


def test_doctor_says_what_runs_here(
    golden_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--model", str(golden_checkpoint), "--data", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "can draw" in told
    line = next(line for line in told.splitlines() if " fp32 " in line)
    assert re.search(
        r"all of it stays; about quick [\d.]+ s, standard .* s, high .* s, official .* s  ← taken, for", line
    )
    assert main(["doctor", "--json", "--model", str(tmp_path)]) == 1
    report = json.load(io.StringIO(capsys.readouterr().out))
    assert report["fit"] is False
    assert [finding["subject"] for finding in report["findings"] if finding["verdict"] == "lacks"] == ["model"]


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    line = f"{sys.executable} -m hidream_studio resolve 512x512 | true"
    told = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60)
    assert "Traceback" not in told.stderr


def test_the_benchmark_without_its_packages_says_what_to_install() -> None:
    code = "import sys; sys.modules['skimage'] = None; from hidream_studio.cli import main; sys.exit(main(['bench']))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert told.returncode == 1 and "pip install 'hidream-studio[bench]'" in told.stderr
    assert told.stderr.count("\n") == 1


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".webp"])
def test_a_file_is_what_its_name_says_and_carries_the_settings(
    golden_checkpoint: Path, tmp_path: Path, suffix: str
) -> None:
    words = ["generate", "a cat, 赤い丸 🙂", "--model", str(golden_checkpoint), *SMALL, "--out"]
    assert main([*words, str(tmp_path / "a.png")]) == 0
    out = tmp_path / f"a{suffix}"
    assert main([*words, str(out)]) == 0
    with Image.open(out) as image, Image.open(tmp_path / "a.png") as png:
        assert image.format == ("WEBP" if suffix == ".webp" else "JPEG")
        assert image.size == png.size
        comment = image.getexif().get_ifd(0x8769)[0x9286]
        assert comment[8:].decode("utf-16-be") == png.text["parameters"]  # type: ignore[attr-defined]


def test_nothing_is_written_over_unless_that_is_said(
    golden_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["generate", "a cat", "--model", str(golden_checkpoint), *SMALL]
    for _ in range(3):
        assert main(words) == 0
    names = ["hidream-1.png", "hidream-1-2.png", "hidream-1-3.png"]
    assert capsys.readouterr().out.split() == names
    (tmp_path / "mine.png").write_bytes(b"mine")
    assert main([*words, "--out", "mine.png"]) == 2
    assert "--force" in capsys.readouterr().err
    assert (tmp_path / "mine.png").read_bytes() == b"mine"
    assert main([*words, "--out", "mine.png", "--force"]) == 0
    assert (tmp_path / "mine.png").read_bytes() != b"mine"
    assert {file.name for file in tmp_path.iterdir()} == {*names, "mine.png"}
