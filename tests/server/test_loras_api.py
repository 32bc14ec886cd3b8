"""LoRAs over HTTP: sent, listed, drawn with, found again, deleted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from studio_serving import StudioServer

from hidream_studio.image.metadata import settings_from_chunks
from hidream_studio.image.png import read_text_chunks
from hidream_studio.model.checkpoint import open_checkpoint
from lora_making import make_lora


@pytest.fixture
def content(golden_checkpoint: Path, tmp_path: Path) -> bytes:
    make_lora(tmp_path / "ink.safetensors", open_checkpoint(str(golden_checkpoint)), 5)
    return (tmp_path / "ink.safetensors").read_bytes()


def test_a_lora_is_sent_drawn_with_found_and_deleted(server: StudioServer, content: bytes) -> None:
    added = server.client.post("/api/loras", params={"name": "ink"}, content=content)
    assert added.status_code == 201, added.text
    assert server.client.get("/api/loras").json()["loras"] == [added.json()]

    plain = server.draw(prompt="a marbled newt")
    drawn = server.draw(prompt="a marbled newt", loras=[{"name": "ink", "strength": 0.8}])
    job = server.client.get(f"/api/images/{drawn['id']}").json()
    used = {"name": "ink", "strength": 0.8, "hash": added.json()["hash"]}
    assert job["job"]["loras"] == [used]
    png = server.client.get(f"/api/images/{drawn['id']}/file").content
    assert png != server.client.get(f"/api/images/{plain['id']}/file").content
    texts = read_text_chunks(png)
    assert "a marbled newt <lora:ink:0.8>\n" in texts["parameters"]
    assert json.loads(texts["hidream_studio"])["job"]["loras"] == [used]

    found = server.client.get("/api/images", params={"q": "newt lora:INK"}).json()["images"]
    assert [image["id"] for image in found] == [drawn["id"]]
    assert settings_from_chunks(texts).request["loras"] == [used]
    dearer = server.client.post("/api/estimate", json={"loras": [used]}).json()
    assert dearer["seconds"] > server.client.post("/api/estimate", json={}).json()["seconds"]
    resolved = server.client.post("/api/resolve", json={"loras": [{"name": "ink"}]}).json()
    assert resolved["loras"][0]["strength"] == 1.0

    body = {"prompt": "a newt", "size": "256x256", "num_inference_steps": 2, "loras": [{"name": "ink"}]}
    assert server.client.post("/v1/images/generations", json=body).status_code == 200
    assert server.client.delete("/api/loras/ink").status_code == 204
    gone = server.client.post("/api/jobs", json={"prompt": "a newt", "loras": [used]})
    assert (gone.status_code, gone.json()["error"]["field"]) == (422, "loras.0")
    finish = server.client.post(f"/api/images/{drawn['id']}/finish", json={})
    assert (finish.status_code, finish.json()["error"]["code"]) == (422, "invalid_lora")
    assert "'ink' is gone" in finish.json()["error"]["message"]
    assert server.client.delete("/api/loras/ink").status_code == 404


def test_what_is_no_lora_is_refused_in_one_sentence(server: StudioServer, content: bytes) -> None:
    for name, data, said in (
        ("cut", content[: len(content) // 2], "is cut short"), ("pickle", b"\x80\x04" + content, "no safetensors file"),
        ("nothing", b"", "no safetensors file"),
    ):  # fmt: skip
        answer = server.client.post("/api/loras", params={"name": name}, content=data)
        assert answer.status_code == 422, answer.text
        assert f"{name}.safetensors" in answer.json()["error"]["message"]
        assert said in answer.json()["error"]["message"]
    assert server.client.post("/api/loras", content=content).json()["error"]["field"] == "name"
    files = {"file": ("form.safetensors", content)}
    assert server.client.post("/api/loras", files=files).json()["name"] == "form"
    assert server.client.get("/api/loras/form/preview").status_code == 404
    assert server.client.delete("/api/loras/form").status_code == 204
    there = {lora["name"] for lora in server.client.get("/api/loras").json()["loras"]}
    assert there.isdisjoint({"cut", "pickle", "nothing", "form"})


@pytest.mark.parametrize(
    ("loras", "field"),
    [
        ([{"name": "ink", "strength": 2.5}], "loras.0.strength"),
        ([{"name": f"n{n}"} for n in range(9)], "loras"),
        ([{"name": "ink"}, {"name": "ink"}], "loras"),
        ([{"name": "../ink"}], "loras.0.name"),
        ([{"name": "fog"}], "loras.0"),
    ],
)
def test_what_cannot_be_asked_for_is_named(server: StudioServer, loras: list[dict[str, object]], field: str) -> None:
    answer = server.client.post("/api/jobs", json={"prompt": "a newt", "loras": loras})
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, field), answer.text
