"""LoRAs beside the weights compute what merged weights compute, and leave the weights as they are."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from hidream_studio.errors import LoraError
from hidream_studio.model.checkpoint import Checkpoint, open_checkpoint
from hidream_studio.model.lora import Loras, Used, load_lora, stack, stacked_bytes
from hidream_studio.model.lora_file import read_lora
from hidream_studio.model.transformer import O1Transformer
from hidream_studio.model.weights import load_model
from lora_making import SPELLINGS, linears, make_lora, merge

STRENGTH = 0.7


def step(model: O1Transformer, loras: Loras | None, *lengths: int, pictures: bool = False, side: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    references = None
    if pictures:
        references = model.embed_patches(torch.randn((1, 4, 3072), generator=generator).to(model.device), loras)
    prefixes = [model.encode_text(torch.arange(length, device=model.device)[None], None, loras) for length in lengths]
    ends = torch.tensor([prefix.next_position for prefix in prefixes], device=model.device)
    rotary = model.step_rotary(ends, side, side, ((2, 2),) if pictures else ())
    patches = torch.randn((1, side * side, 3072), generator=generator).to(model.device)
    t = torch.tensor([0.3], device=model.device)
    return model.forward_branches(patches, t, prefixes, rotary, references, loras).cpu()


def used(path: Path, checkpoint: Checkpoint, strength: float) -> Used:
    return load_lora(read_lora(path, checkpoint.config)), strength


def stacked(model: O1Transformer, *loras: Used, fp8: bool = False) -> Loras:
    return stack(loras, model.config, "key", model.device, model.dtype, fp8=fp8)


def error(found: Tensor, expected: Tensor) -> float:
    return float((found.float() - expected).norm() / expected.norm())


@torch.inference_mode()
@pytest.mark.parametrize(("trainer", "alpha"), [(trainer, None) for trainer in SPELLINGS] + [("musubi", 1.0)])
def test_a_lora_beside_the_weights_computes_what_merged_weights_do(
    trainer: str, alpha: float | None, checkpoint: Checkpoint, model: O1Transformer, tmp_path: Path
) -> None:
    change = make_lora(tmp_path / "x.safetensors", checkpoint, 5, trainer=trainer, alpha=alpha)
    merged = load_model(
        open_checkpoint(str(merge(tmp_path / "m", checkpoint, (change, STRENGTH)))), "cpu", torch.float32
    )
    base, expected = step(model, None, 9, 4, pictures=True), step(merged, None, 9, 4, pictures=True)
    loras = stacked(model, used(tmp_path / "x.safetensors", checkpoint, STRENGTH))
    assert error(step(model, loras, 9, 4, pictures=True), expected) < 1e-5
    assert error(base, expected) > 0.01  # it changes something
    assert torch.equal(step(model, None, 9, 4, pictures=True), base)  # and no weight


@torch.inference_mode()
def test_several_loras_add_up_in_any_order(checkpoint: Checkpoint, model: O1Transformer, tmp_path: Path) -> None:
    only = [name for name in linears(checkpoint) if "k_proj" in name or "up_proj" in name or "layers.0" in name]
    one = make_lora(tmp_path / "one.safetensors", checkpoint, 1, rank=3)
    two = make_lora(tmp_path / "two.safetensors", checkpoint, 2, rank=20, only=only, trainer="musubi")
    changes = (one, 1.0), (two, -0.5)
    merged = load_model(open_checkpoint(str(merge(tmp_path / "m", checkpoint, *changes))), "cpu", torch.float32)
    loras = [used(tmp_path / "one.safetensors", checkpoint, 1.0), used(tmp_path / "two.safetensors", checkpoint, -0.5)]
    expected = step(merged, None, 9)
    for order in (loras, loras[::-1]):
        both = stacked(model, *order)
        assert error(step(model, both, 9), expected) < 1e-5
        assert both.nbytes == stacked_bytes([tensors.file for tensors, _ in order], model.config, 4)


FUSED = [
    pytest.mark.skipif(find_spec("triton") is None, reason="needs Triton"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning"),
]


@torch.inference_mode()
@pytest.mark.parametrize("accumulate", [pytest.param(True, marks=FUSED), pytest.param(False, marks=FUSED)])
def test_fused_blocks_have_them_beside_too(
    accumulate: bool, checkpoint: Checkpoint, model: O1Transformer, tmp_path: Path
) -> None:
    from hidream_studio.model.fused import FusedBlocks

    make_lora(tmp_path / "x.safetensors", checkpoint, 5)
    one = used(tmp_path / "x.safetensors", checkpoint, STRENGTH)
    fused = load_model(checkpoint, "cuda" if torch.cuda.is_available() else "cpu", torch.float32)
    fused.run_blocks = FusedBlocks(fused, accumulate=accumulate, whole_tiles=False)
    expected = step(model, stacked(model, one), 3, side=1)  # the interpreter takes its time
    assert error(step(fused, stacked(fused, one), 3, side=1), expected) < 1e-5


@torch.inference_mode()
@pytest.mark.parametrize("plain", [True, pytest.param(False, marks=FUSED)])
def test_in_8_bits_they_change_as_much(
    plain: bool, checkpoint: Checkpoint, model: O1Transformer, tmp_path: Path
) -> None:
    make_lora(tmp_path / "x.safetensors", checkpoint, 5)
    one = used(tmp_path / "x.safetensors", checkpoint, STRENGTH)
    fp8 = load_model(checkpoint, "cuda" if torch.cuda.is_available() else "cpu", torch.bfloat16, fp8=True)
    if not plain:
        from hidream_studio.model.fused import FusedBlocks

        fp8.run_blocks = FusedBlocks(fp8, whole_tiles=False)
    expected = step(model, stacked(model, one), 3, side=1)
    with_it = stacked(fp8, one, fp8=True)
    assert with_it.nbytes == stacked_bytes([one[0].file], fp8.config, 2, fp8=True)
    found, without = step(fp8, with_it, 3, side=1), step(model, None, 3, side=1)
    assert error(found, expected) < error(without, expected) / 2


def test_what_is_no_number_is_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    make_lora(path, checkpoint, 5)
    tensors: dict[str, Tensor] = load_file(path)
    next(iter(tensors.values()))[0, 0] = float("nan")
    save_file(tensors, path)
    with pytest.raises(LoraError, match=r"x\.safetensors: .*NaN"):
        load_lora(read_lora(path, checkpoint.config))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_every_kind_of_float_is_read(dtype: torch.dtype, checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    make_lora(path, checkpoint, 5)
    wide = load_lora(read_lora(path, checkpoint.config)).tensors
    save_file({key: tensor.to(dtype) for key, tensor in load_file(path).items()}, path)
    found = load_lora(read_lora(path, checkpoint.config)).tensors
    pairs: Sequence[tuple[Tensor, Tensor]] = [(found[name][0], wide[name][0]) for name in wide]
    assert all(torch.equal(ours, theirs.to(dtype)) for ours, theirs in pairs)
