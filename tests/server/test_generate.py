"""POST /generate/t2i: the picture that was asked for, and all that is told of it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from studio_serving import SMALL, StudioServer

from hidream_studio.errors import LibraryError, NotFoundError
from hidream_studio.image.png import read_text_chunks
from hidream_studio.server.generate import base64_png


def picture_of(answer: dict[str, Any]) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(answer["image"])))


def test_the_answer_has_every_field_of_the_contract(server: StudioServer) -> None:
    answer = server.draw(width=300, height=256, guidance_scale=4.5)
    assert {"id", "seed", "width", "height", "requested", "adjustments", "steps", "guidance_scale", "cfg", "elapsed_s",
            "queued_s", "timings", "image"} == set(answer)  # fmt: skip
    assert (answer["width"], answer["height"]) == (288, 256)
    assert answer["requested"] == {"width": 300, "height": 256}
    assert {"field": "width", "asked": 300, "used": 288}.items() <= answer["adjustments"][0].items()
    assert (answer["seed"], answer["steps"], answer["guidance_scale"], answer["cfg"]) == (1, 2, 4.5, True)
    assert set(answer["timings"]) == {"text_s", "steps_s", "decode_s", "png_s"}
    assert answer["elapsed_s"] == pytest.approx(sum(answer["timings"].values()), abs=0.01)
    assert picture_of(answer).size == (288, 256)


def test_the_golden_picture_comes_out_of_http(server: StudioServer, golden_checkpoint: Path) -> None:
    from safetensors.numpy import load_file

    cases = json.loads((golden_checkpoint.parent / "cases.json").read_text())
    for name, case in cases.items():
        recipe = "dev" if case["scheduler"] == "flash" else "full"
        asked = {"steps": case["steps"], "guidance_scale": case["guidance"]} if recipe == "full" else {}
        answer = server.draw(
            prompt=case["prompt"], width=case["width"], height=case["height"], seed=case["seed"], recipe=recipe,
            shift=case["shift"], **{"steps": None, **asked},
        )  # fmt: skip
        drawn = np.asarray(picture_of(answer)).astype(int)
        golden = load_file(golden_checkpoint.parent / f"{name}.safetensors")["image"].astype(int).reshape(drawn.shape)
        assert (abs(drawn - golden) <= 1).mean() >= 0.999, name


def test_the_same_request_gives_the_same_pixels_and_another_seed_others(server: StudioServer) -> None:
    first, again, other = server.draw(seed=5), server.draw(seed=5), server.draw(seed=6)
    assert picture_of(first).tobytes() == picture_of(again).tobytes() != picture_of(other).tobytes()
    assert first["id"] != again["id"]


def test_a_random_seed_is_told_and_draws_the_same_again(server: StudioServer) -> None:
    first = server.draw(seed=None)
    again = server.draw(seed=first["seed"])
    assert picture_of(first).tobytes() == picture_of(again).tobytes()


def test_the_png_carries_its_whole_job(server: StudioServer) -> None:
    answer = server.draw(prompt="a „cat“ 猫", negative_prompt="dog")
    chunks = read_text_chunks(base64.b64decode(answer["image"]))
    facts = json.loads(chunks["hidream_studio"])
    assert facts["job"]["prompt"] == "a „cat“ 猫"
    assert facts["image_id"] == answer["id"]
    assert "Negative prompt: dog" in chunks["parameters"]


def test_as_a_url_the_picture_is_fetched_from_the_library(server: StudioServer) -> None:
    answer = server.draw(response_format="url")
    assert "image" not in answer
    file = server.client.get(answer["url"])
    assert answer["url"].startswith(server.url)
    assert file.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(file.content)).size == (256, 256)
    inline = server.draw()
    assert (
        hashlib.sha256(picture_of(inline).tobytes()).digest()
        == hashlib.sha256(Image.open(io.BytesIO(file.content)).tobytes()).digest()
    )


def test_a_client_that_hangs_up_cancels_its_job(server: StudioServer) -> None:
    body = json.dumps({**SMALL, "prompt": "nobody waits", "steps": 200, "width": 512, "height": 512}).encode()
    host, port = server.url.removeprefix("http://").split(":")
    head = f"POST /generate/t2i HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        give_up_s = time.monotonic() + 20
        while not (running := server.client.get("/api/jobs", params={"state": "running"}).json()["jobs"]):
            assert time.monotonic() < give_up_s
            time.sleep(0.02)
    left_s = time.monotonic()
    server.until(running[0]["id"], "cancelled", timeout_s=5)
    assert time.monotonic() - left_s < 2


def test_a_job_that_somebody_cancels_is_a_conflict_not_a_fault(server: StudioServer) -> None:
    answers: list[httpx.Response] = []
    body = {**SMALL, "steps": 200, "width": 512, "height": 512}
    asking = threading.Thread(
        target=lambda: answers.append(httpx.post(f"{server.url}/generate/t2i", json=body, timeout=60))
    )
    asking.start()
    give_up_s = time.monotonic() + 20
    while not (running := server.client.get("/api/jobs", params={"state": "running"}).json()["jobs"]):
        assert time.monotonic() < give_up_s
        time.sleep(0.02)
    assert server.client.delete(f"/api/jobs/{running[0]['id']}").status_code == 200
    asking.join(10)
    assert answers[0].status_code == 409
    assert answers[0].json()["error"]["code"] == "cancelled"


def test_a_picture_that_is_deleted_while_it_is_read_has_vanished(tmp_path: Path) -> None:
    def studio_with(path: Path) -> Any:  # between the library's look at the file and ours
        return SimpleNamespace(library=SimpleNamespace(file_path=lambda _: path))

    with pytest.raises(NotFoundError, match="has vanished"):
        asyncio.run(base64_png(studio_with(tmp_path / "gone.png"), "x"))
    with pytest.raises(LibraryError, match="cannot be used"):
        asyncio.run(base64_png(studio_with(tmp_path), "x"))
