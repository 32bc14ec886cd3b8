"""Inner blocks are asked for places and outlines, and learn from it."""

from __future__ import annotations

from dataclasses import replace

import torch

from hidream_studio.model.transformer import O1Transformer
from o1_tiny.training.probes import OUTLINE_VALUES, PLACE_VALUES, Probes, outline_loss, place_loss, places
from o1_tiny.training.recipe import OUTLINES_AFTER, PLACES_AFTER, SIZES, TINY
from o1_tiny.training.trainee import Angles, eager, parts, predict

LAYERS = OUTLINES_AFTER + 1
CPU = torch.device("cpu")


def asked(layers: int) -> tuple[O1Transformer, list[torch.Tensor]]:
    """A model with random weights, and its patches where they are asked."""
    torch.manual_seed(0)
    model = O1Transformer(replace(TINY, layers=layers).config(960))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    ids, mask = torch.randint(5, 90, (1, 6)), torch.ones(1, 6, dtype=torch.bool)
    inner: list[torch.Tensor] = []
    predict(
        model, parts(eager), Angles(model, 16), ids, mask, torch.randn(1, 12, 3072), torch.rand(1), 4, 3, inner=inner
    )
    return model, inner


def learning(model: O1Transformer) -> list[bool]:
    return [any(p.grad is not None and p.grad.abs().max() > 0 for p in block.parameters()) for block in model.blocks]


def test_every_patch_of_every_size_has_a_place_of_its_own():
    for cols, rows in SIZES:
        where = places(rows, cols, torch.device("cpu"))
        assert where.shape == (rows * cols, PLACE_VALUES) and where.abs().max() <= 1
        apart = torch.cdist(where, where) + 9 * torch.eye(rows * cols)
        assert apart.min() > 0.5


def test_places_teach_the_first_blocks_alone():
    model, inner = asked(LAYERS)
    place_loss(torch.nn.Linear(model.config.hidden_size, PLACE_VALUES), inner[0], places(4, 3, CPU)).backward()
    assert learning(model) == [number <= PLACES_AFTER for number in range(1, LAYERS + 1)]


def test_outlines_teach_all_blocks_but_the_last_ones():
    model, inner = asked(LAYERS)
    probe = torch.nn.Linear(model.config.hidden_size, OUTLINE_VALUES)
    outline_loss(probe, inner[1], torch.randn(1, 12, OUTLINE_VALUES), torch.rand(1)).backward()
    assert learning(model) == [number <= OUTLINES_AFTER for number in range(1, LAYERS + 1)]


def test_a_shallow_model_is_asked_for_both_at_its_end():
    _, inner = asked(PLACES_AFTER)
    assert len(inner) == 1


def test_a_pixel_counts_near_an_outline_and_little_far_from_it():
    probe, inner = Probes(8, CPU).outlines, torch.randn(1, 4, 8)
    near, nearer, far, farther = (
        outline_loss(probe, inner, torch.full((1, 4, OUTLINE_VALUES), px), torch.zeros(1))
        for px in (1.0, 0.0, 50.0, 49.0)
    )
    assert near - nearer > 20 * (far - farther) > 0


def test_the_noisiest_levels_count_less_for_outlines():
    probe, inner, distances = Probes(8, CPU).outlines, torch.randn(1, 4, 8), torch.ones(1, 4, OUTLINE_VALUES)
    clean, noisy = (outline_loss(probe, inner, distances, torch.full((1,), sigma)) for sigma in (0.0, 1.0))
    assert noisy < 0.5 * clean
