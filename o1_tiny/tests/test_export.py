"""What is trained is what is loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hidream_studio.model.checkpoint import open_checkpoint
from hidream_studio.model.transformer import O1Transformer
from hidream_studio.model.weights import load_model
from o1_tiny.training.export import INDEX, export, save_frame
from o1_tiny.training.recipe import TINY
from o1_tiny.training.tokenizer import build_tokenizer, vocabulary_size

ROOT = Path(__file__).parents[2]


def predicted(model: O1Transformer) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    patches, ids = torch.randn(1, 6, 3072, generator=generator), torch.arange(9)[None]
    with torch.no_grad():
        return model(patches, torch.tensor([0.4]), model.encode_text(ids), 2, 3)


@pytest.mark.parametrize("shard_bytes", [100_000, 10_000_000])
def test_an_exported_model_loads_and_predicts_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shard_bytes):
    monkeypatch.setattr("o1_tiny.training.export.SHARD_BYTES", shard_bytes)
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    model = O1Transformer(TINY.config(vocabulary_size(tokenizer)))
    for parameter in model.parameters():
        parameter.data.normal_(std=0.05).copy_(parameter.data.bfloat16())  # files hold bf16
    averaged = [parameter.data.clone() for parameter in model.parameters()]
    expected = predicted(model)
    for parameter in model.parameters():
        parameter.data.zero_()  # the average is exported, not these
    save_frame(model.config, tokenizer, tmp_path)
    export(model, averaged, tmp_path)
    assert all(not parameter.any() for parameter in model.parameters())
    checkpoint = open_checkpoint(str(tmp_path))
    assert checkpoint.config == model.config
    assert torch.equal(predicted(load_model(checkpoint, "cpu", torch.float32)), expected)
    shards = set(json.loads((tmp_path / INDEX).read_text())["weight_map"].values())
    assert shards == {path.name for path in tmp_path.glob("*.safetensors")}
    assert (len(shards) > 1) == (shard_bytes == 100_000)


def train(out: Path, *options: str, processes: int = 1) -> str:
    """What the command says while it trains for a few steps."""
    module = ["-m", "o1_tiny.training"]
    if processes > 1:
        module = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), *module]
    done = subprocess.run(
        [sys.executable, *module, "--tiny", "--minutes", "0.01", "--processes", "1", "--out", str(out), *options],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stderr


def test_two_processes_go_on_together_from_what_one_has_trained(tmp_path: Path):
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    model = O1Transformer(TINY.config(vocabulary_size(tokenizer)))
    save_frame(model.config, tokenizer, tmp_path / "start")
    export(model, None, tmp_path / "start")
    said = train(tmp_path / "out", "--from", str(tmp_path / "start"), processes=2)
    assert "2 processes have met" in said
    before, after = (
        load_model(open_checkpoint(str(tmp_path / name)), "cpu", torch.float32) for name in ("start", "out")
    )
    assert before.config == after.config
    assert not torch.equal(before.patch_out.bias, after.patch_out.bias)
    assert json.loads((tmp_path / "out" / "training.json").read_text())["step"] >= 10
