"""Training sees the project's model as the project runs it, and learns."""

from __future__ import annotations

import torch
from training.recipe import TINY
from training.trainee import Angles, add_noise, loss, parts, predict, start_weights

from hidream_studio.model.transformer import O1Transformer


def tiny_model() -> O1Transformer:
    torch.manual_seed(0)
    model = O1Transformer(TINY.config(960))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return model


def test_training_predicts_what_the_model_predicts_with_padded_texts():
    model, run = tiny_model(), parts(lambda function: function)
    ids, lengths = torch.randint(960, (3, 12)), torch.tensor([12, 5, 9])
    mask = torch.arange(12) < lengths[:, None]
    patches, t = torch.randn(3, 4 * 3, 3072), torch.tensor([0.1, 0.5, 0.9])
    with torch.no_grad():
        ours = predict(model, run, Angles(model, 16), ids, mask, patches, t, rows=4, cols=3)
        theirs = model(patches, t, model.encode_text(ids), 4, 3, mask)
        alone = model(patches[1:2], t[1:2], model.encode_text(ids[1:2, :5]), 4, 3)
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert torch.allclose(ours[1:2], alone, atol=1e-5)


def test_every_weight_gets_a_gradient():
    model, run = tiny_model(), parts(lambda function: function)
    mask = torch.ones(2, 6, dtype=torch.bool)
    predicted = predict(
        model, run, Angles(model, 8), torch.randint(960, (2, 6)), mask, torch.randn(2, 6, 3072), torch.rand(2), 2, 3
    )
    loss(predicted.view(2, 2, 3, 3, 32, 32), torch.zeros(2, 2, 3, 3, 32, 32), torch.tensor([0.1, 0.9])).backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.parameters())


def test_a_seam_costs_more_than_the_same_error_inside_a_patch():
    clean, sigma = torch.zeros(1, 2, 2, 3, 32, 32), torch.tensor([0.05])
    at_border, inside = clean.clone(), clean.clone()
    at_border[:, :, 0, :, :, -1], inside[:, :, 0, :, :, 16] = 0.1, 0.1
    assert loss(at_border, clean, sigma) > loss(inside, clean, sigma)


def test_noise_is_mixed_in_as_the_sampler_expects():
    clean, noise = torch.ones(1, 2, 3072), torch.full((1, 2, 3072), 0.5)
    assert torch.allclose(add_noise(clean, noise, torch.tensor([0.25])), torch.tensor(0.75 + 0.25 * 8 * 0.5))


def test_fresh_weights_already_rebuild_what_is_nearly_clean():
    model = O1Transformer(TINY.config(960))
    patches = torch.randn(4000, 40) @ torch.randn(40, 3072) * 0.1
    start_weights(model, patches, seed=0)
    with torch.no_grad():
        hidden = model.patch_in2(model.patch_in1(patches[:50]))
        rebuilt = model.patch_out(hidden)
    before, after = patches[:50].square().mean(), (rebuilt - patches[:50]).square().mean()
    assert after < 0.9 * before
