"""A folder of LoRAs: by name and by content, also after files were renamed, changed, broken or deleted."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shutil import disk_usage

import pytest

from hidream_studio.errors import ConflictError, LoraError, NotFoundError, RequestError, StorageFullError
from hidream_studio.image.metadata import RestoredSettings
from hidream_studio.job.loras import LoraAsked, LoraUse
from hidream_studio.model.checkpoint import Checkpoint, open_checkpoint
from hidream_studio.page.state.compose import ComposeState, LoraLine, with_loras_of
from hidream_studio.service import loras
from hidream_studio.service.loras import LoraEntry, LoraShelf
from lora_making import make_lora


@pytest.fixture(scope="module")
def checkpoint(golden_checkpoint: Path) -> Checkpoint:
    return open_checkpoint(str(golden_checkpoint))


@pytest.fixture
def shelf(tmp_path: Path, checkpoint: Checkpoint) -> LoraShelf:
    folder = tmp_path / "loras"
    folder.mkdir()
    for seed, name in enumerate(("ink", "cat")):
        make_lora(folder / f"{name}.safetensors", checkpoint, seed, metadata={"modelspec.title": f"The {name}"})
    found = LoraShelf(folder, lambda: checkpoint.config)
    found.scan()
    return found


def use(shelf: LoraShelf, name: str) -> LoraUse:
    return LoraUse(name, 1.0, str(shelf.get(name).hash))


def sent(*pieces: bytes) -> AsyncIterator[bytes]:
    async def each() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    return each()


def add(shelf: LoraShelf, name: str, *pieces: bytes) -> LoraEntry:
    return asyncio.run(shelf.add(name, sent(*pieces)))


def test_what_is_in_the_folder_is_listed_with_what_it_says_of_itself(shelf: LoraShelf) -> None:
    assert [(entry.name, entry.title, entry.rank) for entry in shelf.entries()] == [
        ("cat", "The cat", 4), ("ink", "The ink", 4),
    ]  # fmt: skip
    assert not shelf.scan()


def test_a_name_becomes_a_hash_and_a_hash_outlives_the_name(shelf: LoraShelf) -> None:
    (asked,), _ = shelf.found([LoraAsked(name="ink", strength=0.5)])
    assert (asked.name, asked.strength, asked.hash) == ("ink", 0.5, shelf.get("ink").hash)
    (shelf.folder / "ink.safetensors").rename(shelf.folder / "pen.safetensors")
    shelf.ready([asked])
    (found,), (told,) = shelf.found([asked])
    assert (found.name, found.hash) == ("pen", asked.hash)
    assert (told.field, told.asked, told.used) == ("loras.0", "ink", "pen")
    assert shelf.paths([LoraUse("ink", 1.0, str(asked.hash))]) == {asked.hash: str(shelf.folder / "pen.safetensors")}


def test_one_that_changed_or_is_gone_is_said(shelf: LoraShelf, checkpoint: Checkpoint) -> None:
    ink = use(shelf, "ink")
    asked = LoraAsked(name="ink", hash=ink.hash)
    make_lora(shelf.folder / "ink.safetensors", checkpoint, 9)
    shelf.ready([asked])
    with pytest.raises(RequestError, match=r"the LoRA 'ink' has changed.*") as caught:
        shelf.found([asked])
    assert caught.value.field == "loras.0"
    with pytest.raises(LoraError, match="'ink' has changed since"):
        shelf.paths([ink])
    shelf.delete("ink")
    with pytest.raises(LoraError, match="'ink' is gone"):
        shelf.paths([ink])
    with pytest.raises(RequestError, match="no LoRA called 'ink'; there are cat"):
        shelf.found([LoraAsked(name="ink")])
    assert shelf.paths([LoraUse("ink", 0.0, ink.hash)]) == {}  # at strength 0 nobody needs it


def test_of_settings_that_are_brought_in_only_the_loras_that_are_here_stay_and_the_others_are_told(
    shelf: LoraShelf, checkpoint: Checkpoint
) -> None:
    asked: list[dict[str, object]] = [
        {"name": "detail tweaker", "strength": 0.5}, {"name": "cat", "strength": 1.0},
        {"name": "pen", "hash": shelf.get("ink").hash}, {"name": "cat", "hash": "0" * 64},
    ]  # fmt: skip
    known = shelf.with_known(RestoredSettings({"prompt": "a cat", "loras": asked}, "a1111", ("one",)))
    assert known.request == {"prompt": "a cat", "loras": asked[1:3]}
    assert known.notes[:2] == ("one", "there is no LoRA called 'detail tweaker'")
    assert known.notes[2].startswith("the LoRA 'cat' has changed: 0000000000 was asked for")
    for given in ({"prompt": "a cat"}, {"prompt": "a cat", "loras": asked[1:3]}):
        settings = RestoredSettings(given, "a1111")
        assert shelf.with_known(settings) is settings
    strangers = RestoredSettings({"prompt": "a cat", "loras": asked[:1]}, "a1111")
    assert shelf.with_known(strangers).request == {"prompt": "a cat"}


def test_a_column_that_is_filled_in_has_only_loras_that_are_here(shelf: LoraShelf) -> None:
    lines = (LoraLine(name="cat", strength="0.5, 1"), LoraLine(name="detail tweaker"))
    state, lacking = with_loras_of(ComposeState(loras=lines), shelf)
    assert state.loras == lines[:1]
    assert lacking == ("there is no LoRA called 'detail tweaker'",)


def test_a_broken_file_is_listed_with_its_reason_and_refused(shelf: LoraShelf) -> None:
    whole = (shelf.folder / "ink.safetensors").read_bytes()
    broken = {
        "cut": whole[: len(whole) // 2],
        "pickle": b"\x80\x04\x95" + whole,
        "empty": b"",
        "a<b": whole,
        " blank": whole,
    }
    for name, content in broken.items():
        (shelf.folder / f"{name}.safetensors").write_bytes(content)
    (shelf.folder / "other.ckpt").write_bytes(whole)
    shelf.scan()
    problems = {entry.name: entry.problem for entry in shelf.entries()}
    assert {name for name, problem in problems.items() if problem} == broken.keys()
    assert not problems["ink"]
    with pytest.raises(RequestError, match=r"the LoRA 'cut' cannot be used: cut\.safetensors is cut short"):
        shelf.found([LoraAsked(name="cut")])


def test_a_file_that_is_written_anew_is_seen_whatever_its_clock_says(shelf: LoraShelf, checkpoint: Checkpoint) -> None:
    before = shelf.get("ink").hash
    path = shelf.folder / "ink.safetensors"
    make_lora(path, checkpoint, 9)
    os.utime(path, (1, 1))
    shelf.ready([LoraAsked(name="ink")])
    assert shelf.get("ink").hash not in (before, None)


def test_what_is_sent_is_kept_where_it_can_be_used(shelf: LoraShelf, checkpoint: Checkpoint, tmp_path: Path) -> None:
    make_lora(tmp_path / "new.safetensors", checkpoint, 9)
    content = (tmp_path / "new.safetensors").read_bytes()
    added = add(shelf, "new.safetensors", content[:1000], content[1000:])
    assert (added.name, added.problem) == ("new", None)
    assert add(shelf, "new", content).hash == added.hash  # once more does no harm
    with pytest.raises(ConflictError, match="another LoRA called 'ink'"):
        add(shelf, "ink", content)
    with pytest.raises(LoraError, match=r"bad\.safetensors is cut short"):
        add(shelf, "bad", content[: len(content) // 2])
    for name in ("../up", "a/b", "", ".hidden", "x" * 201, "a:b", "nul\0"):
        with pytest.raises(RequestError, match="no name for a LoRA"):
            add(shelf, name, content)
    assert sorted(path.name for path in shelf.folder.iterdir()) == [
        "cat.safetensors", "ink.safetensors", "new.safetensors",
    ]  # fmt: skip


def test_what_is_not_there_cannot_be_deleted(shelf: LoraShelf) -> None:
    with pytest.raises(NotFoundError, match="no LoRA called 'fog'"):
        shelf.delete("fog")


def test_a_folder_that_is_not_there_holds_none(tmp_path: Path, checkpoint: Checkpoint) -> None:
    shelf = LoraShelf(tmp_path / "none", lambda: checkpoint.config)
    shelf.scan()
    assert shelf.entries() == []


def test_while_a_large_file_is_read_all_others_can_be_asked_for(
    shelf: LoraShelf, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, really = threading.Event(), threading.Event(), loras._hash_of

    def slow_for_large(path: Path, until: threading.Event | None = None) -> str | None:
        if path.stem == "large":
            begun.set()
            assert go_on.wait(20)
        return really(path, until)

    monkeypatch.setattr(loras, "_hash_of", slow_for_large)
    for name in ("large", "small"):
        make_lora(shelf.folder / f"{name}.safetensors", checkpoint, len(name))
    with ThreadPoolExecutor() as threads:
        watching = threads.submit(shelf.scan)
        try:
            assert begun.wait(20)
            shelf.ready([LoraAsked(name="small"), LoraAsked(name="ink")])
            assert shelf.paths([use(shelf, "small")])
            assert shelf.get("large").hash is None
            shelf.scan(hashes=False)  # as the list of LoRAs asks
            asking = threads.submit(shelf.ready, [LoraAsked(name="large")])
        finally:
            shelf.close()
            go_on.set()
        watching.result()
        asking.result()  # what somebody waits for is read to its end
    assert shelf.get("large").hash == really(shelf.folder / "large.safetensors")


def test_when_the_studio_ends_nothing_more_is_read(shelf: LoraShelf, checkpoint: Checkpoint) -> None:
    make_lora(shelf.folder / "new.safetensors", checkpoint, 9)
    shelf.close()
    shelf.scan()
    assert shelf.get("new").hash is None


def test_a_nearly_full_disk_takes_no_lora(
    shelf: LoraShelf, checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_lora(tmp_path / "new.safetensors", checkpoint, 9)
    monkeypatch.setattr(loras, "RESERVE_BYTES", disk_usage(tmp_path).total)
    with pytest.raises(StorageFullError, match="is full"):
        add(shelf, "new", (tmp_path / "new.safetensors").read_bytes())
    assert sorted(path.stem for path in shelf.folder.iterdir()) == ["cat", "ink"]
