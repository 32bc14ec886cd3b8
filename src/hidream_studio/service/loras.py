"""A folder of LoRA files, as requests and people find them: by name and by content. Loads no tensors, draws nothing."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from hidream_studio.errors import ConflictError, LoraError, NotFoundError, RequestError
from hidream_studio.image.metadata import RestoredSettings
from hidream_studio.job.adjustment import Adjustment
from hidream_studio.job.ids import new_id
from hidream_studio.job.loras import HASH_CHARS_SHOWN, LoraAsked, LoraName, LoraUse
from hidream_studio.library.files import RESERVE_BYTES, TEMPORARY_SUFFIX, check_free_space, storage_errors
from hidream_studio.model.config import ModelConfig
from hidream_studio.model.lora_file import MAX_FILE_BYTES, LoraFile, read_lora

SUFFIX = ".safetensors"
NAMED = 8  # LoRAs in an error
PIECE_BYTES = 1 << 20  # that are read at a time
MAX_TOLD_CHARS = 200  # of each thing that a file says of itself
MAX_PROBLEM_CHARS = 600
MAX_TRIGGERS = 20
UNFIT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # control characters, and halves of characters
NOT_READ_YET = "0" * 64  # in place of a hash, where a price alone is asked

Stamp = tuple[int, int]  # size in bytes, time of change in ns


@dataclass(frozen=True)
class LoraEntry:
    """One file of the folder."""

    name: str  # without its suffix; what no text may hold in it is replaced
    path: Path
    stamp: Stamp
    hash: str | None = None  # SHA-256 of the file; None: not computed yet
    title: str = ""
    base: str = ""
    triggers: tuple[str, ...] = ()
    thumbnail: str = ""  # a data URL
    rank: int = 0  # the largest
    matrices: int = 0  # that it changes
    values: int = 0  # numbers in it, which are multiplied with each token
    remarks: tuple[str, ...] = ()  # what is in the file and is not applied
    problem: str | None = None  # why it cannot be used

    @property
    def nbytes(self) -> int:
        return self.stamp[0]


class LoraShelf:
    """The files as they were at the last `scan`. May be called from any thread; only `in memory` methods never wait."""

    def __init__(self, folder: Path, config: Callable[[], ModelConfig | None]) -> None:
        self.folder = folder
        self._config = config  # of the model that is served; None: not known yet
        self._checked_for: ModelConfig | None = None
        self._entries: dict[str, LoraEntry] = {}
        self._changing = threading.Lock()  # of the entries; never held while a whole file is read
        self._reading: dict[str, threading.Lock] = {}  # by name: so that one file is not read by two at a time
        self._closed = threading.Event()

    # in memory

    def entries(self) -> list[LoraEntry]:
        """By name, those that cannot be used too."""
        return [self._entries[name] for name in sorted(self._entries, key=str.casefold)]

    def get(self, name: str) -> LoraEntry:
        """Raises NotFoundError."""
        if name not in self._entries:
            raise NotFoundError(f"there is no LoRA called {name!r}{self._those_there()}", field="name")
        return self._entries[name]

    def by_hash(self, hash_: str) -> LoraEntry | None:
        return next((entry for entry in self._entries.values() if entry.hash == hash_), None)

    def values(self, loras: Iterable[LoraUse]) -> int:
        """Numbers in all of these that are multiplied with each token; of those that are gone, none."""
        found = (self.by_hash(use.hash) or self._entries.get(use.name) for use in loras if use.strength)
        return sum(entry.values for entry in found if entry is not None)

    def found(
        self, asked: Iterable[LoraAsked], *, field: str = "loras"
    ) -> tuple[tuple[LoraAsked, ...], tuple[Adjustment, ...]]:
        """Each with the hash of its file, and what is called otherwise by now.

        Raises
        ------
        RequestError
            where one is not there, has changed, or cannot be used.
        """
        pairs = [self._find(one, f"{field}.{index}") for index, one in enumerate(asked)]
        return tuple(lora for lora, _ in pairs), tuple(told for _, told in pairs if told is not None)

    def lacking(self, name: str, hash_: str | None) -> str | None:
        """Why no file is the one that is meant; None: one is, be it usable or not."""
        named = self._entries.get(name)
        if hash_ is not None and self.by_hash(hash_) is not None:
            return None
        if named is None:
            return f"there is no LoRA called {name!r}"
        if hash_ is None or named.hash is None:  # its content is still being read
            return None
        return (
            f"the LoRA {name!r} has changed: {hash_[:HASH_CHARS_SHOWN]} was asked for, it is "
            f"{named.hash[:HASH_CHARS_SHOWN]} now; without its hash it is drawn as it is"
        )

    def with_known(self, settings: RestoredSettings) -> RestoredSettings:
        """The settings with those LoRAs that are here; of the others the notes tell."""
        asked = settings.request.get("loras") or ()
        lacks = [self.lacking(one["name"], one.get("hash")) for one in asked]
        if not any(lacks):
            return settings
        request = {name: value for name, value in settings.request.items() if name != "loras"}
        if kept := [one for one, why in zip(asked, lacks, strict=True) if why is None]:
            request["loras"] = kept
        return replace(settings, request=request, notes=(*settings.notes, *filter(None, lacks)))

    def _find(self, asked: LoraAsked, field: str) -> tuple[LoraAsked, Adjustment | None]:
        if (why := self.lacking(asked.name, asked.hash)) is not None:
            raise RequestError(why + ("" if asked.name in self._entries else self._those_there()), field=field)
        named = self._entries.get(asked.name)
        entry = named if asked.hash is None or (named is not None and named.hash == asked.hash) else None
        if entry is None and asked.hash is not None:
            entry = self.by_hash(asked.hash)
        if entry is None:
            return asked, None
        if entry.problem is not None:
            raise RequestError(f"the LoRA {entry.name!r} cannot be used: {entry.problem}", field=field)
        told = None
        if entry.name != asked.name:
            told = Adjustment(field=field, asked=asked.name, used=entry.name, why="its file has another name now")
        return asked.model_copy(update={"name": entry.name, "hash": entry.hash or NOT_READ_YET}), told

    def _those_there(self) -> str:
        names = [entry.name for entry in self.entries() if entry.problem is None]
        if not names:
            return f"; there is none in {self.folder}"
        return f"; there are {', '.join(names[:NAMED])}{' …' if len(names) > NAMED else ''}"

    # waiting for the disk

    def scan(self, *, hashes: bool = True) -> bool:
        """Look what has come, changed or gone; whether something has. With `hashes` all new files are read through."""
        with self._changing:
            config = self._config()
            known = self._entries if config == self._checked_for else {}
            self._checked_for = config
            found: dict[str, LoraEntry] = {}
            for path, stamp in self._files():
                name = _clean(path.name.removesuffix(SUFFIX))
                if name in found and name != path.name.removesuffix(SUFFIX):
                    continue  # it looks like another one, which really has this name
                entry = known.get(name)
                unchanged = entry is not None and (entry.path, entry.stamp) == (path, stamp)
                found[name] = entry if entry is not None and unchanged else _read_entry(name, path, stamp, config)
            changed = found != self._entries
            self._entries = found
        for name in [name for name, entry in found.items() if hashes and entry.hash is None and not entry.problem]:
            changed = self._hash(name, until=self._closed) or changed
        return changed

    def ready(self, asked: Iterable[LoraAsked]) -> None:
        """All that these need is in memory and as it is on disk now."""
        asked = list(asked)
        self.scan(hashes=False)
        for one in asked:
            self._hash(one.name)
        if any(one.hash is not None and self.by_hash(one.hash) is None for one in asked):
            for entry in self.entries():  # it may have another name by now
                self._hash(entry.name)

    def close(self) -> None:
        """Let a `scan` that still reads files end soon; what somebody waits for is read to its end."""
        self._closed.set()

    def paths(self, loras: Iterable[LoraUse]) -> dict[str, str]:
        """Where the files of a job's LoRAs are, by hash.

        Raises
        ------
        LoraError
            where one is gone or has changed since.
        """
        used = [use for use in loras if use.strength]
        if used:
            self.ready(LoraAsked(name=use.name, hash=use.hash) for use in used)
        paths = {}
        for use in used:
            entry = self.by_hash(use.hash)
            if entry is None:
                how = "has changed" if use.name in self._entries else "is gone"
                raise LoraError(f"the LoRA {use.name!r} {how} since this picture was asked for", field="loras")
            paths[use.hash] = str(entry.path)
        return paths

    async def add(self, name: str, pieces: AsyncIterator[bytes]) -> LoraEntry:
        """Keep a file that is sent. Only what can be used stays.

        Raises
        ------
        RequestError
            when the name is none for a LoRA, or the file is too large.
        LoraError
            when it is no LoRA of this model.
        ConflictError
            when another one has the name.
        LibraryError
            when it cannot be written.
        """
        name = _checked_name(name)
        part = self.folder / f".{new_id()}{TEMPORARY_SUFFIX}"
        try:
            await self._write(part, pieces)
            return await asyncio.to_thread(self._take, part, name)
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)

    async def _write(self, part: Path, pieces: AsyncIterator[bytes]) -> None:
        with storage_errors(part):
            self.folder.mkdir(parents=True, exist_ok=True)
            with part.open("xb") as file:
                async for piece in pieces:
                    if file.tell() + len(piece) > MAX_FILE_BYTES:
                        raise RequestError(
                            f"the file is larger than {MAX_FILE_BYTES:,} bytes", field="file", limit=MAX_FILE_BYTES
                        )
                    check_free_space(self.folder, len(piece) + RESERVE_BYTES)  # a database may be on the same disk
                    await asyncio.to_thread(file.write, piece)

    def _take(self, part: Path, name: str) -> LoraEntry:
        """A whole file under its name, where it can be used."""
        there = self.folder / f"{name}{SUFFIX}"
        config = self._config()
        if config is None:
            raise ConflictError("the model is not here yet, so that no LoRA can be checked against it")
        try:
            _read_file(part, config)
        except LoraError as error:
            raise LoraError(error.message.replace(part.name, there.name), field="file") from None
        with storage_errors(there):
            if there.exists() and _hash_of(there) != _hash_of(part):
                raise ConflictError(f"there is another LoRA called {name!r}; delete it first", field="name")
            part.replace(there)
        self.ready([LoraAsked(name=name)])
        return self.get(name)

    def delete(self, name: str) -> None:
        """Delete the file. Raises NotFoundError, LibraryError."""
        entry = self.get(name)
        with storage_errors(entry.path):
            entry.path.unlink(missing_ok=True)
        self.scan(hashes=False)

    def _files(self) -> list[tuple[Path, Stamp]]:
        found = []
        with suppress(OSError):  # there is no such folder, or it is unreadable: then there are none
            for path in self.folder.iterdir():
                with suppress(OSError):
                    if path.suffix == SUFFIX and not path.name.startswith(".") and path.is_file():
                        facts = path.stat()
                        found.append((path, (facts.st_size, facts.st_mtime_ns)))
        return found

    def _hash(self, name: str, until: threading.Event | None = None) -> bool:
        """Read a file through, where that was not done yet; whether its entry has changed."""
        with self._changing:
            reading = self._reading.setdefault(name, threading.Lock())
        with reading:
            entry = self._entries.get(name)
            if entry is None or entry.hash is not None or entry.problem is not None:
                return False
            try:
                hash_ = _hash_of(entry.path, until)
            except OSError as error:
                hashed = replace(entry, problem=f"it cannot be read: {error.strerror or error}")
            else:
                hashed = replace(entry, hash=hash_)
            with self._changing:
                if self._entries.get(name) is not entry or hashed == entry:  # it is another file now, or was not read
                    return False
                self._entries = {**self._entries, name: hashed}
                return True


def thumbnail_of(entry: LoraEntry) -> tuple[bytes, str] | None:
    """The preview picture that a file's metadata have, and its media type."""
    kind, _, text = entry.thumbnail.partition(";base64,")
    try:
        return (base64.b64decode(text, validate=True), kind.removeprefix("data:")) if text else None
    except ValueError:  # no base64, or not even ASCII
        return None


def _read_entry(name: str, path: Path, stamp: Stamp, config: ModelConfig | None) -> LoraEntry:
    entry = LoraEntry(name, path, stamp, title=name)
    try:
        _checked_name(path.name)
        if config is None:
            return replace(entry, problem="the model is not here yet, so that it cannot be checked against it")
        return replace(entry, **_facts(_read_file(path, config)))
    except (LoraError, RequestError) as error:
        return replace(entry, problem=_clean(error.message, MAX_PROBLEM_CHARS))


def _read_file(path: Path, config: ModelConfig) -> LoraFile:
    """As `read_lora`; what nobody thought of in a file is its problem, too, and no other's. Raises LoraError."""
    try:
        return read_lora(path, config)
    except LoraError:
        raise
    except Exception as error:
        logging.getLogger(__name__).exception("the LoRA %r could not be read", path.name)
        raise LoraError(f"{path.name} cannot be read: {type(error).__name__}") from error


def _facts(file: LoraFile) -> dict[str, Any]:
    pairs = file.pairs
    return {
        "title": _clean(file.title), "base": _clean(file.base), "thumbnail": file.thumbnail,
        "triggers": tuple(_clean(word) for word in file.triggers[:MAX_TRIGGERS]),
        "rank": max((pair.rank for pair in (*pairs, *file.vision_pairs)), default=0),
        "matrices": len(pairs) + len(file.vision_pairs), 
        "remarks": tuple(_clean(remark, MAX_PROBLEM_CHARS) for remark in file.remarks),
        "values": sum(pair.rank * (pair.down.shape[1] + pair.up.shape[0]) for pair in pairs),
    }  # fmt: skip


def _clean(text: str, max_chars: int = MAX_TOLD_CHARS) -> str:
    """As every page and every answer can show it; a longer one ends in an ellipsis."""
    text = UNFIT.sub("\N{REPLACEMENT CHARACTER}", text)
    return text if len(text) <= max_chars else f"{text[: max_chars - 1]}…"


def _checked_name(name: str) -> str:
    name = re.sub(rf"{re.escape(SUFFIX)}$", "", name)
    try:
        checked: str = TypeAdapter(LoraName).validate_python(name)
    except ValidationError:
        raise RequestError(
            f"{name[:80]!r} is no name for a LoRA: up to 200 characters, none of / \\ : < >", field="name"
        ) from None
    if checked.startswith(".") or checked != checked.strip():
        raise RequestError(
            f"{name[:80]!r} is no name for a LoRA: it begins with a dot or ends in a space", field="name"
        )
    return checked


def _hash_of(path: Path, until: threading.Event | None = None) -> str | None:
    """SHA-256 of a file; None where `until` was set before its end. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            if until is not None and until.is_set():
                return None
            digest.update(piece)
    return digest.hexdigest()
