"""Noise is upstream's at the size that it is drawn for, and linked noise is white at every other, with one layout."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from hidream_studio.job.profiles import UPSTREAM_BUCKETS
from hidream_studio.job.sizes import closest_bucket
from hidream_studio.sampler.noise import flash_noise, initial_noise, resample_noise

SEED = 42
# buckets and their halves and three quarters; above a bucket; ratios that no bucket has; bridges at every edge
SIZES = [
    (1024, 1024), (1536, 1536), (2048, 2048), (2304, 1728), (1152, 864), (1728, 1296),
    (2080, 2048), (992, 992), (1376, 768), (320, 1408), (1760, 416),
]  # fmt: skip


def linked(width: int, height: int, seed: int = SEED) -> Tensor:
    return initial_noise(seed, width, height, 1.0, "linked", UPSTREAM_BUCKETS)


def upstream(width: int, height: int, seed: int = SEED) -> Tensor:
    return torch.randn((1, 3, height, width), generator=torch.Generator("cpu").manual_seed(seed + 1))


def layout(noise: Tensor) -> Tensor:  # (1, 3, 32, 32)
    """Block sums on a grid of 32×32; a cell that an edge cuts goes to both sides by its shares."""
    height, width = noise.shape[2:]
    return shares(height) @ noise @ shares(width).T


def shares(cells: int) -> Tensor:  # (32, cells)
    """How much of each cell lies in each of 32 equal parts."""
    edges, starts = torch.arange(33) * (cells / 32), torch.arange(cells)
    return (torch.minimum(edges[1:, None], starts + 1) - torch.maximum(edges[:-1, None], starts)).clamp(min=0)


def correlation(a: Tensor, b: Tensor) -> float:
    a, b = a.double().flatten(), b.double().flatten()
    return float(a @ b / (a.norm() * b.norm()))


@pytest.fixture(scope="module", params=SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def linked_noise(request: pytest.FixtureRequest) -> Tensor:  # (1, 3, height, width)
    return linked(*request.param)


def test_linked_noise_is_white_at_every_size(linked_noise: Tensor) -> None:
    noise = linked_noise[0]
    assert noise.dtype == torch.float32
    # the bounds are those of 1024² and more; fewer values may scatter more (5 standard errors)
    error = 1 / math.sqrt(noise.numel())
    assert abs(float(noise.mean())) < max(0.005, 5 * error)
    assert abs(float(noise.var()) - 1) < max(0.01, 5 * math.sqrt(2) * error)
    neighbours = {
        "below": (noise[:, 1:], noise[:, :-1]), "right": (noise[:, :, 1:], noise[:, :, :-1]),
        "diagonal": (noise[:, 1:, 1:], noise[:, :-1, :-1]), "other diagonal": (noise[:, 1:, :-1], noise[:, :-1, 1:]),
        "second below": (noise[:, 2:], noise[:, :-2]), "second right": (noise[:, :, 2:], noise[:, :, :-2]),
        "channel": (noise[1:], noise[:-1]),
    }  # fmt: skip
    worst = max(abs(correlation(a, b)) for a, b in neighbours.values())
    assert worst < max(0.005, 5 * error)


def test_linked_noise_has_its_buckets_layout(linked_noise: Tensor) -> None:
    height, width = linked_noise.shape[2:]
    bucket = closest_bucket(width, height, UPSTREAM_BUCKETS)
    assert correlation(layout(linked_noise), layout(upstream(*bucket))) >= 0.99


def test_every_row_and_column_has_variance_one() -> None:
    """Where a bridge were wrong, the rows that its edges touch would tell: 1536 of 2048 has one in every third row."""
    noise = linked(1536, 1536)[0]
    for dim in (1, 2):
        for phase in range(3):
            index = torch.arange(phase, 1536, 3)
            assert abs(float(noise.index_select(dim, index).var()) - 1) < 0.01


@pytest.mark.parametrize(("width", "height"), [(2048, 2048), (2560, 1440), (1312, 3104)])
def test_at_the_buckets_own_size_linked_noise_is_upstreams_bit_for_bit(width: int, height: int) -> None:
    assert torch.equal(linked(width, height), upstream(width, height))


def test_at_half_the_size_linked_noise_is_block_sums_divided_by_two() -> None:
    blocks = upstream(2048, 2048).reshape(1, 3, 1024, 2, 1024, 2)
    assert torch.allclose(linked(1024, 1024), blocks.sum((3, 5)) / 2, atol=1e-5)


def test_upstream_noise_is_drawn_at_the_size_itself() -> None:
    assert torch.equal(initial_noise(SEED, 416, 256, 8.0, "upstream", UPSTREAM_BUCKETS), 8.0 * upstream(416, 256))


def test_plain_seeds_share_no_layout_but_linked_ones_do() -> None:
    plain = initial_noise(SEED, 1024, 1024, 1.0, "upstream", UPSTREAM_BUCKETS)
    assert abs(correlation(layout(plain), layout(upstream(2048, 2048)))) < 0.1
    assert correlation(layout(linked(1024, 1024)), layout(linked(1536, 1536))) > 0.99


def test_another_seed_is_other_noise_and_the_same_is_the_same() -> None:
    assert torch.equal(linked(992, 992), linked(992, 992))
    assert abs(correlation(linked(992, 992), linked(992, 992, seed=SEED + 1))) < 0.01


def test_noise_larger_than_its_source_sums_back_to_it() -> None:
    generator = torch.Generator().manual_seed(3)
    coarse = torch.randn((1, 3, 20, 6), generator=generator)
    fine = resample_noise(coarse, 60, 2, generator)
    assert torch.allclose(fine.reshape(1, 3, 20, 3, 6).sum(3) / math.sqrt(3), coarse, atol=1e-5)


def test_flash_noise_is_upstreams_clipped_to_two_and_a_half_deviations() -> None:
    draw = flash_noise(SEED, (1, 64, 3072), torch.device("cpu"))
    generator = torch.Generator().manual_seed(SEED + 1)
    for _ in range(2):
        noise = torch.randn((1, 64, 3072), generator=generator)
        limit = float(2.5 * noise.std())
        assert torch.equal(draw(), noise.clamp(-limit, limit))
