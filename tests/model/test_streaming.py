"""Blocks that travel give what blocks that stay give, bit for bit, however a pass ends. On a CPU by the same code."""

from __future__ import annotations

import gc

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hidream_studio.model.checkpoint import Checkpoint
from hidream_studio.model.residency import SLOTS, Residency, fitting
from hidream_studio.model.transformer import O1Transformer
from hidream_studio.model.weights import empty_model, fill_model, load_model, make_room

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
ALL, ODD = Residency(3, (0, 1, 2)), Residency(3, (0, 2))


def streamed(
    checkpoint: Checkpoint,
    residency: Residency,
    dtype: torch.dtype = torch.float32,
    *,
    fp8: bool = False,
    from_files: bool = False,
) -> O1Transformer:
    source = checkpoint if from_files else None
    model = empty_model(checkpoint.config, DEVICE, dtype, fp8=fp8, residency=residency, source=source)
    fill_model(model, checkpoint)
    return model


@torch.inference_mode()
def step(model: O1Transformer, *text_lengths: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    prefixes = [model.encode_text(torch.arange(length, device=model.device)[None]) for length in text_lengths]
    ends = torch.tensor([prefix.next_position for prefix in prefixes], device=model.device)
    patches = torch.randn((1, 12, 3072), generator=generator).to(model.device)
    t = torch.tensor([0.3], device=model.device)
    return model.forward_branches(patches, t, prefixes, model.step_rotary(ends, 3, 4)).cpu()


@pytest.mark.parametrize("from_files", [False, True])
@pytest.mark.parametrize("residency", [ALL, ODD, Residency(3, (1,))])
def test_streamed_weights_give_the_same_values_bit_for_bit(
    checkpoint: Checkpoint, residency: Residency, from_files: bool
) -> None:
    for dtype, fp8 in ((torch.float32, False), (torch.bfloat16, False), (torch.bfloat16, True)):
        if fp8 and DEVICE == "cpu":
            continue
        resident = load_model(checkpoint, DEVICE, dtype, fp8=fp8)
        model = streamed(checkpoint, residency, dtype, fp8=fp8, from_files=from_files)
        for lengths in ((9,), (12, 5)):
            assert torch.equal(step(model, *lengths), step(resident, *lengths))


def test_quantised_weights_travel_as_they_are_kept(checkpoint: Checkpoint) -> None:
    resident = load_model(checkpoint, DEVICE, torch.bfloat16, fp8=True)
    for from_files in (False, True):
        model = streamed(checkpoint, ALL, torch.bfloat16, fp8=True, from_files=from_files)
        for theirs, ours in zip(resident.blocks, model.in_turn(model.blocks), strict=True):
            for one, other in zip(theirs.parameters(), ours.parameters(), strict=True):
                assert torch.equal(one.view(torch.uint8), other.view(torch.uint8))


def test_a_pass_that_breaks_off_spoils_none_after_it(checkpoint: Checkpoint) -> None:
    expected = step(load_model(checkpoint, DEVICE, torch.float32), 9)
    model = streamed(checkpoint, ALL)
    for broken_after in range(3):
        for number, _ in enumerate(model.in_turn(model.blocks)):
            if number == broken_after:
                break
        assert torch.equal(step(model, 9), expected)


def test_the_device_holds_no_more_than_the_slots_of_what_travels(checkpoint: Checkpoint) -> None:
    model = streamed(checkpoint, ALL)
    places = {parameter.data_ptr() for block in model.blocks for parameter in block.parameters()}
    assert len(places) == SLOTS * len(list(model.blocks[0].parameters()))


@pytest.mark.parametrize("before", [Residency(3), Residency(3, (1,))])
def test_blocks_give_way_one_after_the_other_and_change_no_value(checkpoint: Checkpoint, before: Residency) -> None:
    model = streamed(checkpoint, before)
    expected = step(model, 12, 5)
    for _ in range(before.staying):
        assert make_room(model, 1) == 1
        assert torch.equal(step(model, 12, 5), expected)
    assert make_room(model, 1) == 0


def test_what_gave_way_is_let_go_by_the_fused_blocks_too(checkpoint: Checkpoint) -> None:
    pytest.importorskip("triton")
    from hidream_studio.model.fused import FusedBlocks

    model = streamed(checkpoint, Residency(3))
    model.run_blocks = FusedBlocks(model, whole_tiles=False)
    weights = {block.down.weight.data_ptr() for block in model.blocks}
    make_room(model, 3)
    gc.collect()
    assert weights.isdisjoint({layer.down.weight.data_ptr() for layer in model.run_blocks._layers})


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")
def test_the_fused_blocks_find_the_weights_that_travel(checkpoint: Checkpoint) -> None:
    pytest.importorskip("triton")
    from hidream_studio.model.fused import FusedBlocks

    found = []
    for residency in (Residency(3), ODD):
        model = streamed(checkpoint, residency)
        model.run_blocks = FusedBlocks(model, whole_tiles=False)
        found.append(step(model, 4))
    assert torch.equal(*found)


@given(st.integers(1, 60), st.integers(0, 80))
def test_as_many_blocks_stay_as_fit_and_the_others_stand_evenly_between(layers: int, places: int) -> None:
    residency = fitting(layers, places)
    if residency is None:
        assert places < min(SLOTS, layers)
        return
    assert residency.on_device <= max(places, SLOTS)
    assert list(residency.travelling) == sorted(set(residency.travelling))
    assert set(residency.travelling) <= set(range(layers))
    if places < layers:
        assert residency.on_device >= places - 1 or residency.staying == 0
        gaps = [b - a for a, b in zip(residency.travelling, residency.travelling[1:], strict=False)]
        assert not gaps or max(gaps) - min(gaps) <= 1
    else:
        assert residency.staying == layers
