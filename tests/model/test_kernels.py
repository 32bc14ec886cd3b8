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


def test_heads_are_normed_turned_and_put_before_the_texts(kernels: ModuleType) -> None:
    S, T, heads, kv_heads, head_dim = 6, 3, 6, 3, 32
    qkv, angle = noise(S, (heads + 2 * kv_heads) * head_dim), noise(S, 1, head_dim // 2, seed=2).repeat(1, 1, 2)
    q_norm, k_norm = noise(head_dim, seed=3), noise(head_dim, seed=4)
    text = noise(T, kv_heads, head_dim, seed=5), noise(T, kv_heads, head_dim, seed=6)
    q = torch.full((S, heads, head_dim), torch.nan, device=DEVICE)
    k, v = (torch.full((S + T, kv_heads, head_dim), torch.nan, device=DEVICE) for _ in range(2))
    cos, sin = angle.cos(), angle.sin()
    kernels.rotate_heads(qkv, (q_norm, k_norm), (cos, sin), text, 1e-6, q, k, v)
    own_q, own_k, own_v = qkv.unflatten(-1, (-1, head_dim)).split((heads, kv_heads, kv_heads), dim=1)
    normed_q, normed_k = F.rms_norm(own_q, (head_dim,), q_norm, 1e-6), F.rms_norm(own_k, (head_dim,), k_norm, 1e-6)
    assert error(q, rotate(normed_q, cos, sin)) < 1e-6
    assert error(k, torch.cat((rotate(normed_k, cos, sin), text[0]))) < 1e-6
    assert torch.equal(v, torch.cat((own_v, text[1])))


@pytest.mark.parametrize("tail", [1, 64, 70])
def test_attention_over_the_first_keys_is_finished_with_the_last(kernels: ModuleType, tail: int) -> None:
    S, heads, kv_heads, head_dim, first = 70, 4, 2, 32, 40
    q = 2 * noise(S, heads, head_dim)
    k, v = 2 * noise(first + tail, kv_heads, head_dim, seed=2), noise(first + tail, kv_heads, head_dim, seed=3)

    def attention(last: int) -> tuple[Tensor, Tensor]:  # (heads, S, head_dim), (heads, S)
        keys, values = (x[:last].repeat_interleave(heads // kv_heads, dim=1).transpose(0, 1) for x in (k, v))
        score = q.transpose(0, 1) @ keys.transpose(1, 2) / head_dim**0.5
        return score.softmax(dim=-1) @ values, score.logsumexp(dim=-1)

    out = torch.full_like(q, torch.nan)
    partial, log_sum = attention(first)
    kernels.finish_attention(q, k, v, first, partial, log_sum, out)
    assert error(out, attention(first + tail)[0].transpose(0, 1)) < 1e-5
