"""The single files of other tools, written here as they write them, give upstream's pictures; wrong ones one sentence.

Keys and dtypes as in Comfy-Org's repackaging of this model and in ComfyUI's QUANTIZATION.md.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from hidream_studio.errors import CheckpointError
from hidream_studio.model.checkpoint import Checkpoint, open_checkpoint, open_tower
from hidream_studio.model.convert import convert
from hidream_studio.model.dequantise import block_scales, hadamard
from hidream_studio.model.fp8 import FP8_MAX
from hidream_studio.model.transformer import O1Transformer
from hidream_studio.model.weights import export_state_dict, load_model, load_tower

State = dict[str, Tensor]


def quantised_layers(state: Mapping[str, Tensor]) -> list[str]:
    """Matrices of the decoder's layers, as such files quantise them."""
    return [key.removesuffix(".weight") for key in state if ".layers." in key and state[key].ndim == 2]


def as_json(**values: object) -> Tensor:
    return torch.tensor(list(json.dumps(values).encode()), dtype=torch.uint8)


def fp8_scaled(state: State, *, scale_key: str = "weight_scale", mark: bool = True) -> State:
    for layer in quantised_layers(state):
        weight = state[f"{layer}.weight"].float()
        scale = weight.abs().max() / FP8_MAX
        state[f"{layer}.weight"] = (weight / scale).to(torch.float8_e4m3fn)
        state[f"{layer}.{scale_key}"] = scale
        if mark:
            state[f"{layer}.comfy_quant"] = as_json(format="float8_e4m3fn")
    return state


def old_fp8_scaled(state: State) -> State:
    fp8_scaled(state, scale_key="scale_weight", mark=False)
    for layer in quantised_layers(state):
        state[f"{layer}.scale_input"] = torch.tensor(1.0)
    state["scaled_fp8"] = torch.empty(0, dtype=torch.float8_e4m3fn)
    return state


def tiles(scales: Tensor) -> Tensor:
    """As cuBLAS reads them, written out slowly: row r, column c of a tile stands at (r % 32, 4 (r // 32) + c)."""
    rows, columns = scales.shape
    high, wide = -(rows // -128), -(columns // -4)
    found = torch.zeros((high, wide, 32, 16), dtype=torch.uint8)
    for r in range(rows):
        for c in range(columns):
            found[r // 128, c // 4, r % 32, 4 * (r % 128 // 32) + c % 4] = scales[r, c]
    return found.reshape(high * 128, wide * 4)


def mxfp8(state: State) -> State:
    for layer in quantised_layers(state):
        weight = state[f"{layer}.weight"].float()
        blocks = weight.view(weight.shape[0], -1, 32)
        exponent = torch.ceil(torch.log2(blocks.abs().amax(-1) / FP8_MAX)).clamp(-127, 127)
        scaled = blocks / torch.exp2(exponent)[..., None]
        state[f"{layer}.weight"] = scaled.view(weight.shape).to(torch.float8_e4m3fn)
        state[f"{layer}.weight_scale"] = tiles((exponent + 127).to(torch.uint8))
        state[f"{layer}.comfy_quant"] = as_json(format="mxfp8")
    return state


def int8(state: State, *, by_row: bool = True, rotated: int = 0) -> State:
    for layer in quantised_layers(state):
        weight = state[f"{layer}.weight"].float()
        told: dict[str, object] = {"format": "int8_tensorwise"}
        if rotated:
            weight = (weight.view(-1, rotated) @ hadamard(rotated).T).view(weight.shape)
            told |= {"convrot": True, "convrot_groupsize": rotated}
        largest = weight.abs().amax(dim=1, keepdim=True) if by_row else weight.abs().max()
        scale = largest / 127
        state[f"{layer}.weight"] = (weight / scale).round().clamp(-127, 127).to(torch.int8)
        state[f"{layer}.weight_scale"] = scale
        state[f"{layer}.comfy_quant"] = as_json(**told)
    return state


QUANTISED: dict[str, tuple[Callable[[State], State], float]] = {  # and the most that a weight may lose, relative
    "fp8_scaled": (fp8_scaled, 0.03),
    "fp8_scaled without marks": (lambda state: fp8_scaled(state, mark=False), 0.03),
    "fp8_scaled of old": (old_fp8_scaled, 0.03),
    "mxfp8": (mxfp8, 0.03),
    "int8 by row": (int8, 0.008),
    "int8 by tensor": (lambda state: int8(state, by_row=False), 0.012),
    "int8 rotated": (lambda state: int8(state, rotated=64), 0.008),
    "int8 rotated in small groups": (lambda state: int8(state, rotated=16), 0.008),
}  # fmt: skip


@pytest.fixture
def state(checkpoint: Checkpoint) -> State:
    """Of a single file: upstream's keys without `lm_head`."""
    found = load_file(checkpoint.folder / "model.safetensors")
    return {key: tensor for key, tensor in found.items() if not key.startswith("lm_head.")}


@pytest.fixture(scope="session")
def with_tower() -> Checkpoint:
    return open_checkpoint(str(Path(__file__).parents[1] / "data" / "golden_ref" / "checkpoint"))


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """A file whose name says nothing."""

    def written(state: State, **metadata: str) -> Path:
        save_file({key: tensor.contiguous() for key, tensor in state.items()}, tmp_path / "it.safetensors", metadata)
        return tmp_path / "it.safetensors"

    return written


def opened(path: Path, checkpoint: Checkpoint) -> Checkpoint:
    return open_checkpoint(str(path), str(checkpoint.folder))


def refused(path: Path, tokenizer: Path | str | None) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(str(path), None if tokenizer is None else str(tokenizer))
    assert "\n" not in caught.value.message
    return caught.value.message


def loss(model: O1Transformer, state: Mapping[str, Tensor]) -> float:
    """Of all quantised matrices together, relative."""
    found = export_state_dict(model)
    keys = [f"{layer}.weight" for layer in quantised_layers(state)]
    ours, theirs = (torch.cat([one[key].float().flatten() for key in keys]) for one in (found, state))
    return float((ours - theirs).norm() / theirs.norm())


@pytest.mark.parametrize("prefix", ["model.", "", "diffusion_model.", "model.diffusion_model."])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_plain_files_give_upstreams_weights_under_any_prefix(
    checkpoint: Checkpoint, state: State, write: Callable[..., Path], prefix: str, dtype: torch.dtype
) -> None:
    moved = {prefix + key.removeprefix("model."): tensor.to(dtype) for key, tensor in state.items()}
    found = opened(write(moved), checkpoint)
    assert found.name == "it"
    assert found.config == checkpoint.config
    exported = export_state_dict(load_model(found, "cpu", torch.float32))
    assert all(torch.equal(tensor, state[key].to(dtype).float()) for key, tensor in exported.items())
    assert found.visual.keys() == checkpoint.visual.keys()


@pytest.mark.parametrize("name", sorted(QUANTISED))
def test_quantised_files_give_the_weights_within_their_own_loss(
    checkpoint: Checkpoint, state: State, write: Callable[..., Path], name: str
) -> None:
    quantise, allowed = QUANTISED[name]
    path = write(quantise(dict(state)))
    found = opened(path, checkpoint)
    assert found.quantised
    lost = loss(load_model(found, "cpu", torch.float32), state)
    assert allowed / 20 < lost < allowed


@pytest.mark.parametrize("prefix", ["model.", "diffusion_model."])
def test_marks_may_stand_in_the_header(
    checkpoint: Checkpoint, state: State, write: Callable[..., Path], prefix: str
) -> None:
    quantised = int8(dict(state), rotated=64)
    layers = {
        prefix + layer.removeprefix("model."): json.loads(bytes(quantised.pop(f"{layer}.comfy_quant").tolist()))
        for layer in quantised_layers(state)
    }
    moved = {prefix + key.removeprefix("model."): tensor for key, tensor in quantised.items()}
    path = write(moved, _quantization_metadata=json.dumps({"format_version": "1.0", "layers": layers}))
    assert loss(load_model(opened(path, checkpoint), "cpu", torch.float32), state) < 0.008


def test_8_bit_floats_are_kept_bit_for_bit_where_products_are_in_8_bits(
    checkpoint: Checkpoint, state: State, write: Callable[..., Path]
) -> None:
    quantised = fp8_scaled(dict(state))
    model = load_model(opened(write(quantised), checkpoint), "cpu", torch.bfloat16, fp8=True)
    key = "model.language_model.layers.1.mlp.down_proj"
    down = model.blocks[1].down
    assert torch.equal(down.weight.view(torch.uint8), quantised[f"{key}.weight"].view(torch.uint8))
    assert torch.equal(down.scale, quantised[f"{key}.weight_scale"].expand(64, 1))


def test_bytes_that_older_files_call_uint8_are_8_bit_floats(
    checkpoint: Checkpoint, state: State, write: Callable[..., Path]
) -> None:
    quantised = fp8_scaled(dict(state))
    for layer in quantised_layers(state):
        quantised[f"{layer}.weight"] = quantised[f"{layer}.weight"].view(torch.uint8)
    assert loss(load_model(opened(write(quantised), checkpoint), "cpu", torch.float32), state) < 0.03


def test_a_quantised_vision_tower_and_embedding_are_read_too(
    with_tower: Checkpoint, write: Callable[..., Path]
) -> None:
    checkpoint, key = with_tower, "model.visual.blocks.0.attn.qkv"
    state = load_file(checkpoint.folder / "model.safetensors")
    for layer in (key, "model.language_model.embed_tokens"):
        weight = state[f"{layer}.weight"]
        scale = weight.abs().amax(dim=1, keepdim=True) / 127
        state[f"{layer}.weight"] = (weight / scale).round().to(torch.int8)
        state[f"{layer}.weight_scale"] = scale
    found = opened(write(state), checkpoint)
    load_model(found, "cpu", torch.float32)
    tower = load_tower(open_tower(found), "cpu", torch.float32)
    plain = load_tower(open_tower(checkpoint), "cpu", torch.float32)
    assert 0 < float((tower.blocks[0].qkv.weight - plain.blocks[0].qkv.weight).abs().max()) < 5e-3


def test_a_file_without_deepstack_or_tower_draws_and_says_why_it_takes_no_pictures(
    with_tower: Checkpoint, write: Callable[..., Path]
) -> None:
    checkpoint, state = with_tower, load_file(with_tower.folder / "model.safetensors")
    found = opened(write({key: one for key, one in state.items() if "deepstack" not in key}), checkpoint)
    with pytest.raises(CheckpointError, match="deepstack_merger_list"):
        open_tower(found)
    found = opened(write({key: one for key, one in state.items() if ".visual." not in key}), checkpoint)
    with pytest.raises(CheckpointError, match="has no vision tower"):
        open_tower(found)


def test_scales_in_tiles_are_put_in_order() -> None:
    generator = torch.Generator().manual_seed(1)
    scales = torch.randint(100, 140, (200, 9), generator=generator, dtype=torch.uint8)
    assert torch.equal(block_scales(tiles(scales), 200, 9 * 32), torch.exp2(scales.float() - 127))


def test_the_rotation_is_its_own_inverse() -> None:
    for size in (4, 16, 256):
        assert torch.allclose(hadamard(size) @ hadamard(size), torch.eye(size), atol=1e-6)


def without_scale(state: State) -> State:
    quantised = fp8_scaled(state)
    return {key: one for key, one in quantised.items() if not key.endswith("weight_scale")}


def cast_alone(state: State) -> State:
    return {key: one.to(torch.float8_e4m3fn) if one.ndim == 2 else one for key, one in state.items()}


def nvfp4(state: State) -> State:
    layer = quantised_layers(state)[0]
    weight = state[f"{layer}.weight"]
    state[f"{layer}.weight"] = torch.zeros((weight.shape[0], weight.shape[1] // 2), dtype=torch.uint8)
    state[f"{layer}.weight_scale"] = torch.zeros((128, 4), dtype=torch.float8_e4m3fn)
    state[f"{layer}.weight_scale_2"] = torch.tensor(1.0)
    return state


def marked(**told: object) -> Callable[[State], State]:
    def mark(state: State) -> State:
        quantised = int8(state)
        for layer in quantised_layers(state):
            quantised[f"{layer}.comfy_quant"] = as_json(**told)
        return quantised

    return mark


def lone_scale(state: State) -> State:
    return state | {"model.language_model.layers.0.gone.weight_scale": torch.tensor(1.0)}


def wrong_scale(state: State) -> State:
    quantised = int8(state)
    layer = quantised_layers(state)[0]
    return quantised | {f"{layer}.weight_scale": torch.ones(7)}


def twice(state: State) -> State:
    return state | {"diffusion_model.final_layer2.linear.weight": torch.zeros(3072, 64)}


def part_of_it(state: State) -> State:
    return {key: one for key, one in state.items() if ".layers.2." not in key}


def another_model(state: State) -> State:
    return {key: one for key, one in state.items() if "final_layer2" not in key}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (without_scale, ["without its scale", "take a file in bf16"]),
        (cast_alone, ["stored as F8_E4M3 without its scale", "white pictures"]),
        (nvfp4, ["nvfp4", "not read here", "mxfp8"]),
        (marked(format="convrot_w4a4"), ["convrot_w4a4", "not read here"]),
        (marked(format="int8_tensorwise", convrot=True, convrot_groupsize=100), ["convrot_groupsize 100"]),
        (marked(format="float8_e4m3fn"), ["marked as float8_e4m3fn and stored as I8"]),
        (lone_scale, ["gone.weight_scale", "scale of a weight that is missing"]),
        (wrong_scale, ["[7]", "does not fit int8"]),
        (twice, ["there under another name, too"]),
        (part_of_it, ["layers.2.", "is missing in"]),
        (another_model, ["holds no HiDream-O1 model", "upstream's folder or a single file"]),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_in_one_sentence(
    checkpoint: Checkpoint,
    state: State,
    write: Callable[..., Path],
    spoil: Callable[[State], State],
    words: list[str],
) -> None:
    told = refused(write(spoil(dict(state))), checkpoint.folder)
    assert all(word in told for word in words), told


def test_truncated_files_gguf_and_broken_marks_are_named(
    checkpoint: Checkpoint, state: State, write: Callable[..., Path]
) -> None:
    path = write(fp8_scaled(dict(state)))
    path.write_bytes(path.read_bytes()[:-1000])
    assert "is cut short" in refused(path, checkpoint.folder)
    path.write_bytes(b"GGUF\3\0\0\0" + b"\0" * 100)
    assert "is a GGUF file" in refused(path, checkpoint.folder)
    path = write(dict(state), _quantization_metadata="{broken")
    assert "_quantization_metadata is no JSON" in refused(path, checkpoint.folder)


def test_a_tokenizer_stands_beside_the_file_or_is_told(
    checkpoint: Checkpoint, state: State, write: Callable[..., Path], tmp_path: Path
) -> None:
    path = write(state)
    told = refused(path, None)
    assert "is one file, without a tokenizer" in told
    assert "--tokenizer HiDream-ai/HiDream-O1-Image" in told
    assert "holds no tokenizer" in refused(path, tmp_path)
    assert "is no folder here, and no hub id" in refused(path, "nowhere/at/all")
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        shutil.copy(checkpoint.folder / name, tmp_path)
    assert open_checkpoint(str(path)).config == checkpoint.config


def test_a_file_alone_is_of_the_8b_shape(checkpoint: Checkpoint, state: State, write: Callable[..., Path]) -> None:
    texts = write(state).parent / "texts"
    texts.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(checkpoint.folder / name, texts)
    assert "[320, 64]; a model of this shape has [151936, 4096]" in refused(write(state), texts)


def test_a_quantised_file_draws_the_golden_picture(
    checkpoint: Checkpoint, state: State, write: Callable[..., Path]
) -> None:
    from hidream_studio.engine.pipeline import Pipeline
    from hidream_studio.job.job import pin
    from hidream_studio.job.profiles import HIDREAM_O1_IMAGE
    from hidream_studio.job.request import GenerationRequest

    request = GenerationRequest(
        prompt="a red circle", seed=3, steps=3, width=256, height=256, snap_resolution=False, guidance_scale=3.0
    )
    pictures = []
    for source, tokenizer in ((checkpoint.folder, None), (write(int8(dict(state))), str(checkpoint.folder))):
        pipeline = Pipeline.load(str(source), device="cpu", tokenizer=tokenizer)
        render = pipeline.render(pin(request, HIDREAM_O1_IMAGE).job)
        while True:
            try:
                next(render)
            except StopIteration as end:
                pictures.append(end.value.pixels.astype(int))
                break
    assert 0 < np.abs(pictures[0] - pictures[1]).mean() < 2.0


def same_bits(one: O1Transformer, other: O1Transformer) -> bool:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.equal(ours.view(torch.uint8), theirs.view(torch.uint8)) for ours, theirs in pairs)


@pytest.mark.parametrize("name", ["plain", "fp8_scaled", "mxfp8", "int8 rotated"])
def test_what_is_converted_loads_to_the_same_bits(
    checkpoint: Checkpoint, state: State, write: Callable[..., Path], tmp_path: Path, name: str
) -> None:
    quantise = (lambda state: state) if name == "plain" else QUANTISED[name][0]
    source = opened(write(quantise(dict(state))), checkpoint)
    sizes = {}
    for precision in ("bf16", "fp8"):
        shares: list[float] = []
        sizes[precision] = convert(source, tmp_path / precision, precision, shares.append)
        assert shares == sorted(shares) and shares[-1] == 1.0
        again = open_checkpoint(str(tmp_path / precision))
        assert again.quantised == (precision == "fp8")
        assert again.visual.keys() == source.visual.keys()
        fp8 = precision == "fp8"
        ours, theirs = (load_model(one, "cpu", torch.bfloat16, fp8=fp8) for one in (again, source))
        assert same_bits(ours, theirs)
    assert sizes["fp8"] < sizes["bf16"]


def test_int8_is_stored_within_its_loss_and_as_other_tools_read_it(
    checkpoint: Checkpoint, state: State, tmp_path: Path
) -> None:
    convert(checkpoint, tmp_path / "out", "int8")
    again = open_checkpoint(str(tmp_path / "out"))
    assert loss(load_model(again, "cpu", torch.float32), state) < 0.008
    stored = load_file(tmp_path / "out" / "model.safetensors")
    layer = quantised_layers(state)[0]
    assert stored[f"{layer}.weight"].dtype == torch.int8
    assert stored[f"{layer}.weight_scale"].shape == (stored[f"{layer}.weight"].shape[0], 1)


def test_nothing_is_converted_over_what_is_there(checkpoint: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "note").write_text("mine")
    with pytest.raises(CheckpointError, match="is there already, and not an empty folder"):
        convert(checkpoint, tmp_path, "fp8")
    assert [path.name for path in tmp_path.iterdir()] == ["note"]


def test_the_8b_configuration_that_is_written_is_read_as_such() -> None:
    from hidream_studio.model.config import CONFIG_8B, VISION_8B, ModelConfig, VisionConfig
    from hidream_studio.model.convert import _config_8b

    assert ModelConfig.from_json(_config_8b()) == CONFIG_8B
    assert VisionConfig.from_json(_config_8b()) == VISION_8B


def test_the_command_line_converts(checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from hidream_studio.cli import main

    assert main(["convert", str(checkpoint.folder), str(tmp_path / "out"), "--precision", "int8"]) == 0
    assert f"{tmp_path / 'out'}: 0.0 GB in int8, from checkpoint" in capsys.readouterr().out


def test_the_web_side_reads_the_texts_of_one_file(
    checkpoint: Checkpoint, state: State, write: Callable[..., Path]
) -> None:
    from hidream_studio.service.checkpoint import read_checkpoint

    path, folder = write(int8(dict(state))), str(checkpoint.folder)
    facts, whole = read_checkpoint(str(path), None, folder), read_checkpoint(folder, None)
    assert (facts.profile, facts.shape, facts.parameters) == (whole.profile, whole.shape, whole.parameters)
    assert facts.reader is not None
    alone = read_checkpoint(str(path), None)
    assert (alone.folder, alone.reader) == (None, None)  # the worker says what is missing
