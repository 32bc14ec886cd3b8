"""LoRA files in every trainer's spelling, written here as the trainers write them, and read as what they change."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from hidream_studio.errors import LoraError
from hidream_studio.model.checkpoint import Checkpoint
from hidream_studio.model.lora_file import read_lora
from lora_making import SPELLINGS, Spelling

RANK = 4
LAYER = "language_model.layers.1."
LINEARS = {  # of the golden checkpoint: upstream's name, (out, in)
    LAYER + "self_attn.q_proj": None,
    LAYER + "mlp.down_proj": None,
    "x_embedder.proj1": None,
    "t_embedder1.mlp.2": None,
    "final_layer2.linear": None,
}


def shapes(checkpoint: Checkpoint) -> dict[str, tuple[int, ...]]:
    return {name: checkpoint.tensors[f"model.{name}.weight"].shape for name in LINEARS}


def tensors(checkpoint: Checkpoint, spelling: Spelling, dtype: type = np.float32) -> dict[str, np.ndarray]:
    spell, down, up = spelling
    found: dict[str, np.ndarray] = {}
    for name, (out_size, in_size) in shapes(checkpoint).items():
        found[f"{spell(name)}.{down}"] = np.ones((RANK, in_size), dtype)
        found[f"{spell(name)}.{up}"] = np.ones((out_size, RANK), dtype)
    return found


@pytest.mark.parametrize("trainer", SPELLINGS)
def test_every_trainers_spelling_names_the_same_matrices(trainer: str, checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_file(tensors(checkpoint, SPELLINGS[trainer]), tmp_path / "x.safetensors")
    lora = read_lora(tmp_path / "x.safetensors", checkpoint.config)
    assert {pair.module for pair in lora.pairs} == set(LINEARS)
    assert {(pair.rank, pair.alpha) for pair in lora.pairs} == {(RANK, RANK)}
    assert not lora.remarks


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_alpha_is_read_where_it_stands(dtype: type, checkpoint: Checkpoint, tmp_path: Path) -> None:
    values = tensors(checkpoint, SPELLINGS["musubi"], dtype)
    values |= {key.replace("lora_up.weight", "alpha"): np.array(2, dtype) for key in values if "lora_up" in key}
    save_file(values, tmp_path / "x.safetensors")
    assert {pair.alpha for pair in read_lora(tmp_path / "x.safetensors", checkpoint.config).pairs} == {2.0}


def test_the_vision_towers_pairs_stand_apart(checkpoint: Checkpoint, tmp_path: Path) -> None:
    values = tensors(checkpoint, SPELLINGS["musubi"])
    for name in ("visual_blocks_3_attn_qkv", "visual_deepstack_merger_list_1_linear_fc2"):
        values[f"lora_unet_model_{name}.lora_down.weight"] = np.ones((RANK, 8), np.float32)
        values[f"lora_unet_model_{name}.lora_up.weight"] = np.ones((8, RANK), np.float32)
    save_file(values, tmp_path / "x.safetensors")
    lora = read_lora(tmp_path / "x.safetensors", checkpoint.config)
    assert [pair.module for pair in lora.vision_pairs] == [
        "visual.blocks.3.attn.qkv", "visual.deepstack_merger_list.1.linear_fc2",
    ]  # fmt: skip


def test_metadata_tell_title_base_and_trigger_words(checkpoint: Checkpoint, tmp_path: Path) -> None:
    values = tensors(checkpoint, SPELLINGS["kohya"])
    told = {
        "ss_output_name": "ink",
        "ss_tag_frequency": json.dumps({"a": {"inkstyle": 9, "cat": 2}}),
        "base_model": "O1",
    }
    save_file(values, tmp_path / "x.safetensors", metadata=told)
    lora = read_lora(tmp_path / "x.safetensors", checkpoint.config)
    assert (lora.title, lora.base, lora.triggers) == ("ink", "O1", ("inkstyle", "cat"))
    save_file(values, tmp_path / "y.safetensors", metadata={"modelspec.trigger_phrase": "in ink, drawn"})
    assert read_lora(tmp_path / "y.safetensors", checkpoint.config).triggers == ("in ink", "drawn")


BROKEN: dict[str, tuple[dict[str, tuple[int, ...]], str]] = {
    "of another model": ({"transformer.single_blocks.0.attn.to_q.lora_A.weight": (4, 8)}, "another model"),
    "DoRA": ({"diffusion_model.x_embedder.proj1.dora_scale": (8,)}, "DoRA"),
    "LoKr": ({"lycoris_x_embedder_proj1.lokr_w1": (4, 4)}, "LoKr"),
    "LoHa": ({"lycoris_x_embedder_proj1.hada_w1_a": (4, 4)}, "LoHa"),
    "no LoRA": ({"model.norm.weight": (8,)}, "holds no LoRA"),
    "half a pair": ({"model.x_embedder.proj1.lora_A.weight": (4, 3072)}, "one half"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_no_lora_of_this_model_is_refused_by_name(what: str, checkpoint: Checkpoint, tmp_path: Path) -> None:
    keys, said = BROKEN[what]
    save_file({key: np.ones(shape, np.float32) for key, shape in keys.items()}, tmp_path / "x.safetensors")
    with pytest.raises(LoraError, match=said):
        read_lora(tmp_path / "x.safetensors", checkpoint.config)


def test_keys_that_fit_nothing_are_an_error_that_lists_three(checkpoint: Checkpoint, tmp_path: Path) -> None:
    values = tensors(checkpoint, SPELLINGS["peft"])
    values |= {
        f"base_model.model.model.language_model.layers.{n}.self_attn.o_proj.lora_A.weight": np.ones((4, 8))
        for n in range(90, 95)
    }
    save_file(values, tmp_path / "x.safetensors")
    with pytest.raises(LoraError, match=r"5 keys that fit nothing.*layers\.90.*layers\.91.*layers\.92.*…"):
        read_lora(tmp_path / "x.safetensors", checkpoint.config)


def test_a_lora_for_another_size_of_the_model_says_both_sizes(checkpoint: Checkpoint, tmp_path: Path) -> None:
    values = {"x_embedder.proj1.lora_A.weight": np.ones((4, 3072)), "x_embedder.proj1.lora_B.weight": np.ones((999, 4))}
    save_file(values, tmp_path / "x.safetensors")
    with pytest.raises(LoraError, match=r"another size.*999"):
        read_lora(tmp_path / "x.safetensors", checkpoint.config)


def test_files_that_are_no_whole_safetensors_are_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    whole = tmp_path / "whole.safetensors"
    save_file(tensors(checkpoint, SPELLINGS["bare"]), whole)
    data = whole.read_bytes()
    broken = {
        "cut": data[: len(data) // 2], "pickle": b"\x80\x04\x95" + data, "empty": b"",
        "nested": struct.pack("<Q", 200_000) + b"[" * 200_000, "list": struct.pack("<Q", 2) + b"[]",
    }  # fmt: skip
    for name, content in broken.items():
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(content)
        with pytest.raises(LoraError, match=name):
            read_lora(path, checkpoint.config)


def test_biases_and_norms_are_said_to_be_left_out(checkpoint: Checkpoint, tmp_path: Path) -> None:
    values = tensors(checkpoint, SPELLINGS["ai-toolkit"])
    values["diffusion_model.language_model.norm.diff"] = np.ones(8, np.float32)
    save_file(values, tmp_path / "x.safetensors")
    assert "language_model.norm.diff" in read_lora(tmp_path / "x.safetensors", checkpoint.config).remarks[0]
