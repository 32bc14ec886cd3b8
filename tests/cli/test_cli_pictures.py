"""`generate --ref`: every recipe of upstream can be asked for, and what comes out is what the pipeline draws of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hidream_studio.cli import main
from hidream_studio.engine.pipeline import Pipeline
from hidream_studio.image.png import read_text_chunks
from hidream_studio.image.references import prepare
from hidream_studio.job.job import Job

GOLDEN = Path(__file__).parents[1] / "data" / "golden_ref"
MODEL = str(GOLDEN / "checkpoint")
LAYOUT = [[0.5, 0.9, 0.1, 0.95], [0.08, 0.4, 0.55, 0.2]]
FULL = {"recipe": "full", "sampler": "unipc", "guidance_scale": 5.0, "shift": 3.0, "noise_scale": 8.0, "steps": 4}
DEV = {"recipe": "dev", "guidance_scale": 0.0, "shift": 1.0, "steps": 28}


def picture(name: str) -> Path:
    return GOLDEN / "pictures" / f"{name}.png"


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return Pipeline.load(MODEL, device="cpu")


def drawn(pipeline: Pipeline, names: list[str], size: tuple[int, int], kept: int | None, **values: Any) -> np.ndarray:
    """As upstream's recipe has it, without anything that fills in for what is not said."""
    job = Job(
        prompt="two of them", negative_prompt=None, seed=32, width=size[0], height=size[1], noise="upstream",
        profile="hidream-o1-image", requested_width=size[0], requested_height=size[1], snap_resolution=False, **values,
    )  # fmt: skip
    pictures = [Image.open(picture(name)).convert("RGB") for name in names]
    render = pipeline.render(job, references=prepare(pictures, *size, layout=job.layout, kept_side=kept))
    while True:
        try:
            next(render)
        except StopIteration as stop:
            return stop.value.pixels


CASES: dict[str, tuple[str, list[str], tuple[int, int], int | None, dict[str, Any]]] = {
    "an edit of the full recipe": ("--width 256 --height 256 --steps 4", ["square"], (256, 256), None, FULL),
    "an edit that keeps its aspect ratio": (
        "--width 352 --height 352 --steps 4 --keep-aspect", ["wide"], (416, 288), 352, FULL,
    ),
    "an edit with numbers of its own": (
        "--width 256 --height 288 --steps 3 --guidance 2.5 --shift 1.5 --noise-scale 7 --sampler euler", ["tall"],
        (256, 288), None,
        {**FULL, "steps": 3, "guidance_scale": 2.5, "shift": 1.5, "noise_scale": 7.0, "sampler": "euler"},
    ),
    "subjects have shift 1": (
        "--width 288 --height 256 --steps 4", ["big", "tall"], (288, 256), None, {**FULL, "shift": 1.0},
    ),
    "five without guidance, shift as asked": (
        "--width 256 --height 256 --steps 4 --guidance 1 --shift 3", ["face", "wall", "skeleton", "coat", "hat"],
        (256, 256), None, {**FULL, "guidance_scale": 1.0},
    ),
    "an edit of the dev recipe": (
        "--width 256 --height 256 --recipe dev", ["square"], (256, 256), None,
        {**DEV, "sampler": "flow_match", "noise_scale": 8.0},
    ),
    "an edit of the dev recipe with flash": (
        "--width 256 --height 256 --recipe dev --sampler flash", ["square"], (256, 256), None,
        {**DEV, "sampler": "flash", "noise_scale": 7.5},
    ),
    "a layout of the dev recipe": (
        f"--width 288 --height 256 --recipe dev --layout {json.dumps(LAYOUT, separators=(',', ':'))}", ["face", "long"],
        (288, 256), None, {**DEV, "sampler": "flash", "noise_scale": 7.5, "layout": tuple(map(tuple, LAYOUT))},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_command_line_draws_upstreams_recipes(
    pipeline: Pipeline, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    words, names, size, kept, values = CASES[name]
    refs = [word for one in names for word in ("--ref", str(picture(one)))]
    out = tmp_path / "out.png"
    told = ["generate", "two of them", "--model", MODEL, "--device", "cpu", "--seed", "32", "--no-snap", *words.split()]

    assert main([*told, *refs, "--out", str(out), "--json"]) == 0

    facts = json.loads(capsys.readouterr().out)
    assert (facts["width"], facts["height"], len(facts["references"])) == (*size, len(names))
    assert np.array_equal(np.asarray(Image.open(out)), drawn(pipeline, names, size, kept, **values))
    job = json.loads(read_text_chunks(out)["hidream_studio"])
    assert set(job["thumbnails"]) == {one["hash"] for one in job["job"]["references"]}


def test_a_layout_may_be_a_file_as_upstreams_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "layout.json"
    file.write_text(json.dumps({"layout_bboxes": [{"bbox": box, "text": "a cat"} for box in LAYOUT]}))
    refs = ["--ref", str(picture("face")), "--ref", str(picture("long"))]
    words = ["generate", "x", "--model", MODEL, "--width", "256", "--height", "256", "--no-snap", "--steps", "1"]

    assert main([*words, *refs, "--layout", str(file), "--out", str(tmp_path / "a.png"), "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["layout"] == LAYOUT


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--ref", "{none}"], "cannot be read: No such file"),
        (["--ref", "{folder}"], "cannot be read: Is a directory"),
        (["--ref", "{empty}"], "0 bytes"),
        (["--ref", "{text}"], "a text and no picture"),
        (["--ref", "{cut}"], "damaged"),
        (["--ref", "{ok}"] * 21, "at most 20 references"),
        (["--keep-aspect"], "keep_aspect needs exactly one reference, not 0"),
        (["--keep-aspect", "--ref", "{ok}", "--ref", "{ok}"], "exactly one reference, not 2"),
        (["--keep-aspect", "--ref", "{ok}", "--layout", "[[0,1,0,1]]"], "cannot go with a layout"),
        (["--layout", "[[0,1,0,1]]"], "there are none"),
        (["--ref", "{ok}", "--layout", "[[0,1,0,1],[0,1,0,1]]"], "2 boxes for 1 references"),
        (["--ref", "{ok}", "--layout", "[0.1,0.15,0.2,0.36]"], "a list of boxes, each [x1, x2, y1, y2]"),
        (["--ref", "{ok}", "--layout", "[[0,0.5,0.3,0.3]]"], "no area"),
        (["--ref", "{ok}", "--layout", "[[0,1.5,0,1]]"], "layout.0.1 is 1.5"),
        (["--ref", "{ok}", "--layout", "[]"], "has no box"),
        (["--ref", "{ok}", "--layout", "{{"], "no JSON"),
        (["--ref", "{ok}", "--layout", "{none}"], "neither JSON nor a file"),
        (["--ref", "{ok}", "--model", "{blind}"], "takes no pictures as input"),
        (["--ref", "{ok}", "--sampler", "flash"], "belongs to the dev recipe"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
)  # fmt: skip
def test_what_cannot_be_drawn_from_is_said_in_one_line(
    tmp_path: Path, golden_checkpoint: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    whole = picture("square").read_bytes()
    files = {"none": None, "empty": b"", "text": b"just words", "cut": whole[: len(whole) // 2], "ok": whole}
    paths = {name: tmp_path / f"{name}.png" for name in files} | {"folder": tmp_path, "blind": golden_checkpoint}
    for name, content in files.items():
        if content is not None:
            paths[name].write_bytes(content)

    said = [word.format(**paths) for word in words]
    assert main(["generate", "a cat", "--model", MODEL, "--out", str(tmp_path / "out.png"), *said]) == 2

    told = capsys.readouterr()
    assert told.err.startswith("hidream-studio: ") and told.err.count("\n") == 1
    assert says in told.err


def test_what_was_changed_of_a_picture_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (400, 300), (9, 60, 200)).save(tmp_path / "phone.jpg", exif=exif)
    words = ["--width", "256", "--height", "256", "--no-snap", "--steps", "1", "--out", str(tmp_path / "a.png")]

    assert main(["generate", "x", "--model", MODEL, "--ref", str(tmp_path / "phone.jpg"), *words]) == 0

    assert "references.0 300x400: turned as its EXIF says" in capsys.readouterr().err
