"""PNGs keep pixels and texts; what strangers send is refused in one sentence, and no pixel is decoded for a text."""

from __future__ import annotations

import io
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from hidream_studio.errors import RequestError
from hidream_studio.image.png import (
    MAX_CHUNKS,
    MAX_FILE_BYTES,
    MAX_TEXT_BYTES,
    decode_png,
    encode_png,
    read_known_texts,
    read_size,
    read_text_chunks,
    with_text_chunks,
)

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width: int, height: int) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def stranger(*chunks: bytes, width: int = 4, height: int = 4) -> bytes:
    pixels = chunk(b"IDAT", zlib.compress(b"\x00" * height * (1 + 3 * width)))
    return SIGNATURE + header(width, height) + b"".join(chunks) + pixels + chunk(b"IEND", b"")


def noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_pixels_and_texts_come_back_as_they_were() -> None:
    pixels = noise(96, 64)
    texts = {"hidream_studio": '{"a": 1}', "parameters": "a sign: “café”\n漢字 ★", "empty": ""}

    png = encode_png(pixels, texts)

    assert np.array_equal(decode_png(png), pixels)
    assert read_text_chunks(png) == texts
    assert read_size(png) == (96, 64)


def test_pillow_reads_the_texts_that_we_write() -> None:
    png = encode_png(noise(32, 32), {"parameters": "plain", "other": "漢字"})

    with Image.open(io.BytesIO(png)) as image:
        image.load()
        assert image.info["parameters"] == "plain" and image.info["other"] == "漢字"


def test_we_read_the_texts_that_pillow_writes_compressed_or_not_also_after_the_pixels(tmp_path: Path) -> None:
    info = PngInfo()
    info.add_text("plain", "one")
    info.add_text("compressed", "two " * 1000, zip=True)
    info.add_itxt("unicode", "漢字", zip=True)
    info.add(b"tEXt", b"late\x00three", after_idat=True)
    file = tmp_path / "a.png"
    Image.fromarray(noise(32, 32)).save(file, pnginfo=info)

    assert read_text_chunks(file) == {"plain": "one", "compressed": "two " * 1000, "unicode": "漢字", "late": "three"}


def test_new_texts_take_the_place_of_old_ones_and_leave_the_pixels_alone() -> None:
    pixels = noise(32, 32)
    png = encode_png(pixels, {"a": "old", "b": "kept"})

    changed = with_text_chunks(png, {"a": "new", "c": "more"})

    assert read_text_chunks(changed) == {"a": "new", "b": "kept", "c": "more"}
    assert np.array_equal(decode_png(changed), pixels)


def test_a_picture_with_transparency_or_one_channel_is_read_as_rgb(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    for mode in ("RGBA", "L", "P", "1", "I;16"):
        Image.new(mode, (8, 4)).save(file)

        assert decode_png(file).shape == (4, 8, 3)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "no PNG"),
        (b"GIF89a" + bytes(100), "no PNG"),
        (SIGNATURE, "ends within its header"),
        (SIGNATURE + header(4, 4)[:-1] + b"x" + bytes(50), "header is damaged"),
        (SIGNATURE + header(0, 4) + chunk(b"IEND", b""), "0×4"),
        (SIGNATURE + header(4, 2**31) + chunk(b"IEND", b""), "no PNG can be"),
        (SIGNATURE + header(4, 4), "cut off"),
        (stranger()[:-6], "cut off"),
        (SIGNATURE + header(4, 4) + struct.pack(">I", 2**31) + b"IDAT" + bytes(64), "2,147,483,648 bytes where"),
        (stranger(chunk(b"tEXt", b"no keyword")), "no keyword"),
        (stranger(chunk(b"tEXt", b"k" * 80 + b"\x00text")), "no keyword"),
        (stranger(chunk(b"tEXt", b"key\x00text")[:-1] + b"x"), "checksum"),
        (stranger(chunk(b"zTXt", b"key\x00\x01rest")), "unknown way"),
        (stranger(chunk(b"zTXt", b"key\x00\x00rest")), "cannot be decompressed"),
        (stranger(chunk(b"zTXt", b"key\x00\x00" + zlib.compress(b"text" * 99)[:-8])), "cut off"),
        (stranger(chunk(b"iTXt", b"key\x00\x00")), "damaged"),
        (stranger(chunk(b"iTXt", b"key\x00\x01\x07\x00\x00rest")), "unknown way"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_what_it_says_is_refused_in_one_sentence(data: bytes, says: str) -> None:
    with pytest.raises(RequestError) as refusal:
        read_text_chunks(data)

    assert refusal.value.field == "file" and says in refusal.value.message and "\n" not in refusal.value.message


def test_a_text_that_would_unpack_to_a_hundred_times_its_limit_is_refused_in_a_moment() -> None:
    bomb = b""
    packer = zlib.compressobj(9)
    for _ in range(100):
        bomb += packer.compress(bytes(1_000_000))
    bomb += packer.flush()
    started = time.monotonic()

    for kind, head in ((b"zTXt", b"key\x00\x00"), (b"iTXt", b"key\x00\x01\x00\x00\x00")):
        with pytest.raises(RequestError) as refusal:
            read_text_chunks(stranger(chunk(kind, head + bomb)))
        assert refusal.value.limit == MAX_TEXT_BYTES
    assert time.monotonic() - started < 1


PARAMETERS = chunk(b"tEXt", b"parameters\x00a cat")
FOREIGN = {
    "large": chunk(b"tEXt", b"foreign\x00" + b"x" * 2 * MAX_TEXT_BYTES),
    "damaged": chunk(b"tEXt", b"foreign\x00text")[:-1] + b"x",
    "without keyword": chunk(b"tEXt", b"no keyword"),
    "compressed in an unknown way": chunk(b"zTXt", b"foreign\x00\x01rest"),
    "a bomb": chunk(b"zTXt", b"foreign\x00\x00" + zlib.compress(bytes(5_000_000))),
}


@pytest.mark.parametrize("foreign", FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_text_hides_no_settings_beside_it(foreign: bytes) -> None:
    for chunks in ((foreign, PARAMETERS), (PARAMETERS, foreign)):
        found = read_known_texts(stranger(*chunks), ["parameters"])
        assert (found.texts, found.unread) == ({"parameters": "a cat"}, ())


@pytest.mark.parametrize("foreign", FOREIGN.values(), ids=FOREIGN)
def test_a_known_text_that_cannot_be_read_is_passed_over_with_its_reason(foreign: bytes) -> None:
    if b"foreign" not in foreign:
        return
    found = read_known_texts(stranger(foreign, PARAMETERS), ["foreign", "parameters"])
    assert found.texts == {"parameters": "a cat"}
    assert len(found.unread) == 1 and "'foreign' was passed over" in found.unread[0]


def test_of_a_thousand_bombs_under_a_known_name_one_is_looked_at() -> None:
    bomb = chunk(b"zTXt", b"parameters\x00\x00" + zlib.compress(bytes(5_000_000)))
    found = read_known_texts(stranger(*[bomb] * 1000), ["parameters"])
    assert (found.texts, len(found.unread)) == ({}, 1)


@pytest.mark.parametrize(
    ("raw", "text"), [("漢字 ä".encode(), "漢字 ä"), ("ä ñ".encode("latin-1"), "ä ñ"), (b"plain", "plain")]
)
def test_a_text_is_read_as_utf_8_where_it_is_that_and_as_latin_1_where_not(raw: bytes, text: str) -> None:
    for kind, data in ((b"tEXt", raw), (b"zTXt", b"\x00" + zlib.compress(raw))):
        png = stranger(chunk(kind, b"parameters\x00" + data))
        assert read_text_chunks(png) == read_known_texts(png, ["parameters"]).texts == {"parameters": text}


@pytest.mark.parametrize("text", ["Ã©", "café", "Â©", "漢字", "\x80"])
def test_what_we_write_is_read_as_it_was_also_where_latin_1_would_look_like_utf_8(text: str) -> None:
    assert read_text_chunks(encode_png(noise(8, 8), {"parameters": text})) == {"parameters": text}


def test_many_texts_are_limited_together() -> None:
    texts = [chunk(b"tEXt", b"k%d\x00" % number + b"x" * 300_000) for number in range(4)]

    with pytest.raises(RequestError) as refusal:
        read_text_chunks(stranger(*texts))

    assert refusal.value.limit == MAX_TEXT_BYTES


def test_a_file_of_empty_chunks_is_given_up_on() -> None:
    with pytest.raises(RequestError) as refusal:
        read_text_chunks(SIGNATURE + header(4, 4) + chunk(b"aaAa", b"") * (MAX_CHUNKS + 1))

    assert refusal.value.limit == MAX_CHUNKS


def test_a_file_over_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "large.png"
    with file.open("wb") as sparse:
        sparse.write(stranger())
        sparse.truncate(MAX_FILE_BYTES + 1)

    with pytest.raises(RequestError) as refusal:
        read_text_chunks(file)

    assert refusal.value.limit == MAX_FILE_BYTES


def test_the_texts_of_a_picture_bomb_are_read_without_its_pixels_and_its_pixels_are_refused() -> None:
    bomb = stranger(chunk(b"tEXt", b"parameters\x00a cat"), width=4, height=4)
    bomb = bomb.replace(header(4, 4), header(60_000, 60_000))

    assert read_text_chunks(bomb) == {"parameters": "a cat"}
    with pytest.raises(RequestError, match="60000×60000"):
        decode_png(bomb)


def test_a_picture_that_holds_fewer_pixels_than_it_says_is_refused() -> None:
    lying = stranger().replace(header(4, 4), header(1000, 1000))

    with pytest.raises(RequestError, match="cannot be decoded"):
        decode_png(lying)


def test_a_keyword_or_text_that_no_png_can_hold_is_a_mistake_of_the_caller() -> None:
    for keyword, text in (("", "x"), ("k" * 80, "x"), ("k", "a\x00b")):
        with pytest.raises(ValueError, match="cannot be a text"):
            encode_png(noise(8, 8), {keyword: text})


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_bytes_are_damaged_the_answer_is_a_refusal_or_a_text(data: st.DataObject) -> None:
    png = bytearray(encode_png(noise(8, 8), {"hidream_studio": "{}", "parameters": "漢字"}))
    for _ in range(data.draw(st.integers(1, 4))):
        png[data.draw(st.integers(0, len(png) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(png[: data.draw(st.integers(0, len(png)))])

    for read in (read_text_chunks, read_size, decode_png):
        try:
            read(damaged)
        except RequestError as refusal:
            assert refusal.field == "file"
