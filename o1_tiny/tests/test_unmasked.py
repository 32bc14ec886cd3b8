"""Attention without a mask sees what masked attention sees. Without a GPU, sums stand for flash attention's kernel."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from hidream_studio.model.attention import attend
from hidream_studio.model.transformer import O1Transformer
from o1_tiny.training.recipe import TINY
from o1_tiny.training.trainee import Angles, eager, parts, predict
from o1_tiny.training.unmasked import UnmaskedKeys, attend_unmasked

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def flash(q: Tensor, k: Tensor, v: Tensor, query_starts: Tensor, key_starts: Tensor, *_: Any) -> tuple[Tensor]:
    """Each sequence by itself, (tokens, heads, head_dim), as `_flash_attention_forward` has them."""
    out = torch.full(q.shape, torch.nan)
    for index in range(len(query_starts) - 1):
        own, seen = (slice(int(starts[index]), int(starts[index + 1])) for starts in (query_starts, key_starts))
        heads = (x[None].transpose(1, 2).float() for x in (q[own], k[seen], v[seen]))
        out[own] = F.scaled_dot_product_attention(*heads, enable_gqa=True).transpose(1, 2)[0]
    return (out,)


@pytest.fixture(autouse=True)
def kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    if DEVICE.type == "cpu":
        monkeypatch.setattr(torch.ops.aten, "_flash_attention_forward", flash)


def error(found: Tensor, expected: Tensor) -> float:
    return float((found.float() - expected).norm() / expected.norm())


def test_it_is_attention_with_a_mask():
    torch.manual_seed(0)
    B, T, S, heads, kv_heads, head_dim = 3, 8, 24, 4, 2, 64
    lengths = torch.tensor([8, 1, 5], device=DEVICE)
    q, k, v = (torch.randn(B, *shape, head_dim, device=DEVICE) for shape in ((S, heads), *[(T + S, kv_heads)] * 2))
    mask = F.pad(torch.arange(T, device=DEVICE) < lengths[:, None], (0, S), value=True)
    found = attend_unmasked(q, k, v, key_mask=UnmaskedKeys.of(lengths, T, S))
    assert error(found, attend(q, k, v, key_mask=mask)) < 0.01


@pytest.mark.skipif(DEVICE.type != "cpu", reason="in float32; on a GPU training runs in bf16")
def test_training_without_masks_predicts_what_it_predicts_with_them():
    torch.manual_seed(0)
    model, run = O1Transformer(TINY.config(960)), parts(eager)
    for parameter in model.parameters():
        parameter.data.normal_(std=0.05) if parameter.ndim > 1 else parameter.data.uniform_(0.5, 1.5)
    ids, mask = torch.randint(960, (2, 9)), torch.arange(9) < torch.tensor([[9], [4]])
    patches, t = torch.randn(4, 6, 3072), torch.rand(4)
    with torch.no_grad():
        masked = predict(model, run, Angles(model, 16), ids, mask, patches, t, 2, 3, draws=2)
        for block in model.blocks:
            block.attend = attend_unmasked  # type: ignore[assignment]
        found = predict(model, run, Angles(model, 16), ids, mask, patches, t, 2, 3, draws=2)
    assert 0 < error(found, masked) < 0.01
