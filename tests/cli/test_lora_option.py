"""`generate --lora`: a name, or a name and its strength, as a request has them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from hidream_studio.cli import main
from hidream_studio.cli.options import parser, request_from
from hidream_studio.errors import RequestError
from hidream_studio.model.checkpoint import open_checkpoint
from lora_making import make_lora


def test_loras_are_named_with_or_without_a_strength() -> None:
    arguments = parser().parse_args(["generate", "a cat", "--lora", "ink=0.8", "--lora", "fog", "--lora", "a=b=-1"])
    loras = request_from(arguments).loras or ()
    assert [(lora.name, lora.strength) for lora in loras] == [("ink", 0.8), ("fog", 1.0), ("a=b", -1.0)]


def test_a_strength_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["generate", "a cat", "--lora", "ink=strong"])
    assert "the strength is no number" in capsys.readouterr().err
    for strength in ("2.5", "nan"):
        with pytest.raises(RequestError, match=r"loras\.0\.strength"):
            request_from(parser().parse_args(["generate", "a cat", "--lora", f"ink={strength}"]))


def test_a_lora_is_drawn_with_whatever_form_its_model_has(
    golden_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "loras").mkdir()
    make_lora(tmp_path / "loras" / "ink.safetensors", open_checkpoint(str(golden_checkpoint)), 5)
    weights = [file for part in golden_checkpoint.glob("*.safetensors") for file in load_file(part).items()]
    save_file(dict(weights), tmp_path / "one.safetensors")
    mute = tmp_path / "mute"
    shutil.copytree(golden_checkpoint, mute, ignore=shutil.ignore_patterns("tokenizer*"))
    drawn = {}
    for model in (golden_checkpoint, tmp_path / "one.safetensors", mute):
        words = ["generate", "a cat", "--model", model, "--tokenizer", golden_checkpoint, "--lora", "ink=0.8"]
        words += ["--loras", tmp_path / "loras", "--out", tmp_path / f"{model.stem}.png", "--json", "--no-snap"]
        words += ["--width", "256", "--height", "256", "--steps", "1", "--seed", "1", "--precision", "fp32"]
        assert main([str(word) for word in words]) == 0, model
        facts = json.loads(capsys.readouterr().out)
        drawn[model.stem] = facts["loras"], Image.open(facts["path"]).tobytes()
    assert drawn["one"] == drawn["mute"] == drawn[golden_checkpoint.stem]
    assert drawn["one"][0][0]["name"] == "ink"


def test_the_folder_of_loras_is_the_servers_own_affair(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["generate", "a cat", "--url", "http://127.0.0.1:9", "--loras", str(tmp_path)]
    assert main(words) != 0
    assert "--loras is the server's own affair" in capsys.readouterr().err
