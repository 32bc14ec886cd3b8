"""JPEG and WebP files, and PNGs with EXIF data, say what they were made with; damaged ones do no harm."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.ExifTags import IFD, Base

from hidream_studio.errors import RequestError
from hidream_studio.image.exif import exif_texts
from hidream_studio.image.metadata import read_file, settings_from_chunks

TEXT = "a red heart – 漢字\nNegative prompt: blurry\nSteps: 20, Sampler: Euler, CFG scale: 3, Seed: 42, Size: 512x512"
SAYS = {
    "prompt": "a red heart – 漢字", "negative_prompt": "blurry", "steps": 20, "sampler": "euler",
    "guidance_scale": 3.0, "seed": 42, "width": 512, "height": 512, "snap_resolution": False,
}  # fmt: skip
COMMENTS = {
    "big-endian UTF-16": b"UNICODE\0" + TEXT.encode("utf-16-be"),
    "little-endian UTF-16": b"UNICODE\0" + TEXT.encode("utf-16-le"),
    "UTF-16 that says its order": b"UNICODE\0" + TEXT.encode("utf-16"),
    "UTF-8 under the name of UTF-16": b"UNICODE\0" + TEXT.encode(),
    "UTF-8 under the name of ASCII": b"ASCII\0\0\0" + TEXT.encode(),
    "no name": bytes(8) + TEXT.encode(),
    "no name, and no place for one": TEXT.encode(),
}


def exif(comment: bytes | None = None, **tags: str) -> Image.Exif:
    made = Image.Exif()
    if comment is not None:
        made.get_ifd(IFD.Exif)[Base.UserComment] = comment
    for name, value in tags.items():
        made[Base[name]] = value
    return made


def picture(kind: str, made: Image.Exif) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, kind, exif=made.tobytes())
    return file.getvalue()


def restored(data: bytes) -> dict[str, object]:
    file = read_file(data)
    return settings_from_chunks(file.texts, file.unread).request


@pytest.mark.parametrize("comment", COMMENTS.values(), ids=COMMENTS)
@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG"])
def test_the_comment_of_a_picture_brings_its_settings_back(kind: str, comment: bytes) -> None:
    assert restored(picture(kind, exif(comment))) == SAYS


def test_the_graph_in_a_webp_of_comfyui_brings_its_settings_back() -> None:
    graph = {
        "3": {"class_type": "KSampler", "inputs": {"seed": 5, "steps": 20, "cfg": 3.0, "positive": ["6", 0]}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a red heart"}},
    }
    data = picture("WEBP", exif(Model=f"prompt:{json.dumps(graph)}", Make='workflow:{"nodes": []}'))
    assert restored(data) == {"prompt": "a red heart", "seed": 5, "steps": 20, "guidance_scale": 3.0}


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
@pytest.mark.parametrize("made", [exif(), exif(b"ASCII\0\0\0on holiday"), exif(Make="a camera")])
def test_a_photo_brings_no_settings_back(kind: str, made: Image.Exif) -> None:
    with pytest.raises(RequestError, match="no settings back") as refusal:
        restored(picture(kind, made))
    assert refusal.value.field == "file"


def test_what_a_browser_sends_of_a_picture_is_enough() -> None:
    """`drop.js` leaves out everything but the EXIF data."""
    raw = exif(COMMENTS["big-endian UTF-16"]).tobytes()
    jpeg = b"\xff\xd8\xff\xe1" + struct.pack(">H", len(raw) + 2) + raw + b"\xff\xd9"
    webp = b"RIFF\0\0\0\0WEBPEXIF" + struct.pack("<I", len(raw)) + raw
    assert restored(jpeg) == restored(webp) == SAYS


def test_other_segments_before_the_settings_do_not_hide_them() -> None:
    raw = exif(COMMENTS["big-endian UTF-16"]).tobytes()
    segments = [b"\xff\xe1" + struct.pack(">H", 2 + len(data)) + data for data in (b"http://ns.adobe.com/xap/", raw)]
    assert restored(b"\xff\xd8\xff\xe0\0\x02" + b"\xff\xff" + segments[0] + segments[1] + b"\xff\xd9") == SAYS


def test_a_text_of_a_png_goes_before_its_exif_data() -> None:
    made = Image.new("RGB", (8, 8))
    file = io.BytesIO()
    made.save(file, "PNG", exif=exif(COMMENTS["no name"]).tobytes())
    text = b"parameters\0a cat\nSteps: 3, Seed: 1"
    chunk = struct.pack(">I", len(text)) + b"tEXt" + text + struct.pack(">I", zlib.crc32(b"tEXt" + text))
    data = file.getvalue()
    assert restored(data[:33] + chunk + data[33:]) == {"prompt": "a cat", "steps": 3, "seed": 1}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_bytes_are_damaged_the_answer_is_a_refusal_or_settings(data: st.DataObject) -> None:
    whole = bytearray(picture(data.draw(st.sampled_from(["JPEG", "WEBP"])), exif(COMMENTS["no name"])))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        restored(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    except RequestError as refusal:
        assert refusal.field == "file"


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_as_exif_data_are_texts_or_none(raw: bytes) -> None:
    for head in (b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"):
        exif_texts(head + raw)


def test_exif_data_whose_entries_all_point_at_the_same_megabyte_costs_no_more_than_that() -> None:
    entries, size = 1000, 900_000
    table = b"".join(struct.pack("<HHII", 1000 + tag, 7, size, 8) for tag in range(entries))
    raw = (b"II*\0" + struct.pack("<IH", 8, entries) + table).ljust(1_000_000, b"\0")
    tracemalloc.start()
    try:
        assert exif_texts(raw) == {}
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
