"""torch.compile for the decoder's blocks, one by one: 36 equal layers are compiled once. Knows nothing of pictures.

The lengths of sequence and texts are symbols from the start, so that another picture size or prompt neither compiles
again nor falls back to eager. Only the number of branches is fixed: a step with guidance is a second compilation.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hidream_studio.model.attention import attend
from hidream_studio.model.transformer import Block, O1Transformer

RECOMPILE_LIMIT = 64  # torch's 8 would end in eager code, quietly


def can_compile() -> bool:
    """Whether this machine has what compiling for CUDA takes."""
    return importlib.util.find_spec("triton") is not None


def keep_compiled_code(folder: Path) -> None:
    """Keep what is compiled in `folder`, over restarts and reboots, unless the environment names another place."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder))  # torch's own default is below /tmp


def compile_blocks(
    model: O1Transformer, *, backend: str | Callable[..., Any] = "inductor", mode: str | None = None
) -> None:
    """Replace each block's forward by one compiled function, which is compiled at its first call."""
    torch._dynamo.config.recompile_limit = max(RECOMPILE_LIMIT, torch._dynamo.config.recompile_limit)
    forward = torch.compile(Block.forward, backend=backend, mode=mode)
    for block in model.blocks:
        block.attend = _attend_unseen  # type: ignore[assignment]
        block.forward = partial(_with_free_lengths, forward, block)


@torch.library.custom_op("hidream_studio::attend", mutates_args=())
def _attend_opaque(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return attend(q, k, v)


@_attend_opaque.register_fake
def _(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return q.new_empty((q.shape[0], q.shape[1], q.shape[2] * q.shape[3]))


def _attend_unseen(q: Tensor, k: Tensor, v: Tensor, *, key_mask: Tensor | None = None) -> Tensor:
    """Attention whose kernel is chosen at each call, not once while compiling, where lengths are only symbols."""
    if key_mask is not None:
        return attend(q, k, v, key_mask=key_mask)
    out: Tensor = _attend_opaque(q, k, v)
    return out


def _with_free_lengths(
    forward: Callable[..., Tensor],
    block: nn.Module,
    x: Tensor,
    cos: Tensor,
    sin: Tensor,
    texts: Sequence[tuple[Tensor, Tensor]],
    key_mask: Tensor | None = None,
) -> Tensor:
    # not dynamic=True: that would turn eps, a float, into a tensor on the host, too
    for tensor in (x, cos, sin, *(tensor for text in texts for tensor in text)):
        if not hasattr(tensor, "_dynamo_dynamic_indices"):
            torch._dynamo.mark_dynamic(tensor, 1)
    return forward(block, x, cos, sin, texts, key_mask)
