"""The fused blocks are the plain ones, written with fewer passes. Without a GPU, Triton interprets their kernels."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch
from torch import Tensor

from hidream_studio.model.checkpoint import Checkpoint
from hidream_studio.model.transformer import O1Transformer
from hidream_studio.model.vision import VisionTokens
from hidream_studio.model.weights import load_model

pytestmark = [
    pytest.mark.skipif(find_spec("triton") is None, reason="needs Triton"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning"),
]


def step(model: O1Transformer, rows: int, cols: int, *text_lengths: int, pictures: int = 0) -> Tensor:
    """With `pictures`, so many of 2×3 vision tokens and of 2×2 patches."""
    generator = torch.Generator().manual_seed(rows * cols)
    before, references = None, None
    if pictures:
        seen = torch.randn((6 * pictures, model.config.hidden_size), generator=generator)
        ids = [1] + [2] * len(seen)
        before = model.encode_pictures(ids, 2, VisionTokens(seen, (seen,), ((2, 3),) * pictures))
        clean = torch.randn((1, 4 * pictures, 3072), generator=generator).to(model.device)
        references = model.embed_patches(clean)
    prefixes = [model.encode_text(torch.arange(length, device=model.device)[None], before) for length in text_lengths]
    ends = torch.tensor([prefix.next_position for prefix in prefixes], device=model.device)
    rotary = model.step_rotary(ends, rows, cols, ((2, 2),) * pictures)
    patches = torch.randn((1, rows * cols, 3072), generator=generator).to(model.device)
    t = torch.tensor([0.3], device=model.device)
    return model.forward_branches(patches, t, prefixes, rotary, references).cpu()


@torch.inference_mode()
@pytest.mark.parametrize("accumulate", [True, False])
@pytest.mark.parametrize(("text_lengths", "pictures"), [((30,), 0), ((12, 5), 0), ((7, 3), 2)])
def test_fused_blocks_draw_what_plain_ones_draw(
    checkpoint: Checkpoint, model: O1Transformer, accumulate: bool, text_lengths: tuple[int, ...], pictures: int
) -> None:
    from hidream_studio.model.fused import FusedBlocks

    fused = load_model(checkpoint, "cuda" if torch.cuda.is_available() else "cpu", torch.float32)
    fused.run_blocks = FusedBlocks(fused, accumulate=accumulate, whole_tiles=False)
    expected = step(model, 2, 3, *text_lengths, pictures=pictures)
    found = step(fused, 2, 3, *text_lengths, pictures=pictures)
    assert float((found - expected).norm() / expected.norm()) < 1e-5


@torch.inference_mode()
@pytest.mark.parametrize("processors", [1, 4])  # with 1, the tms token's query would begin another wave
@pytest.mark.parametrize(("text_lengths", "pictures"), [((30,), 0), ((12, 5), 0), ((3, 9, 1), 0), ((5, 2), 1)])
def test_attention_in_parts_is_attention(
    checkpoint: Checkpoint,
    model: O1Transformer,
    monkeypatch: pytest.MonkeyPatch,
    processors: int,
    text_lengths: tuple[int, ...],
    pictures: int,
) -> None:
    from hidream_studio.model import fused as module

    def attend_cudnn(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        groups = q.shape[2] // k.shape[2]
        q, k, v = q.transpose(1, 2), *(x.repeat_interleave(groups, dim=2).transpose(1, 2) for x in (k, v))
        score = q @ k.mT / q.shape[-1] ** 0.5
        return score.softmax(dim=-1) @ v, score.logsumexp(dim=-1)

    monkeypatch.setattr(module, "_attend_cudnn", attend_cudnn)
    for name in ("KEY_TILE", "QUERY_TILE"):
        monkeypatch.setattr(module, name, 6)  # as many as there are patches: the tms token is one too many
    fused = load_model(checkpoint, "cpu", torch.float32)
    fused.run_blocks = blocks = module.FusedBlocks(fused, whole_tiles=True)
    blocks._processors = processors * len(text_lengths) * checkpoint.config.heads
    expected = step(model, 2, 3, *text_lengths, pictures=pictures)
    found = step(fused, 2, 3, *text_lengths, pictures=pictures)
    assert float((found - expected).norm() / expected.norm()) < 1e-5


@torch.inference_mode()
def test_a_trial_needs_no_weights_and_leaves_none_changed(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hidream_studio.model import fused as module
    from hidream_studio.model.fused import FusedBlocks

    monkeypatch.setattr(module, "TRIAL_ROWS", 10)  # the interpreter takes its time
    fused = load_model(checkpoint, "cpu", torch.float32)
    before = [parameter.clone() for parameter in fused.parameters()]
    FusedBlocks(fused, whole_tiles=False).try_out()
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(before, fused.parameters(), strict=True))


@torch.inference_mode()
@pytest.mark.parametrize("pictures", [0, 1])
def test_fused_fp8_blocks_quantise_alike(checkpoint: Checkpoint, model: O1Transformer, pictures: int) -> None:
    from hidream_studio.model.fused import FusedBlocks

    fused = load_model(checkpoint, "cuda" if torch.cuda.is_available() else "cpu", torch.bfloat16, fp8=True)
    fused.run_blocks = FusedBlocks(fused, whole_tiles=False)
    expected = step(model, 2, 3, 12, 5, pictures=pictures)
    found = step(fused, 2, 3, 12, 5, pictures=pictures).float()
    assert float((found - expected).norm() / expected.norm()) < 0.2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@torch.inference_mode()
@pytest.mark.parametrize(
    ("lengths", "side", "pictures"), [((63, 11), 12, 0), ((40,), 16, 0), ((700, 3), 12, 0), ((63, 11), 12, 2)]
)
def test_attention_in_whole_tiles_is_attention(lengths: tuple[int, ...], side: int, pictures: int) -> None:
    from dataclasses import replace

    from hidream_studio.model.config import CONFIG_8B
    from hidream_studio.model.fused import FusedBlocks
    from hidream_studio.model.weights import random_model

    config = replace(CONFIG_8B, hidden_size=512, layers=2, heads=4, kv_heads=2, mlp_size=1024, vocab_size=2000)
    plain = random_model(config, "cuda", torch.float32, 1)
    fast = random_model(config, "cuda", torch.bfloat16, 1)
    for theirs, ours in zip(plain.parameters(), fast.parameters(), strict=True):
        theirs.copy_(ours)
    expected = step(plain, side, side, *lengths, pictures=pictures)
    errors = {}
    for whole_tiles in (False, True):
        fast.run_blocks = FusedBlocks(fast, whole_tiles=whole_tiles)
        found = step(fast, side, side, *lengths, pictures=pictures).float()
        errors[whole_tiles] = float((found - expected).norm() / expected.norm())
    assert errors[True] < 1.1 * errors[False] < 0.03
