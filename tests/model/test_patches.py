"""Patches are upstream's: row-major, each flattened as channel, row, column."""

from __future__ import annotations

import numpy as np
import torch

from hidream_studio.model.patches import from_uint8, patchify, to_uint8, unpatchify


def test_a_patch_holds_channel_row_and_column_in_this_order() -> None:
    pixels = torch.arange(3 * 64 * 96).reshape(1, 3, 64, 96)
    patches = patchify(pixels)
    assert patches.shape == (1, 6, 3072)
    assert patches[0, 4, 1 * 1024 + 7 * 32 + 9] == pixels[0, 1, 32 + 7, 32 + 9]


def test_unpatchify_undoes_patchify() -> None:
    pixels = torch.randn(2, 3, 64, 96)
    assert torch.equal(unpatchify(patchify(pixels), 2, 3), pixels)


def test_every_level_survives_the_way_to_patches_and_back() -> None:
    levels = np.arange(256, dtype=np.uint8).repeat(12 * 32 // 8).reshape(-1)[: 32 * 64 * 3].reshape(32, 64, 3)
    full = np.concatenate([levels, np.flip(255 - levels, axis=0)])
    assert np.array_equal(to_uint8(from_uint8(full), 2, 2), full)


def test_what_lies_outside_the_range_is_clipped() -> None:
    patches = torch.tensor([-3.0, 5.0]).repeat(1536)[None, None]
    picture = to_uint8(patches, 1, 1)
    assert set(np.unique(picture)) == {0, 255}
