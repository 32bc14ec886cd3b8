"""The transformer computes what upstream computes, and the text can be read once for all steps."""

from __future__ import annotations

import torch
from torch import Tensor

from hidream_studio.model.positions import step_positions, text_positions
from hidream_studio.model.transformer import O1Transformer, TextPrefix


def relative_error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def predict(model: O1Transformer, golden: dict) -> Tensor:
    prefix = model.encode_text(golden["input_ids"][:, :-1])
    return model(golden["z"], golden["t"], prefix, golden["height"] // 32, golden["width"] // 32)


def test_the_prediction_is_upstreams(model: O1Transformer, golden: dict) -> None:
    x_pred = predict(model, golden)
    stored = golden["x_pred"]
    every = x_pred.shape[1] // stored.shape[1]
    assert relative_error(x_pred[:, ::every], stored) < 1e-5


def test_positions_and_token_types_are_upstreams_exactly(golden: dict) -> None:
    text = golden["input_ids"].shape[1] - 1
    step = step_positions(torch.tensor([text]), golden["height"] // 32, golden["width"] // 32)
    assert torch.equal(torch.cat((text_positions(text), step), dim=-1), golden["position_ids"])
    # what runs in each step, instead of once, is what upstream calls type 1
    assert torch.equal(golden["token_types"][0], torch.tensor([0] * text + [1] * step.shape[-1]))


def test_padded_prompts_in_a_batch_give_what_each_gives_alone(model: O1Transformer) -> None:
    generator = torch.Generator().manual_seed(1)
    lengths = (5, 11, 8)
    ids = torch.randint(0, 256, (3, 11), generator=generator)
    patches = torch.randn((3, 6, 3072), generator=generator)
    t = torch.tensor([0.1, 0.5, 0.9])
    mask = torch.arange(11) < torch.tensor(lengths)[:, None]
    together = model(patches, t, model.encode_text(ids), 2, 3, prefix_mask=mask)
    for i, length in enumerate(lengths):
        alone = model(patches[i : i + 1], t[i : i + 1], model.encode_text(ids[i : i + 1, :length]), 2, 3)
        assert relative_error(together[i : i + 1], alone) < 1e-5


def test_a_forward_is_differentiable_down_to_the_prompts_embedding(model: O1Transformer) -> None:
    model.requires_grad_(True)
    try:
        mask = torch.tensor([[True] * 4, [True, True, False, False]])
        prefix = model.encode_text(torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0]]))
        model(
            torch.randn(2, 4, 3072), torch.tensor([0.2, 0.7]), prefix, 2, 2, prefix_mask=mask
        ).square().sum().backward()
        without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
        assert without == []
        assert model.embed.weight.grad[5].abs().sum() > 0
        assert model.embed.weight.grad[0].abs().sum() == 0  # padding takes no part
    finally:
        model.requires_grad_(False)
        model.zero_grad(set_to_none=True)


def test_a_prefix_knows_its_length_and_its_bytes(model: O1Transformer) -> None:
    prefix = model.encode_text(torch.tensor([[1, 2, 3]]))
    assert isinstance(prefix, TextPrefix)
    assert prefix.length == 3
    assert prefix.nbytes == 3 * 2 * (3 * 2 * 16) * 4  # layers, K and V, tokens × heads × head_dim, float32


def test_branches_of_one_step_give_what_each_gives_alone(model: O1Transformer, golden: dict) -> None:
    rows, cols = golden["height"] // 32, golden["width"] // 32
    prefixes = [model.encode_text(ids) for ids in (golden["input_ids"][:, :-1], torch.tensor([[7, 8, 9]]))]
    rotary = model.step_rotary(torch.tensor([prefix.length for prefix in prefixes]), rows, cols)
    together = model.forward_branches(golden["z"], golden["t"], prefixes, rotary)
    for branch, prefix in zip(together, prefixes, strict=True):
        assert relative_error(branch[None], model(golden["z"], golden["t"], prefix, rows, cols)) < 1e-5
