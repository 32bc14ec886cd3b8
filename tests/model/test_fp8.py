"""FP8 keeps what matters: small errors, one scale a row, and nothing that depends on what else is in the batch."""

from __future__ import annotations

import pytest
import torch

from hidream_studio.model.checkpoint import Checkpoint
from hidream_studio.model.fp8 import FP8, Fp8Linear, quantise
from hidream_studio.model.transformer import O1Transformer
from hidream_studio.model.weights import empty_model, fill_model, load_model, model_bytes


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def test_quantised_rows_come_back_within_e4m3s_rounding() -> None:
    x = noise(7, 64) * torch.tensor([1e-8, 1e-3, 1.0, 10.0, 1e4, 0.0, 3.0])[:, None]
    x8, scale = quantise(x)
    assert x8.dtype == FP8
    error = (x8.float() * scale - x).abs()
    assert bool((error <= x.abs() / 16 + scale * 2**-9).all())  # half a step of 3 bits; below it, of the subnormals
    assert bool((x8[5].float() == 0).all())


def test_a_row_is_quantised_alike_whatever_stands_beside_it() -> None:
    linear = Fp8Linear(64, 32)
    linear.set_rows(0, noise(32, 64))
    x = noise(2, 5, 64).bfloat16()
    assert torch.equal(linear(x)[:1], linear(x[:1]))


def test_a_product_is_the_sum_over_quantised_numbers() -> None:
    linear = Fp8Linear(64, 32)
    weight = noise(32, 64)
    linear.set_rows(0, weight[:20])
    linear.set_rows(20, weight[20:])
    x = noise(9, 64).bfloat16()
    x8, scale = quantise(x)
    exact = (x8.float() * scale) @ (linear.weight.float() * linear.scale).T
    assert float((linear(x).float() - exact).norm() / exact.norm()) < 0.005
    assert float((exact - x.float() @ weight.T).norm() / exact.norm()) < 0.05


def test_a_model_loads_into_fp8_and_still_predicts_about_the_same(
    checkpoint: Checkpoint, model: O1Transformer, golden: dict
) -> None:
    fp8 = load_model(checkpoint, "cpu", torch.bfloat16, fp8=True)
    assert {type(block.gate_up) for block in fp8.blocks} == {Fp8Linear}
    assert sum(parameter.nbytes for parameter in fp8.parameters()) == model_bytes(
        checkpoint.config, torch.bfloat16, fp8=True
    )
    rows, cols = golden["height"] // 32, golden["width"] // 32
    ids, z, t = golden["input_ids"][:, :-1], golden["z"], golden["t"]
    expected = model(z, t, model.encode_text(ids), rows, cols)
    found = fp8(z, t, fp8.encode_text(ids), rows, cols).float()
    assert float((found - expected).norm() / expected.norm()) < 0.2


def test_weights_that_are_only_kept_in_fp8_are_multiplied_in_the_activations_precision() -> None:
    kept, plain = Fp8Linear(64, 32, kept_only=True), Fp8Linear(64, 32)
    for linear in (kept, plain):
        linear.set_rows(0, noise(32, 64))
    x = noise(9, 64).bfloat16()
    exact = x.float() @ (kept.weight.float() * kept.scale).T
    assert float((kept(x).float() - exact).norm() / exact.norm()) < 0.006
    assert float((plain(x).float() - exact).norm() / exact.norm()) > 0.01  # which quantises the activations, too


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")
@torch.inference_mode()
def test_fused_and_plain_blocks_agree_on_weights_that_are_only_kept_in_fp8(checkpoint: Checkpoint) -> None:
    pytest.importorskip("triton")
    from hidream_studio.model.fused import FusedBlocks

    model = empty_model(checkpoint.config, "cpu", torch.bfloat16, fp8=True, kept_only=True)
    fill_model(model, checkpoint)
    prefix = model.encode_text(torch.arange(5)[None])
    z, t = noise(1, 12, 3072), torch.tensor([0.3])
    plain = model(z, t, prefix, 3, 4).float()
    model.run_blocks = FusedBlocks(model, whole_tiles=False)
    fused = model.forward_branches(z, t, [prefix], model.step_rotary(torch.tensor([5]), 3, 4)).float()
    assert float((fused - plain).norm() / plain.norm()) < 0.05
