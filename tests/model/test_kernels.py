"""What stands between matrix products computes what torch's functions say. Without a GPU, Triton interprets it."""

from __future__ import annotations

from importlib.util import find_spec
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from hidream_studio.model.fp8 import quantise
from hidream_studio.model.positions import rotate

pytestmark = [
    pytest.mark.skipif(find_spec("triton") is None, reason="needs Triton"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning"),
]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(scope="module")
def kernels() -> ModuleType:
    from hidream_studio.model import kernels

    return kernels


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)


def error(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected.double()).norm() / expected.double().norm())


@pytest.mark.parametrize("width", [96, 512])
def test_the_stream_takes_a_layers_output_and_is_normed(kernels: ModuleType, width: int) -> None:
    x, delta, weight = noise(5, width), noise(5, width, seed=2), noise(width, seed=3)
    expected = F.rms_norm(x + delta, (width,), weight, 1e-6)
    stream = x.clone()
    assert error(kernels.add_rms_norm(stream, delta, weight, 1e-6, fp8=False), expected) < 1e-6
    assert torch.equal(stream, x + delta)
    assert error(kernels.add_rms_norm(stream, None, weight, 1e-6, fp8=False), expected) < 1e-6
    assert torch.equal(stream, x + delta)


def test_rows_of_any_width_get_a_number_of_warps_that_triton_takes(kernels: ModuleType) -> None:
    found = [kernels._warps(width) for width in (96, 960, 1536, 2560, 4096, 12288)]  # the interpreter ignores them
    assert found == [1, 1, 2, 4, 8, 8]


def test_swiglu_multiplies_its_halves(kernels: ModuleType) -> None:
    wide = noise(7, 2 * 96)
    gate, up = wide.chunk(2, dim=-1)
    assert error(kernels.silu_times(wide, fp8=False), F.silu(gate) * up) < 1e-6


def test_rows_leave_quantised_as_torch_would_quantise_them(kernels: ModuleType) -> None:
    x, weight = noise(6, 96) * torch.tensor([1e-8, 1.0, 0.0, 1e4, 3.0, 1e-2], device=DEVICE)[:, None], noise(96, seed=3)
    wide = noise(6, 192)
    gate, up = wide.chunk(2, dim=-1)
    for found, expected in (
        (kernels.quantise_rows(x), x),
        (kernels.add_rms_norm(x, None, weight, 1e-6, fp8=True), F.rms_norm(x, (96,), weight, 1e-6)),
        (kernels.silu_times(wide, fp8=True), F.silu(gate) * up),
    ):
        x8, scale = quantise(expected)
        assert error(found[1], scale) < 1e-5
        # a value in the middle between two steps may go either way, and the interpreter cuts instead of rounding
        assert error(found[0].float() * found[1], x8.float() * scale) < (5e-3 if DEVICE == "cuda" else 0.06)


@pytest.mark.parametrize("lengths", [(3,), (3, 1), (1, 4, 2)])
def test_heads_are_normed_turned_and_put_before_the_texts(kernels: ModuleType, lengths: tuple[int, ...]) -> None:
    S, B, heads, kv_heads, head_dim = 6, len(lengths), 6, 3, 32
    qkv, angle = (
        noise(B * S, (heads + 2 * kv_heads) * head_dim),
        noise(B, S, 1, head_dim // 2, seed=2).repeat(1, 1, 1, 2),
    )
    q_norm, k_norm = noise(head_dim, seed=3), noise(head_dim, seed=4)
    texts = [tuple(noise(1, T, kv_heads, head_dim, seed=10 * T + part) for part in (0, 1)) for T in lengths]
    q = torch.full((B, S, heads, head_dim), torch.nan, device=DEVICE)
    k, v = (torch.full((B, S + max(lengths), kv_heads, head_dim), torch.nan, device=DEVICE) for _ in range(2))
    cos, sin = angle.cos(), angle.sin()
    kernels.rotate_heads(qkv, (q_norm, k_norm), (cos, sin), texts, 1e-6, q, k, v)
    split = qkv.view(B, S, -1, head_dim).split((heads, kv_heads, kv_heads), dim=2)
    normed_q, normed_k = (
        F.rms_norm(split[0], (head_dim,), q_norm, 1e-6),
        F.rms_norm(split[1], (head_dim,), k_norm, 1e-6),
    )
    assert error(q, rotate(normed_q, cos, sin)) < 1e-6
    turned = rotate(normed_k, cos, sin)
    for b, T in enumerate(lengths):
        assert error(k[b, : S + T], torch.cat((turned[b], texts[b][0][0]))) < 1e-6
        assert torch.equal(v[b, : S + T], torch.cat((split[2][b], texts[b][1][0])))


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("tails", [(1,), (64, 1), (3, 70, 5)])
def test_attention_over_the_first_keys_is_finished_with_the_last(
    kernels: ModuleType, tails: tuple[int, ...], alone: bool
) -> None:
    S, B, heads, kv_heads, head_dim, first = 70, len(tails), 4, 2, 32, 40
    q = 2 * noise(B, S, heads, head_dim)
    k, v = (2 * noise(B, first + max(tails), kv_heads, head_dim, seed=2 + part) for part in (0, 1))

    def attention(b: int, last: int) -> tuple[Tensor, Tensor]:  # (heads, S, head_dim), (heads, S)
        keys, values = (x[b, :last].repeat_interleave(heads // kv_heads, dim=1).transpose(0, 1) for x in (k, v))
        score = q[b].transpose(0, 1) @ keys.transpose(1, 2) / head_dim**0.5
        return score.softmax(dim=-1) @ values, score.logsumexp(dim=-1)

    expected = torch.stack([attention(b, first + tail)[0].transpose(0, 1) for b, tail in enumerate(tails)])
    firsts = [attention(b, first) for b in range(B)]
    partial, log_sum = (torch.stack([one[part] for one in firsts])[:, :, int(alone) :] for part in (0, 1))
    kernels.finish_attention(q, k, v, [first + tail for tail in tails], first, partial, log_sum)
    assert error(q, expected) < 1e-5
