"""The error on held-out scenes: the same each time, measured only once the checkpoint is safe."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest
import torch

from hidream_studio.model.transformer import O1Transformer
from o1_tiny.training.__main__ import _finish
from o1_tiny.training.export import INDEX, save_frame
from o1_tiny.training.recipe import TINY
from o1_tiny.training.tokenizer import build_tokenizer, vocabulary_size
from o1_tiny.training.validation import LEVELS, Validation


@pytest.fixture
def model() -> O1Transformer:
    torch.manual_seed(0)
    return O1Transformer(TINY.config(vocabulary_size(build_tokenizer())))


def test_the_same_model_has_the_same_errors_and_a_better_one_has_smaller(model: O1Transformer):
    validation = Validation(build_tokenizer(), torch.device("cpu"), scenes=2)
    first = validation.errors(model)
    assert list(first) == [f"{side}@{level}" for side in (256, 512) for level in LEVELS]
    assert Validation(build_tokenizer(), torch.device("cpu"), scenes=2).errors(model) == first
    with torch.no_grad():
        model.patch_out.weight.zero_()
        model.patch_out.bias.fill_(9.0)  # as wrong as can be: pictures lie in [-1, 1]
    assert all(64 < error < 100 and error > first[name] for name, error in validation.errors(model).items())


def test_the_checkpoint_is_written_before_its_errors_are_measured(
    model: O1Transformer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    tokenizer, said = build_tokenizer(), []
    save_frame(model.config, tokenizer, tmp_path)
    averaged = [parameter.detach() * 0.5 for parameter in model.parameters()]

    def errors(self: Validation, measured: O1Transformer) -> dict[str, float]:
        assert (tmp_path / INDEX).is_file()
        assert all(torch.equal(old, new) for old, new in zip(averaged, measured.parameters(), strict=True))
        return {"256@0.5": 0.25}

    monkeypatch.setattr(Validation, "errors", errors)
    _finish(model, averaged, tokenizer, Namespace(out=tmp_path, tiny=True), said.append)
    assert said == [f"exported to {tmp_path}", "errors on held-out scenes: 256@0.5 0.25000"]
