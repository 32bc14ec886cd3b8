"""Compiled blocks draw the same, and no size, prompt or layer is ever compiled for itself."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, fx

from hidream_studio.model.checkpoint import Checkpoint
from hidream_studio.model.compiled import compile_blocks
from hidream_studio.model.transformer import O1Transformer
from hidream_studio.model.weights import load_model


def step(model: O1Transformer, rows: int, cols: int, *text_lengths: int) -> Tensor:
    generator = torch.Generator().manual_seed(rows * cols)
    prefixes = [model.encode_text(torch.arange(length)[None]) for length in text_lengths]
    rotary = model.step_rotary(torch.tensor(text_lengths), rows, cols)
    patches = torch.randn((1, rows * cols, 3072), generator=generator)
    return model.forward_branches(patches, torch.tensor([0.3]), prefixes, rotary)


@torch.inference_mode()
def test_all_layers_sizes_and_prompts_share_one_compilation_for_each_number_of_branches(
    checkpoint: Checkpoint, model: O1Transformer
) -> None:
    graphs: list[fx.GraphModule] = []

    def count(graph: fx.GraphModule, _: list[Tensor]):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    compiled = load_model(checkpoint, "cpu", torch.float32)
    compile_blocks(compiled, backend=count)
    for rows, cols in ((8, 8), (8, 13), (16, 16), (5, 7)):
        for text_lengths in ((30,), (41, 12), (17, 17), (3,)):
            assert torch.equal(step(compiled, rows, cols, *text_lengths), step(model, rows, cols, *text_lengths))
    assert len(graphs) == 2


@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")  # torch's own, on importing its compiler
@torch.inference_mode()
def test_compiled_code_computes_the_same_up_to_rounding(checkpoint: Checkpoint, model: O1Transformer) -> None:
    torch._dynamo.reset()
    compiled = load_model(checkpoint, "cpu", torch.float32)
    compile_blocks(compiled)
    expected = step(model, 8, 9, 20, 5)
    assert float((step(compiled, 8, 9, 20, 5) - expected).norm() / expected.norm()) < 1e-5
