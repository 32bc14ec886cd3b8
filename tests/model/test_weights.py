"""Weights arrive whole, in one copy, and leave under upstream's names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hidream_studio.errors import CheckpointError
from hidream_studio.model import reading
from hidream_studio.model.checkpoint import Checkpoint, open_checkpoint
from hidream_studio.model.layout import slots
from hidream_studio.model.transformer import O1Transformer
from hidream_studio.model.weights import export_state_dict, load_model, random_model


def test_what_was_loaded_is_exported_under_upstreams_names_bit_for_bit(
    checkpoint: Checkpoint, model: O1Transformer
) -> None:
    exported = export_state_dict(model)
    stored = load_file(checkpoint.folder / "model.safetensors")
    assert exported.keys() == {key for key in stored if not key.startswith(("lm_head.", "model.visual."))}
    assert all(torch.equal(tensor, stored[key]) for key, tensor in exported.items())


def test_every_row_of_every_parameter_is_filled_by_the_checkpoint(checkpoint: Checkpoint, model: O1Transformer) -> None:
    filled = {name: torch.zeros(parameter.shape[0], dtype=torch.int) for name, parameter in model.named_parameters()}
    for slot in slots(checkpoint.config):
        filled[slot.parameter][slot.first_row : slot.first_row + slot.shape[0]] += 1
    assert all(bool((rows == 1).all()) for rows in filled.values())


def test_loading_reports_its_progress_up_to_one(checkpoint: Checkpoint) -> None:
    seen: list[float] = []
    load_model(checkpoint, "cpu", torch.bfloat16, seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_loading_casts_to_the_dtype_that_was_asked_for(checkpoint: Checkpoint) -> None:
    model = load_model(checkpoint, "cpu", torch.bfloat16)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


def test_tensors_larger_than_a_piece_arrive_whole(
    checkpoint: Checkpoint, model: O1Transformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PIECE_BYTES", 13_001)
    again = load_model(checkpoint, "cpu", torch.float32)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_a_file_that_shrinks_after_it_was_opened_is_named(checkpoint_copy: Path) -> None:
    opened = open_checkpoint(str(checkpoint_copy))
    path = checkpoint_copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:500_000])
    with pytest.raises(CheckpointError, match=r"model\.safetensors is cut short inside model\."):
        load_model(opened, "cpu", torch.float32)
    path.unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors cannot be read: No such file"):
        load_model(opened, "cpu", torch.float32)


def test_an_exported_model_can_be_opened_again(checkpoint: Checkpoint, checkpoint_copy: Path) -> None:
    from safetensors.torch import save_file

    model = random_model(checkpoint.config, "cpu", torch.float32, seed=3)
    save_file(export_state_dict(model), checkpoint_copy / "model.safetensors")
    again = load_model(open_checkpoint(str(checkpoint_copy)), "cpu", torch.float32)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_random_weights_follow_from_their_seed(checkpoint: Checkpoint) -> None:
    one, same, other = (random_model(checkpoint.config, "cpu", torch.float32, seed) for seed in (1, 1, 2))
    assert torch.equal(one.embed.weight, same.embed.weight)
    assert not torch.equal(one.embed.weight, other.embed.weight)
