"""Rates, sizes and batches follow the clock and the wishes."""

from __future__ import annotations

import pytest

from o1_tiny.training.recipe import SIZES, Recipe, changed, continued, pictures

RECIPE = Recipe()


def test_numbers_of_the_recipe_can_be_wished_otherwise():
    found = changed(RECIPE, ["hidden_size=256", "muon_rate=0.01"])
    assert (found.hidden_size, found.muon_rate) == (256, 0.01)
    assert type(found.hidden_size) is int and found.layers == RECIPE.layers


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        ("hiden_size=256", "not a number of the recipe; there are hidden_size, "),
        ("growth=2", "not a number of the recipe"),
        ("rate=2", "not a number of the recipe"),
        ("layers=8.5", "layers takes a number like 9"),
        ("layers", "layers takes a number like 9"),
        ("draws=3", "draws is 3; it must divide 8"),
        ("layers=1", "layers is 1; patches are asked for their places after 2"),
    ],
)
def test_a_wish_that_does_not_fit_is_refused_by_name(wish: str, why: str):
    with pytest.raises(ValueError, match=why):
        changed(RECIPE, [wish])


def test_every_batch_holds_whole_scenes_with_all_their_noise_levels():
    assert all(pictures(size, tokens) % RECIPE.draws == 0 for size in SIZES for tokens in (1, 512, 32_768))


def test_plain_error_comes_in_after_the_layout_and_a_run_that_goes_on_has_it_from_the_start():
    assert [round(RECIPE.fine_share(share), 3) for share in (0, 0.35, 0.475, 0.6, 1)] == [0, 0, 0.5, 1, 1]
    assert continued(RECIPE).fine_share(0.0) == 1


def test_rates_rise_hold_and_fall_to_nothing():
    assert [round(RECIPE.rate(share), 3) for share in (0, 0.01, 0.02, 0.4, 0.875, 1)] == [0.02, 0.5, 1, 1, 0.5, 0]
    assert continued(RECIPE).muon_rate < RECIPE.muon_rate
