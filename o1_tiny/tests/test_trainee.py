"""Training sees the project's model as the project runs it, and learns."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from hidream_studio.model.transformer import O1Transformer
from o1_tiny.training.recipe import TINY
from o1_tiny.training.trainee import (
    CLEAN_SIGMA,
    DISTURBED_TINT,
    Angles,
    add_noise,
    disturbed,
    draw_sigma,
    eager,
    guided_loss,
    loss,
    noisy,
    paired,
    parts,
    predict,
    principal_components,
    start_weights,
)  # fmt: skip
from o1_tiny.training.unmasked import UnmaskedKeys

ALL = torch.ones(())  # the fine phase is there in full


def tiny_model(layers: int = TINY.layers) -> O1Transformer:
    torch.manual_seed(0)
    model = O1Transformer(replace(TINY, layers=layers).config(960))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return model


def test_training_predicts_what_the_model_predicts_with_padded_texts():
    model, run = tiny_model(), parts(eager)
    ids, lengths = torch.randint(960, (3, 12)), torch.tensor([12, 5, 9])
    mask = torch.arange(12) < lengths[:, None]
    patches, t = torch.randn(3, 4 * 3, 3072), torch.tensor([0.1, 0.5, 0.9])
    with torch.no_grad():
        ours = predict(model, run, Angles(model, 16), ids, mask, patches, t, rows=4, cols=3)
        theirs = model(patches, t, model.encode_text(ids), 4, 3, mask)
        alone = model(patches[1:2], t[1:2], model.encode_text(ids[1:2, :5]), 4, 3)
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert torch.allclose(ours[1:2], alone, atol=1e-5)


def test_noisy_versions_of_a_scene_share_its_caption():
    model, run = tiny_model(), parts(eager)
    ids, mask = torch.randint(960, (2, 7)), torch.arange(7) < torch.tensor([[7], [4]])
    patches, t = torch.randn(6, 4, 3072), torch.rand(6)
    with torch.no_grad():
        angles = Angles(model, 16)
        shared = predict(model, run, angles, ids, mask, patches, t, 2, 2, draws=3)
        each = predict(model, run, angles, ids.repeat_interleave(3, 0), mask.repeat_interleave(3, 0), patches, t, 2, 2)
    assert torch.allclose(shared, each, atol=1e-5)


def test_the_noise_levels_of_a_scene_lie_apart():
    sigma = draw_sigma(400, 4, 256, 0 * ALL)
    assert sigma.min() > 0 and sigma.max() < 1
    assert (sigma.diff(dim=1) > 0).float().mean() > 0.75  # but for the uniform and the nearly clean ones


def test_nearly_clean_levels_are_seen_more_once_plain_error_counts():
    early, late = (draw_sigma(2000, 4, 256, share) for share in (0 * ALL, ALL))
    assert (early < 0.32).float().mean() < 0.2
    assert (late < 0.32).float().mean() > (early < 0.32).float().mean() + 0.05
    early, late = (sigma[sigma > CLEAN_SIGMA].median() for sigma in (early, late))
    assert late < early - 0.05  # the others move towards them


def test_keys_are_named_without_the_padding_of_texts():
    keys = UnmaskedKeys.of(torch.tensor([3, 1]), text=4, own=5)
    assert keys.query_starts.tolist() == [0, 5, 5, 10, 10]
    assert keys.key_starts.tolist() == [0, 8, 9, 15, 18]


def test_every_weight_gets_a_gradient():
    model, run = tiny_model(), parts(eager)
    mask = torch.ones(2, 6, dtype=torch.bool)
    predicted = predict(
        model, run, Angles(model, 8), torch.randint(960, (2, 6)), mask, torch.randn(2, 6, 3072), torch.rand(2), 2, 3
    )
    sigma = torch.tensor([[0.1, 0.9]])
    loss(predicted.view(1, 2, 2, 3, 3, 32, 32), torch.zeros(1, 2, 3, 3, 32, 32), sigma, ALL).backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.parameters())


def test_a_seam_costs_more_than_the_same_error_inside_a_patch():
    clean, sigma = torch.zeros(1, 2, 2, 3, 32, 32), torch.tensor([[0.05]])
    at_border, inside = torch.zeros(1, 1, 2, 2, 3, 32, 32), torch.zeros(1, 1, 2, 2, 3, 32, 32)
    at_border[..., 0, :, :, -1], inside[..., 0, :, :, 16] = 0.1, 0.1
    assert loss(at_border, clean, sigma, ALL) > loss(inside, clean, sigma, ALL)


def test_ringing_costs_more_than_a_flat_error_as_large():
    clean, sigma = torch.zeros(1, 2, 2, 3, 32, 32), torch.tensor([[0.05]])
    flat = torch.full((1, 1, 2, 2, 3, 32, 32), 0.02)
    for axis in (-1, -2):  # not at the borders of patches, which count for themselves
        ringing = flat.clone()
        ringing.transpose(axis, -1)[..., 1:31:2] *= -1
        assert loss(ringing, clean, sigma, ALL) > 1.5 * loss(flat, clean, sigma, ALL)


@pytest.mark.parametrize(("tokens", "share"), [(64, 0.06), (256, 0.13)])
def test_layouts_are_seen_to_the_end(tokens: int, share: float):
    torch.manual_seed(0)
    assert (draw_sigma(20_000, 4, tokens, ALL) > 0.9).float().mean() > share


def test_small_pictures_see_nearly_clean_levels_more_often():
    torch.manual_seed(0)
    small, large = ((draw_sigma(20_000, 4, tokens, ALL) < 0.1).float().mean() for tokens in (64, 256))
    assert small > 1.25 * large


def test_the_noisiest_levels_weigh_less_once_layouts_are_learnt():
    clean, wrong = torch.zeros(1, 2, 2, 3, 32, 32), torch.full((1, 1, 2, 2, 3, 32, 32), 0.1)
    early, late = (loss(wrong, clean, torch.tensor([[0.97]]), share) for share in (0 * ALL, ALL))
    assert torch.allclose(late / early, torch.tensor(2 * (0.97 * 0.03) ** 0.5))
    early, late = (loss(wrong, clean, torch.tensor([[0.91]]), share) for share in (0 * ALL, ALL))
    assert torch.allclose(late / early, torch.tensor(2 * (0.91 * 0.09) ** 0.5))
    early, late = (loss(wrong, clean, torch.tensor([[0.4]]), share) for share in (0 * ALL, ALL))
    assert late > early  # plain error comes on top


def edge() -> torch.Tensor:
    """Two patches with a soft upright edge in the middle of the first, (1, 2, 3072)."""
    ramp = ((torch.arange(32) - 15.5) / 4).clamp(-1, 1)
    tiles = torch.ones(1, 2, 3, 32, 32)
    tiles[0, 0] = ramp
    return tiles.flatten(2)


def test_disturbed_patches_are_moved_and_tinted_each_on_its_own():
    torch.manual_seed(2)
    clean = edge()
    found = disturbed(clean, torch.tensor([[0.0] + [1.0] * 200])).view(201, 2, 3, 32, 32)
    assert torch.equal(found[0].flatten(1), clean[0])
    flat = found[1:, 1].mean(dim=(2, 3)) - 1  # of the patch without an edge only the tint is seen
    assert 0.7 * DISTURBED_TINT < flat.std() < 1.3 * DISTURBED_TINT
    moved = -found[1:, 0].mean(dim=(1, 2, 3)) * 16  # px: the mean of an edge's patch tells where the edge is
    assert 0.8 < moved.std() < 1.6
    assert found.abs().max() < 1 + 5 * DISTURBED_TINT
    twins = disturbed(clean[:, :1].expand(1, 2, -1), torch.ones(1, 200))[0]
    assert ((twins[:, 0] - twins[:, 1]).abs().amax(dim=1) > 0.01).float().mean() > 0.9


def test_patches_are_disturbed_in_the_fine_phase_alone():
    torch.manual_seed(3)
    clean, sigma = edge().expand(64, -1, -1), torch.full((64, 2), 1e-4)
    early, late = ((noisy(clean, sigma, share) - clean[:, None]).abs().amax(dim=(2, 3)) for share in (0 * ALL, ALL))
    assert (early < 0.01).all()
    assert 0.3 < (late > 0.05).float().mean() < 0.6  # half of them, a few by very little


def test_noise_is_mixed_in_as_the_sampler_expects():
    clean, noise = torch.ones(1, 2, 3072), torch.full((1, 2, 3072), 0.5)
    assert torch.allclose(add_noise(clean, noise, torch.tensor(0.25)), torch.tensor(0.75 + 0.25 * 8 * 0.5))


@pytest.mark.parametrize("count", [30, 60])
def test_principal_components_of_few_and_of_many_patches(count):
    patches = torch.randn(count, 7) @ torch.randn(7, 40)
    centred = patches - patches.mean(dim=0)
    power, axes = principal_components(centred)
    assert torch.allclose(axes[:, :7].T @ axes[:, :7], torch.eye(7), atol=1e-4)
    assert torch.allclose((centred @ axes[:, :7]).square().mean(dim=0), power[:7], rtol=1e-3)
    assert power[7:].max() < 1e-4 * power[6]


def test_pairs_are_seen_alike():
    every = torch.arange(5.0)[:, None].expand(5, 3)
    assert paired(every, 2)[:, 0].tolist() == [0, 1, 2, 0, 1]


def test_fresh_weights_already_rebuild_what_is_nearly_clean():
    model = O1Transformer(TINY.config(960))
    patches = torch.randn(400, 40) @ torch.randn(40, 3072) * 0.1
    start_weights(model, patches, seed=0)
    with torch.no_grad():
        hidden = model.patch_in2(model.patch_in1(patches[:50]))
        rebuilt = model.patch_out(hidden)
    before, after = patches[:50].square().mean(), (rebuilt - patches[:50]).square().mean()
    assert after < 0.9 * before


def test_what_both_prompts_get_wrong_alike_costs_less_than_what_they_disagree_in():
    clean, sigma = torch.zeros(1, 4, 3072), torch.tensor([[0.05, 0.2]])
    wrong = 0.1 * torch.randn(1, 2, 4, 3072)
    alike, apart = guided_loss(wrong, wrong, clean, sigma), guided_loss(wrong, -wrong, clean, sigma)
    assert torch.allclose(apart, guided_loss(3 * wrong, 3 * wrong, clean, sigma))  # 2 + 1
    assert apart > 5 * alike
    assert guided_loss(wrong, -wrong, clean, torch.tensor([[0.9, 0.95]])) == 0  # there, they should


def test_guided_predictions_teach_the_unconditional_one_alone():
    conditional, unconditional = (torch.randn(1, 2, 4, 3072, requires_grad=True) for _ in range(2))
    guided_loss(conditional, unconditional, torch.zeros(1, 4, 3072), torch.tensor([[0.05, 0.2]])).backward()
    assert conditional.grad is None and unconditional.grad is not None and unconditional.grad.abs().max() > 0
