"""Files in the folder of LoRAs that nobody thought of: each is listed with its problem, and breaks nothing else."""

from __future__ import annotations

import json
import os
import struct
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hidream_studio.model.checkpoint import Checkpoint, open_checkpoint
from hidream_studio.server.loras import LorasAnswer, lora_to_dict
from hidream_studio.service.loras import MAX_TOLD_CHARS, SUFFIX, LoraEntry, LoraShelf, thumbnail_of

DOWN, UP = "diffusion_model.x_embedder.proj1.lora_A.weight", "diffusion_model.x_embedder.proj1.lora_B.weight"
DEEP = "[" * 20_000
TOLD = ("modelspec.title", "base_model", "trigger_words", "ss_tag_frequency", "modelspec.thumbnail", "name")

any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
odd_tensors = any_json | st.fixed_dictionaries({"dtype": any_json, "shape": any_json, "data_offsets": any_json})
odd_metadata = st.dictionaries(st.sampled_from(TOLD), any_json | st.text() | any_json.map(json.dumps), max_size=4)


@pytest.fixture(scope="module")
def checkpoint(golden_checkpoint: Path) -> Checkpoint:
    return open_checkpoint(str(golden_checkpoint))


def content(checkpoint: Checkpoint, metadata: Any, odd: dict[str, Any] | None = None) -> bytes:
    """A LoRA of zeros that says this of itself; with `odd` among the tensors of its header."""
    (out_size, in_size), at, header = checkpoint.tensors["model.x_embedder.proj1.weight"].shape, 0, {}
    for key, shape in ((DOWN, (1, in_size)), (UP, (out_size, 1))):
        size = 2 * shape[0] * shape[1]
        header[key] = {"dtype": "F16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps({**header, **(odd or {}), "__metadata__": metadata}).encode()
    return struct.pack("<Q", len(text)) + text + bytes(at)


def listed(checkpoint: Checkpoint, data: bytes, name: bytes = b"odd") -> LoraEntry:
    """What the folder tells of that one file, and of no other kind of error; it can be answered as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / os.fsdecode(name + SUFFIX.encode())
        path.write_bytes(data)
        shelf = LoraShelf(Path(folder), lambda: checkpoint.config)
        shelf.scan()
        (entry,) = shelf.entries()
    LorasAnswer.model_validate({"folder": "loras", "loras": [lora_to_dict(entry)]}).model_dump_json()
    thumbnail_of(entry)
    return entry


@settings(max_examples=60, deadline=None)
@given(metadata=odd_metadata | any_json)
@example(metadata={"trigger_words": DEEP})
@example(metadata={"ss_tag_frequency": DEEP})
@example(metadata={"ss_tag_frequency": '{"a": {"ink": Infinity}}'})
@example(metadata={"modelspec.thumbnail": "data:image/png;base64,é"})
def test_whatever_a_file_says_of_itself_it_can_be_used(checkpoint: Checkpoint, metadata: Any) -> None:
    assert listed(checkpoint, content(checkpoint, metadata)).problem is None


@pytest.mark.parametrize("key", ["modelspec.title", "base_model", "trigger_words", "ss_tag_frequency", "name"])
@pytest.mark.parametrize("text", ["ink \ud800 pen", "ink\0\n pen", "ink" * 1000])
def test_what_no_page_can_show_is_replaced_in_what_is_told(checkpoint: Checkpoint, key: str, text: str) -> None:
    entry = listed(checkpoint, content(checkpoint, {key: json.dumps({"a": {text: 1}}) if key[0] == "s" else text}))
    for told in (entry.title, entry.base, *entry.triggers):
        assert len(told) <= MAX_TOLD_CHARS
        assert "\0" not in told
        told.encode()


@pytest.mark.parametrize("name", [b"ink \xff", b"ink\n", b"ink \xed\xa0\x80", b"x" * 240])
def test_a_file_whose_name_is_no_text_is_listed_and_can_be_deleted(
    checkpoint: Checkpoint, name: bytes, tmp_path: Path
) -> None:
    assert "no name for a LoRA" in str(listed(checkpoint, content(checkpoint, {}), name).problem)
    path = tmp_path / os.fsdecode(name + SUFFIX.encode())
    path.write_bytes(content(checkpoint, {}))
    shelf = LoraShelf(tmp_path, lambda: checkpoint.config)
    shelf.scan()
    shelf.delete(shelf.entries()[0].name)
    assert not path.exists()


def test_a_key_that_is_no_text_is_named_in_the_problem(checkpoint: Checkpoint) -> None:
    tensor = {"dtype": "F16", "shape": [1], "data_offsets": [0, 2]}
    assert "fit nothing" in str(listed(checkpoint, content(checkpoint, {}, {"\ud800": tensor})).problem)
    ignored = {"\ud800.bias": tensor}
    assert "not applied" in listed(checkpoint, content(checkpoint, {}, ignored)).remarks[0]


@settings(max_examples=60, deadline=None)
@given(tensor=odd_tensors)
@example(tensor={"dtype": "F16", "shape": [1], "data_offsets": [0, float("inf")]})
@example(tensor={"dtype": "F16", "shape": [float("inf")], "data_offsets": [0, 2]})
def test_whatever_a_header_holds_is_a_problem_in_one_sentence(checkpoint: Checkpoint, tensor: Any) -> None:
    assert listed(checkpoint, content(checkpoint, {}, {"odd": tensor})).problem


def test_what_nobody_thought_of_is_the_problem_of_its_file(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("hidream_studio.service.loras.read_lora", fails)
    assert listed(checkpoint, content(checkpoint, {})).problem == "odd.safetensors cannot be read: MemoryError"
