"""The measure of clean outlines sees what an eye would see."""

from __future__ import annotations

import numpy as np
import pytest

from o1_tiny.training.cleanness import HALO_PX, PATCH, PROMPTS, SMALL_THINGS, cleanness, halo
from o1_tiny.world.render import coverage

SIDE = 256
RED, BLUE = np.array([214.0, 40, 57]), np.array([38.0, 89, 217])


def circle(bend_px: float = 0.0, lobes: int = 3) -> np.ndarray:
    """A red circle of a radius that follows the direction, on blue."""
    x, y = np.meshgrid(np.arange(SIDE) - SIDE / 2 + 0.5, np.arange(SIDE) - SIDE / 2 + 0.5)
    radius = 70 + bend_px * 2**0.5 * np.sin(lobes * np.arctan2(y, x))
    share = coverage(np.hypot(x, y) - radius)[..., None]
    return np.round(BLUE + (RED - BLUE) * share).astype(np.uint8)


def test_a_true_circle_is_clean():
    found = cleanness(circle())
    assert found.outline_px < 0.05 and found.bulge_px < 0.15 and found.grid_levels < 0.05


@pytest.mark.parametrize("bend", [0.4, 1.0, 2.0])
def test_a_bent_outline_is_measured_in_pixels(bend):
    found = cleanness(circle(bend))
    assert found.outline_px == pytest.approx(bend, rel=0.1)
    assert found.bulge_px == pytest.approx(bend * 2**0.5, rel=0.15)


def test_a_grid_on_the_background_is_measured_in_levels():
    picture = circle().astype(np.float32)
    random = np.random.default_rng(1)
    off = random.normal(0, 3, (SIDE // PATCH, SIDE // PATCH, 3)).repeat(PATCH, axis=0).repeat(PATCH, axis=1)
    found = cleanness((picture + off).clip(0, 255).round().astype(np.uint8))
    assert found.grid_levels == pytest.approx(3, rel=0.3)


def test_without_a_circle_there_is_nothing_to_measure():
    assert cleanness(np.full((SIDE, SIDE, 3), 90, np.uint8)) is None
    everywhere = circle()
    everywhere[:, : SIDE // 2] = RED.astype(np.uint8)
    assert cleanness(everywhere) is None


def small_thing(around: float = 0.0) -> np.ndarray:
    """A red circle on blue; the four patches that it stands on are off by so many levels."""
    x, y = np.meshgrid(np.arange(SIDE) - SIDE / 2 + 0.5, np.arange(SIDE) - SIDE / 2 + 0.5)
    share = coverage(np.hypot(x, y) - 24)[..., None]
    back = BLUE + around * (np.maximum(np.abs(x), np.abs(y)) < PATCH)[..., None]
    return np.round(back + (RED - back) * share).astype(np.uint8)


def test_a_halo_is_measured_as_a_share_of_what_is_around():
    assert halo(small_thing()) == 0
    assert halo(small_thing(around=5)) == 0  # nobody sees that
    clear, seen = (24 + px for px in HALO_PX)
    corners = (2 * PATCH) ** 2 - np.pi * clear**2  # of the patches, outside of the thing and its edge
    assert halo(small_thing(around=12)) == pytest.approx(corners / (np.pi * (seen**2 - clear**2)), rel=0.3)


def test_without_a_small_thing_there_is_no_halo():
    nothing = np.random.default_rng(0).integers(99, 102, (SIDE, SIDE, 3), dtype=np.uint8)
    assert halo(nothing) is None


def test_the_prompts_ask_for_what_is_measured():
    assert len(set(SMALL_THINGS)) == 12 and all(prompt.startswith("a small") for prompt in SMALL_THINGS)
    assert len(set(PROMPTS)) == 8
    assert all("large" in prompt and "circle in the center" in prompt for prompt in PROMPTS)
