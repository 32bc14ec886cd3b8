"""The library over HTTP: found, marked, finished, imported and deleted."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from PIL.ExifTags import IFD, Base
from studio_serving import StudioServer

from hidream_studio.image.png import decode_png, encode_png, read_text_chunks
from hidream_studio.job.ids import new_id


def test_a_picture_is_found_by_words_and_by_settings(server: StudioServer) -> None:
    drawn = server.draw(prompt="a violet walrus", seed=4242)
    for query in ("walrus violet", "VIOLET seed:4242", "size:256x256 walrus", "steps:2 walrus"):
        found = server.client.get("/api/images", params={"q": query}).json()["images"]
        assert [image["id"] for image in found] == [drawn["id"]], query
    assert server.client.get("/api/images", params={"q": "walrus seed:1"}).json()["images"] == []


def test_a_favourite_and_a_rejected_picture_are_marked_and_taken_back(server: StudioServer) -> None:
    address = f"/api/images/{server.draw(prompt='a marked cat')['id']}"
    assert server.client.patch(address, json={"favourite": True}).json()["favourite"] is True
    rejected = server.client.patch(address, json={"rejected": True}).json()
    assert rejected["rejected"] is True
    assert rejected["favourite"] is True
    assert server.client.get("/api/images", params={"q": "marked"}).json()["images"] == []
    assert len(server.client.get("/api/images", params={"q": "marked", "rejected": True}).json()["images"]) == 1
    assert "rejected_at" not in server.client.patch(address, json={"rejected": False}).json()
    for bad in ({"favourite": 1}, {"favourite": "yes"}, {"prompt": "x"}, []):
        assert server.client.patch(address, json=bad).status_code == 422, bad


def test_a_draft_is_finished_and_both_know_it(server: StudioServer) -> None:
    draft = server.draw(prompt="a finished cat")
    body = {"mode": "re-render", "width": 288, "height": 288, "steps": 3, "guidance_scale": 1.0}
    assert server.client.post(f"/api/images/{draft['id']}/finish/estimate", json=body).json()["steps"] == 3
    job = server.client.post(f"/api/images/{draft['id']}/finish", json=body).json()
    final_id = server.until(job["id"], "finished", "failed")["image_id"]
    final = server.client.get(f"/api/images/{final_id}").json()
    assert final["parent_id"] == draft["id"]
    assert [relative["id"] for relative in final["lineage"]] == [draft["id"], final_id]
    assert (final["width"], final["steps"], final["seed"]) == (288, 3, draft["seed"])
    children = server.client.get("/api/images", params={"parent_id": draft["id"]}).json()["images"]
    assert [child["id"] for child in children] == [final_id]


def test_head_answers_as_get_without_the_body(server: StudioServer) -> None:
    address = f"/api/images/{server.draw()['id']}"
    for path in (f"{address}/file", f"{address}/thumb", "/health"):
        head, got = server.client.head(path), server.client.get(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == got.headers["content-type"]
    assert int(server.client.head(f"{address}/file").headers["content-length"]) > 1000
    assert server.client.head("/metrics").status_code == 200


def test_a_picture_can_be_deleted_and_is_gone_everywhere(server: StudioServer) -> None:
    address = f"/api/images/{server.draw()['id']}"
    assert server.client.get(f"{address}/thumb").headers["content-type"] == "image/webp"
    assert server.client.delete(address).status_code == 204
    for path in ("", "/file", "/thumb"):
        assert server.client.get(address + path).status_code == 404
    assert server.client.delete(address).status_code == 404
    assert server.client.post(f"{address}/finish", json={}).status_code == 404


def test_a_file_that_has_vanished_is_said_to_have_vanished(server: StudioServer) -> None:
    image_id = server.draw()["id"]
    server.studio.library.file_path(image_id).unlink()
    for path in ("file", "thumb"):
        answer = server.client.get(f"/api/images/{image_id}/{path}")
        assert answer.status_code == 404
        assert "vanished" in answer.json()["error"]["message"] or "missing" in answer.json()["error"]["message"]


@pytest.mark.parametrize("unknown", ["x", "..%2f..%2fetc%2fpasswd", "%00", "%f0%28", "a" * 5000, "'; DROP TABLE x"])
def test_an_unknown_picture_is_not_found(server: StudioServer, unknown: str) -> None:
    for path in (unknown, f"{unknown}/file", f"{unknown}/thumb", new_id()):
        answer = server.client.get(f"/api/images/{path}")
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "not_found"


def test_our_own_png_brings_back_its_settings_and_its_picture(server: StudioServer) -> None:
    drawn = server.draw(prompt="a remembered cat", negative_prompt="dogs", response_format="url")
    file = server.client.get(drawn["url"]).content
    answer = server.client.post("/api/images/import", content=file, headers={"Content-Type": "image/png"})
    assert answer.status_code == 200
    restored = answer.json()["settings"]
    assert restored["source"] == "hidream_studio"
    asked = {"prompt": "a remembered cat", "negative_prompt": "dogs", "seed": 1, "steps": 2}
    assert asked.items() <= restored["request"].items()
    assert answer.json()["image"]["id"] == drawn["id"]
    assert server.client.post("/api/resolve", json=restored["request"]).status_code == 200


def test_a_png_of_a1111_brings_back_its_settings(server: StudioServer) -> None:
    info = PngImagePlugin.PngInfo()
    settings = "Steps: 20, Sampler: Euler, CFG scale: 7, Seed: 9, Size: 512x768"
    info.add_text("parameters", f"a cat\nNegative prompt: a dog\n{settings}")
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG", pnginfo=info)
    answer = server.client.post("/api/images/import", content=file.getvalue()).json()
    assert answer["settings"]["source"] == "a1111"
    request = answer["settings"]["request"]
    assert {"prompt": "a cat", "negative_prompt": "a dog", "steps": 20, "seed": 9}.items() <= request.items()
    assert "image" not in answer


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_a_picture_of_another_kind_brings_back_its_settings_too(server: StudioServer, kind: str) -> None:
    exif = Image.Exif()
    text = "a cat\nSteps: 20, Sampler: DDIM, CFG scale: 7, Seed: 9, Size: 512x768"
    exif.get_ifd(IFD.Exif)[Base.UserComment] = b"UNICODE\0" + text.encode("utf-16-be")
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, kind, exif=exif.tobytes())
    answer = server.client.post("/api/images/import", content=file.getvalue())
    assert answer.status_code == 200
    settings = answer.json()["settings"]
    assert settings["request"]["seed"] == 9 and "DDIM" in settings["notes"][0]


def test_the_line_for_other_tools_brings_back_the_same_picture_and_what_it_cannot_say_is_told(
    server: StudioServer,
) -> None:
    asked = {"noise": "linked", "shift": 2.5, "sampler": "unipc", "steps": 3, "guidance_scale": 2.25}
    drawn = server.draw(response_format="url", **asked)
    text = read_text_chunks(server.client.get(drawn["url"]).content)["parameters"]

    def imported(text: str) -> dict[str, Any]:
        png = encode_png(np.zeros((8, 8, 3), np.uint8), {"parameters": text})
        return dict(server.client.post("/api/images/import", content=png).json()["settings"])

    settings = imported(text)
    assert settings["notes"] == []
    again = server.client.post("/generate/t2i", json=settings["request"]).json()
    first = server.client.get(drawn["url"]).content
    assert np.array_equal(decode_png(base64.b64decode(again["image"])), decode_png(first))

    older = imported(text.replace("Noise: linked, ", ""))
    assert any("whether the noise was linked" in note for note in older["notes"])


@pytest.mark.parametrize("large", [b"x" * 1_500_000, b"x"], ids=["large", "damaged"])
def test_a_text_of_somebody_else_hides_no_settings(server: StudioServer, large: bytes) -> None:
    foreign = chunk(b"tEXt", b"foreign\x00" + large)
    damaged = foreign[:-1] + bytes([foreign[-1] ^ 1])
    png = encode_png(np.zeros((8, 8, 3), np.uint8), {"parameters": "a cat\nSteps: 20, Seed: 9"})
    answer = server.client.post("/api/images/import", content=png[:33] + damaged + png[33:])
    assert answer.json()["settings"]["request"] == {"prompt": "a cat", "steps": 20, "seed": 9}


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER = chunk(b"IHDR", struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0))
BOMB = chunk(b"zTXt", b"parameters\x00\x00" + zlib.compress(bytes(300_000_000), 9))


@pytest.mark.parametrize(
    "file",
    [b"", b"GIF89a", SIGNATURE, SIGNATURE + HEADER, SIGNATURE + HEADER + BOMB, SIGNATURE + b"\xff" * 100],
    ids=["empty", "another kind", "signature alone", "huge size", "compressed bomb", "noise"],
)
def test_a_hostile_png_is_refused_in_one_sentence(server: StudioServer, file: bytes) -> None:
    answer = server.client.post("/api/images/import", content=file)
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == "file"


def test_files_carry_what_a_browser_needs_to_keep_them(server: StudioServer) -> None:
    image_id = server.draw()["id"]
    headers = server.client.get(f"/api/images/{image_id}/file").headers
    assert "immutable" in headers["cache-control"]
    assert headers["content-disposition"] == f'inline; filename="hidream-{image_id}.png"'
    part = server.client.get(f"/api/images/{image_id}/file", headers={"Range": "bytes=0-7"})
    assert (part.status_code, part.content) == (206, SIGNATURE)


def test_thumbnails_are_made_once(server: StudioServer) -> None:
    image_id = server.draw()["id"]
    thumb: Path = server.studio.library.thumbnail(image_id)
    made_ns = thumb.stat().st_mtime_ns
    assert server.client.get(f"/api/images/{image_id}/thumb").content == thumb.read_bytes()
    assert thumb.stat().st_mtime_ns == made_ns


def test_a_form_with_one_file_is_an_import_too(server: StudioServer) -> None:
    drawn = server.draw(prompt="a posted cat")
    file = server.client.get(f"/api/images/{drawn['id']}/file").content
    answer = server.client.post("/api/images/import", files={"picture": ("a.png", file, "image/png")}, data={"a": "b"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["settings"]["request"]["prompt"] == "a posted cat"
    for files, said in (
        ([("a", ("a.png", file)), ("a", ("b.png", file))], "2 files"),
        ([("a", (None, "no file"))], "0 files"),
        ([("a", ("a.png", file))] * 3, "form"),
        ([("a", ("a.txt", b"a text"))], "PNG"),
    ):
        refused = server.client.post("/api/images/import", files=files)
        assert (refused.status_code, said in refused.json()["error"]["message"]) == (422, True), refused.text
    for kind in ("multipart/form-data", "multipart/form-data; boundary=x"):
        broken = server.client.post("/api/images/import", content=b"broken", headers={"Content-Type": kind})
        assert (broken.status_code, broken.json()["error"]["field"]) == (422, "body")
        assert "form" in broken.json()["error"]["message"]
