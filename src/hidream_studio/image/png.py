"""PNG in and out: encoded fast, and its text chunks read without decoding a pixel. Knows not what the texts mean.

Every byte that is read here may come from a stranger: each length is checked before it is believed, and whatever is
wrong becomes a RequestError of one sentence that names the field "file". A path that cannot be opened stays an OSError.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hidream_studio.errors import RequestError
from hidream_studio.job.sizes import MAX_AREA_PX

MAX_FILE_BYTES = 100_000_000
MAX_TEXT_BYTES = 1_000_000  # all text of a file together, decompressed
MAX_CHUNKS = 100_000  # a 100 MB file of empty chunks would hold 8 million
COMPRESS_LEVEL = 1  # at 2048² as small as level 6 with Z_RLE, in 40 % of its time (docs/lab-log.md)

_SIGNATURE = b"\x89PNG\r\n\x1a\n"  # the chunk layout below: W3C PNG specification, third edition, section 5
_TEXT_TYPES = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_EXIF_TYPE = b"eXIf"
_MAX_SIDE_PX = 2**31 - 1
_MAX_KEYWORD_BYTES = 79


@dataclass(frozen=True)
class _Chunk:
    type: bytes
    data_start: int  # byte offset in the file
    length: int  # bytes

    @property
    def start(self) -> int:
        return self.data_start - 8

    @property
    def end(self) -> int:
        return self.data_start + self.length + 4


def is_png(data: bytes) -> bool:
    return data.startswith(_SIGNATURE)


def encode_png(
    pixels: NDArray[np.uint8],  # (H, W, 3)
    chunks: Mapping[str, str] | None = None,
    *,
    level: int = COMPRESS_LEVEL,
) -> bytes:
    """The pixels as a PNG that carries `chunks` (keyword to text) before its image data."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=level, compress_type=zlib.Z_RLE)
    return with_text_chunks(file.getvalue(), chunks or {})


def decode_png(
    source: bytes | Path,
    *,
    max_area_px: int = MAX_AREA_PX,
) -> NDArray[np.uint8]:  # (H, W, 3)
    """The pixels of a PNG as RGB; transparency is dropped.

    Raises
    ------
    RequestError
        when it is no PNG, is damaged, or holds more pixels than `max_area_px`; nothing is decoded in that case.
    """
    width, height = read_size(source)
    if width * height > max_area_px:
        raise RequestError(
            f"the PNG is {width}×{height} = {width * height:,} px; at most {max_area_px:,} px can be read",
            field="file", limit=max_area_px,
        )  # fmt: skip
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=["PNG"]) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error) as error:
        raise _bad(f"the PNG's pixels cannot be decoded: {error}") from error


def read_size(source: bytes | Path) -> tuple[int, int]:
    """The (width, height) in px that the file declares.

    Raises
    ------
    RequestError
        when it is no PNG, too large a file, or ends within its header.
    """
    with _opened(source) as (file, total):
        return _read_header(file, total)


def read_text_chunks(source: bytes | Path) -> dict[str, str]:
    """Every text of the file by its keyword (tEXt, zTXt and iTXt; the last of equal keywords), no pixel decoded.

    Raises
    ------
    RequestError
        when it is no PNG, ends before its end, is damaged in its texts, or is beyond a limit (`MAX_FILE_BYTES`,
        `MAX_TEXT_BYTES`, `MAX_CHUNKS`).
    """
    texts: dict[str, str] = {}
    budget = MAX_TEXT_BYTES
    with _opened(source) as (file, total):
        _read_header(file, total)
        for chunk in _walk(file, total):
            if chunk.type not in _TEXT_TYPES:
                continue
            if chunk.length > budget:
                raise _too_much_text()
            keyword, raw, encoding = _parse_text(chunk.type, _checked_data(file, chunk), budget)
            budget -= len(raw)
            texts[keyword] = _decoded(raw, encoding)
    return texts


@dataclass(frozen=True)
class KnownTexts:
    """The texts that were looked for, as far as they can be read."""

    texts: dict[str, str]
    unread: tuple[str, ...]  # what could not be read, one sentence each
    exif: bytes | None  # of an eXIf chunk


def read_known_texts(source: bytes | Path, keywords: Collection[str]) -> KnownTexts:
    """The texts of these keywords, and the EXIF data, each on its own: none hides another, and no other is read.

    Raises
    ------
    RequestError
        when it is no PNG, ends before its end, or has more than `MAX_CHUNKS`.
    """
    texts: dict[str, str] = {}
    unread: list[str] = []
    exif = None
    with _opened(source) as (file, total):
        _read_header(file, total)
        chunks: dict[str, _Chunk] = {}  # the last of equal keywords
        for chunk in _walk(file, total):
            if chunk.type in _TEXT_TYPES and (keyword := _keyword(file, chunk)) in keywords:
                chunks[keyword] = chunk
            elif chunk.type == _EXIF_TYPE and chunk.length <= MAX_TEXT_BYTES:
                file.seek(chunk.data_start)
                exif = file.read(chunk.length)
        for keyword, chunk in chunks.items():
            try:
                if chunk.length > MAX_TEXT_BYTES:
                    raise _too_much_text()
                _, raw, encoding = _parse_text(chunk.type, _checked_data(file, chunk), MAX_TEXT_BYTES)
                texts[keyword] = _decoded(raw, encoding)
            except RequestError as error:
                unread.append(f"the text {keyword!r} was passed over: {error.message}")
    return KnownTexts(texts, tuple(unread), exif)


def with_text_chunks(png: bytes, chunks: Mapping[str, str]) -> bytes:
    """`png` with these texts before its image data, in the place of texts of the same keywords.

    Raises
    ------
    ValueError
        when a keyword is not 1 to 79 Latin-1 characters, or a text holds a NUL.
    """
    if not chunks:
        return png
    new = b"".join(_text_chunk(keyword, text) for keyword, text in chunks.items())
    parts: list[bytes] = []
    view = memoryview(png)
    with _opened(png) as (file, total):
        _read_header(file, total)
        kept_from = 0
        for chunk in _walk(file, total):
            if chunk.type == b"IHDR":
                parts += [bytes(view[: chunk.end]), new]
                kept_from = chunk.end
            elif chunk.type in _TEXT_TYPES:
                keyword = _checked_data(file, chunk).partition(b"\x00")[0].decode("latin-1")
                if keyword in chunks:
                    parts.append(bytes(view[kept_from : chunk.start]))
                    kept_from = chunk.end
        parts.append(bytes(view[kept_from:]))
    return b"".join(parts)


@contextmanager
def _opened(source: bytes | Path) -> Iterator[tuple[BinaryIO, int]]:
    """A file or bytes as a seekable stream with its size, refused when too large."""
    total = len(source) if isinstance(source, bytes) else source.stat().st_size
    if total > MAX_FILE_BYTES:
        raise RequestError(
            f"the file has {total:,} bytes; a PNG of at most {MAX_FILE_BYTES:,} bytes is read",
            field="file", limit=MAX_FILE_BYTES,
        )  # fmt: skip
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        yield file, total


def _read_header(file: BinaryIO, total: int) -> tuple[int, int]:
    file.seek(0)
    head = file.read(33)  # signature, then the whole IHDR chunk
    if head[:8] != _SIGNATURE:
        raise _bad("the file is no PNG")
    if len(head) < 33 or total < 33:
        raise _bad("the PNG ends within its header")
    length, kind, width, height = struct.unpack(">I4sII", head[8:24])
    if kind != b"IHDR" or length != 13 or struct.unpack(">I", head[29:33])[0] != zlib.crc32(head[12:29]):
        raise _bad("the PNG's header is damaged")
    if not (1 <= width <= _MAX_SIDE_PX and 1 <= height <= _MAX_SIDE_PX):
        raise _bad(f"the PNG says that it is {width}×{height} px, which no PNG can be")
    return width, height


def _walk(file: BinaryIO, total: int) -> Iterator[_Chunk]:
    """Every chunk up to IEND, by seeking: image data is never read."""
    position = len(_SIGNATURE)
    for _ in range(MAX_CHUNKS):
        file.seek(position)
        head = file.read(8)
        if len(head) < 8:
            raise _bad("the PNG ends before its end: it was cut off")
        length, kind = struct.unpack(">I4s", head)
        chunk = _Chunk(kind, position + 8, length)
        if chunk.end > total:
            raise _bad(f"the PNG is cut off or lies: a chunk says {length:,} bytes where {total - position:,} are left")
        yield chunk
        if kind == b"IEND":
            return
        position = chunk.end
    raise RequestError(f"the PNG has more than {MAX_CHUNKS:,} chunks", field="file", limit=MAX_CHUNKS)


def _checked_data(file: BinaryIO, chunk: _Chunk) -> bytes:
    file.seek(chunk.data_start)
    data, checksum = file.read(chunk.length), file.read(4)
    if len(checksum) < 4 or struct.unpack(">I", checksum)[0] != zlib.crc32(chunk.type + data):
        raise _bad("a text of the PNG is damaged: its checksum does not fit")
    return data


def _keyword(file: BinaryIO, chunk: _Chunk) -> str:
    file.seek(chunk.data_start)
    head = file.read(min(chunk.length, _MAX_KEYWORD_BYTES + 1))
    return head.partition(b"\x00")[0].decode("latin-1")


def _decoded(raw: bytes, encoding: str) -> str:
    """Many programs write UTF-8 where Latin-1 belongs; what is valid as UTF-8 hardly ever means anything else."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode(encoding, errors="replace")


def _parse_text(kind: bytes, data: bytes, budget: int) -> tuple[str, bytes, str]:
    """Keyword, text as bytes, and the encoding of those."""
    keyword, found, rest = data.partition(b"\x00")
    if not found or not 1 <= len(keyword) <= _MAX_KEYWORD_BYTES:
        raise _bad("a text of the PNG is damaged: it has no keyword")
    name = keyword.decode("latin-1")
    if kind == b"tEXt":
        return name, rest, "latin-1"
    if kind == b"zTXt":
        if rest[:1] != b"\x00":
            raise _bad(f"the text {name!r} of the PNG is compressed in an unknown way")
        return name, _inflate(name, rest[1:], budget), "latin-1"
    compressed, method, parts = rest[:1], rest[1:2], rest[2:].split(b"\x00", 2)
    if len(parts) != 3 or compressed not in (b"\x00", b"\x01"):
        raise _bad(f"the text {name!r} of the PNG is damaged")
    if compressed == b"\x00":
        return name, parts[2], "utf-8"
    if method != b"\x00":
        raise _bad(f"the text {name!r} of the PNG is compressed in an unknown way")
    return name, _inflate(name, parts[2], budget), "utf-8"


def _inflate(name: str, data: bytes, budget: int) -> bytes:
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(data, budget + 1)  # never more than this, whatever the data would become
    except zlib.error as error:
        raise _bad(f"the text {name!r} of the PNG cannot be decompressed") from error
    if len(text) > budget:
        raise _too_much_text()
    if not inflater.eof:
        raise _bad(f"the text {name!r} of the PNG is cut off")
    return text


def _text_chunk(keyword: str, text: str) -> bytes:
    name = keyword.encode("latin-1")
    if not 1 <= len(name) <= _MAX_KEYWORD_BYTES or "\x00" in keyword + text:
        raise ValueError(f"{keyword!r} cannot be a text of a PNG")
    if text.isascii():  # Latin-1 beyond it may be read as UTF-8, by us too
        kind, data = b"tEXt", name + b"\x00" + text.encode("ascii")
    else:
        kind, data = b"iTXt", name + b"\x00\x00\x00\x00\x00" + text.encode("utf-8")
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _bad(message: str) -> RequestError:
    return RequestError(message, field="file")


def _too_much_text() -> RequestError:
    return RequestError(f"the PNG holds more than {MAX_TEXT_BYTES:,} bytes of text", field="file", limit=MAX_TEXT_BYTES)
