"""A folder is an O1 checkpoint or is refused in one line that names the file and the key."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from hidream_studio.errors import CheckpointError
from hidream_studio.model.checkpoint import Checkpoint, open_checkpoint
from hidream_studio.model.config import CONFIG_8B, ModelConfig

WEIGHTS = "model.safetensors"


def refused(folder: Path | str) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(str(folder))
    assert "\n" not in caught.value.message
    return caught.value.message


def change(folder: Path, **tensors: torch.Tensor | None) -> None:
    """Replace, add or (None) drop tensors in the one weights file."""
    state = load_file(folder / WEIGHTS)
    for key, tensor in tensors.items():
        if tensor is None:
            del state[key]
        else:
            state[key] = tensor
    save_file(state, folder / WEIGHTS)


def shard(folder: Path) -> list[str]:
    """The one weights file as three shards with an index, as the real checkpoint has them."""
    state = load_file(folder / WEIGHTS)
    names = [f"model-{i + 1:05d}-of-00003.safetensors" for i in range(3)]
    weight_map = {key: names[i % 3] for i, key in enumerate(sorted(state))}
    for name in names:
        save_file({key: state[key] for key, where in weight_map.items() if where == name}, folder / name)
    (folder / WEIGHTS).unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return names


def test_the_configuration_is_read(checkpoint: Checkpoint) -> None:
    assert checkpoint.config == ModelConfig(
        hidden_size=64, layers=3, heads=4, kv_heads=2, head_dim=16, mlp_size=128, vocab_size=320,
        rope_theta=5e6, mrope_section=(4, 2, 2), rms_eps=1e-6, bottleneck=16,
    )  # fmt: skip
    assert not any(key.startswith(("lm_head", "model.visual")) for key in checkpoint.tensors)


def test_the_8b_shape_has_the_numbers_of_the_real_checkpoint() -> None:
    CONFIG_8B.check()
    assert CONFIG_8B.qkv_size == 6144


def test_transformers_5_spelling_of_the_rope_means_the_same(checkpoint: Checkpoint, checkpoint_copy: Path) -> None:
    path = checkpoint_copy / "config.json"
    values = json.loads(path.read_text())
    text = values["text_config"]
    text["rope_parameters"] = text.pop("rope_scaling") | {"rope_theta": text.pop("rope_theta")}
    path.write_text(json.dumps(values))
    assert open_checkpoint(str(checkpoint_copy)).config == checkpoint.config


@pytest.mark.parametrize("key", ["hidden_size", "rope_theta", "rope_scaling", "num_key_value_heads", "rms_norm_eps"])
def test_a_missing_configuration_key_is_named(checkpoint_copy: Path, key: str) -> None:
    path = checkpoint_copy / "config.json"
    values = json.loads(path.read_text())
    del values["text_config"][key]
    path.write_text(json.dumps(values))
    assert key in refused(checkpoint_copy)


def test_shards_with_an_index_are_read(checkpoint: Checkpoint, checkpoint_copy: Path) -> None:
    names = shard(checkpoint_copy)
    opened = open_checkpoint(str(checkpoint_copy))
    assert opened.tensors.keys() == checkpoint.tensors.keys()
    assert [path.name for path in opened.tensor_files] == names


def test_a_missing_shard_is_named(checkpoint_copy: Path) -> None:
    missing = shard(checkpoint_copy)[1]
    (checkpoint_copy / missing).unlink()
    assert refused(checkpoint_copy).startswith(f"{missing} is missing")


def test_an_index_cannot_point_outside_its_folder(checkpoint_copy: Path) -> None:
    index = {"weight_map": {"lm_head.weight": "../../etc/passwd.safetensors"}}
    (checkpoint_copy / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "../../etc/passwd.safetensors" in refused(checkpoint_copy)


def test_another_qwen3_vl_checkpoint_is_refused_by_the_key_it_lacks(checkpoint_copy: Path) -> None:
    change(checkpoint_copy, **{"model.final_layer2.linear.weight": None})
    message = refused(checkpoint_copy)
    assert "no HiDream-O1 checkpoint" in message
    assert "model.final_layer2.linear.weight" in message


def test_a_missing_key_is_named(checkpoint_copy: Path) -> None:
    change(checkpoint_copy, **{"model.language_model.layers.1.mlp.up_proj.weight": None})
    assert "model.language_model.layers.1.mlp.up_proj.weight is missing" in refused(checkpoint_copy)


def test_an_unexpected_key_is_named_with_its_file(checkpoint_copy: Path) -> None:
    change(checkpoint_copy, **{"model.language_model.layers.3.mlp.up_proj.weight": torch.zeros(128, 64)})
    message = refused(checkpoint_copy)
    assert "model.language_model.layers.3.mlp.up_proj.weight" in message
    assert WEIGHTS in message
    assert "unexpected" in message


def test_a_wrong_shape_is_named_with_both_shapes(checkpoint_copy: Path) -> None:
    change(checkpoint_copy, **{"model.language_model.norm.weight": torch.zeros(65)})
    message = refused(checkpoint_copy)
    assert "model.language_model.norm.weight" in message
    assert "[65]" in message
    assert "[64]" in message


def test_a_dtype_that_cannot_be_computed_with_is_named(checkpoint_copy: Path) -> None:
    change(checkpoint_copy, **{"model.language_model.norm.weight": torch.zeros(64, dtype=torch.int8)})
    assert "stored as I8" in refused(checkpoint_copy)


def test_a_file_that_is_cut_short_is_named_with_both_sizes(checkpoint_copy: Path) -> None:
    path = checkpoint_copy / WEIGHTS
    path.write_bytes(path.read_bytes()[:-100_000])
    assert "model.safetensors is cut short: it has 2,208,648 bytes, its header promises 2,308,648" in refused(
        checkpoint_copy
    )


@pytest.mark.parametrize(
    "content",
    [b"", b"not a safetensors file at all, but a text", b"\x05\0\0\0\0\0\0\0[1,2]" + b"\0" * 20,
     (8).to_bytes(8, "little") + b'{"a": 1}', (10**12).to_bytes(8, "little") + b"{}"],
)  # fmt: skip
def test_a_file_that_is_no_safetensors_is_named(checkpoint_copy: Path, content: bytes) -> None:
    (checkpoint_copy / WEIGHTS).write_bytes(content)
    assert "model.safetensors is no safetensors file" in refused(checkpoint_copy)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", WEIGHTS])
def test_a_missing_file_is_named(checkpoint_copy: Path, name: str) -> None:
    (checkpoint_copy / name).unlink()
    assert name in refused(checkpoint_copy)


@pytest.mark.parametrize("content", [b"{broken", b"[]", b"\xff\xfe", b'{"text_config": 7}'])
def test_a_broken_configuration_is_one_clear_line(checkpoint_copy: Path, content: bytes) -> None:
    (checkpoint_copy / "config.json").write_bytes(content)
    assert "config.json" in refused(checkpoint_copy)


def test_a_folder_that_does_not_exist_says_so(tmp_path: Path) -> None:
    assert refused(tmp_path / "nowhere").endswith("such as HiDream-ai/HiDream-O1-Image")
    (tmp_path / "file").write_text("")
    assert "is no safetensors file" in refused(tmp_path / "file")


def test_one_part_of_a_checkpoint_gets_a_hint_at_its_folder(checkpoint_copy: Path) -> None:
    assert "config.json is no safetensors file" in refused(checkpoint_copy / "config.json")
    name = shard(checkpoint_copy)[0]
    assert refused(checkpoint_copy / name).endswith(f"give the folder that it is in, {checkpoint_copy}")


@pytest.mark.parametrize("layout", ["models/o1", "models--HiDream-ai--HiDream-O1-Image/snapshots/8f3a"])
def test_a_folder_above_a_checkpoint_gets_a_hint_at_it(checkpoint_copy: Path, tmp_path: Path, layout: str) -> None:
    (tmp_path / layout).parent.mkdir(parents=True)
    moved = checkpoint_copy.rename(tmp_path / layout)
    assert f"has no config.json, so it is no checkpoint; did you mean {moved}?" in refused(
        tmp_path / layout.partition("/")[0]
    )


def test_a_folder_inside_a_checkpoint_gets_a_hint_at_it(checkpoint_copy: Path) -> None:
    (checkpoint_copy / "assets").mkdir()
    assert f"did you mean {checkpoint_copy}?" in refused(checkpoint_copy / "assets")


def test_a_folder_with_no_checkpoint_near_gets_no_hint(tmp_path: Path) -> None:
    assert refused(tmp_path).endswith("so it is no checkpoint")


@pytest.mark.parametrize("name", [WEIGHTS, "tokenizer.json", "config.json"])
def test_a_git_lfs_pointer_is_called_one(checkpoint_copy: Path, name: str) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 17000000000\n"
    (checkpoint_copy / name).write_text(pointer)
    message = refused(checkpoint_copy)
    assert f"{name} is a Git LFS pointer" in message and "git lfs pull" in message


@pytest.mark.parametrize("environment", [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}])
def test_a_hub_that_cannot_be_reached_is_one_clear_line(tmp_path: Path, environment: dict[str, str]) -> None:
    code = "from hidream_studio.model.checkpoint import open_checkpoint; open_checkpoint('nobody/none-such')"
    found = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment | {"HF_HOME": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    last = found.stderr.strip().splitlines()[-1]
    assert "CheckpointError: nobody/none-such is no folder here, and could not be read from the hub: " in last


def test_the_fingerprint_stays_until_something_changes(checkpoint: Checkpoint, checkpoint_copy: Path) -> None:
    assert open_checkpoint(str(checkpoint_copy)).fingerprint == checkpoint.fingerprint
    change(checkpoint_copy, **{"lm_head.weight": None})
    assert open_checkpoint(str(checkpoint_copy)).fingerprint != checkpoint.fingerprint
