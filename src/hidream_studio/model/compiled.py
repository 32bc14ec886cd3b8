"""torch.compile for the decoder's blocks, one by one: 36 equal layers are compiled once. Knows nothing of sizes.

Batch, sequence and text length are symbols from the start, so that another picture size or prompt neither compiles
again nor falls back to eager.
"""

from __future__ import annotations

import importlib.util

from hidream_studio.model.transformer import O1Transformer


def can_compile() -> bool:
    """Whether this machine has what compiling for CUDA takes."""
    return importlib.util.find_spec("triton") is not None


def compile_blocks(model: O1Transformer) -> None:
    """Compile each block's forward in place, at its first call."""
    for block in model.blocks:
        block.compile(dynamic=True)
