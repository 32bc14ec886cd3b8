"""The rest of the interface: health, metrics, what a request would cost, logging in, the documents."""

from __future__ import annotations

import importlib.metadata
import re
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import ASGIApp
from studio_serving import StudioServer, studio_server, wait_until_ready

from hidream_studio.errors import AccessError
from hidream_studio.library.library import Library
from hidream_studio.server.app import create_app
from hidream_studio.service.studio import Studio
from hidream_studio.settings import Settings

TOKEN = "a-token-for-tests-only"


def test_health_says_what_draws_here(server: StudioServer) -> None:
    health = server.client.get("/health").json()
    assert health["ready"] is True
    assert (health["device"], health["precision"], health["profile"]) == ("cpu", "fp32", "hidream-o1-image")
    assert health["numeric_path"].startswith("cpu-fp32")
    assert health["queue"]["limit"] == 200
    assert health["shape"] == {
        "layers": 3, "hidden": 64, "mlp": 128, "heads": 4, "kv_heads": 2, "head_dim": 16,
    }  # fmt: skip
    assert 10_000 < health["parameters"] < 10_000_000
    assert health["torch"] == importlib.metadata.version("torch")
    assert "driver" not in health  # of a CPU


def test_until_a_picture_can_be_drawn_health_is_503_with_the_phase_and_jobs_are_taken(
    golden_checkpoint: Path, tmp_path: Path
) -> None:
    with studio_server(golden_checkpoint, tmp_path) as server:
        loading = server.client.get("/health")
        assert loading.status_code == 503
        assert loading.json()["phase"]
        job = server.queue()
        wait_until_ready(server.client)
        server.until(job["id"], "finished")


def test_a_model_that_cannot_be_loaded_is_503_with_the_reason_everywhere(tmp_path: Path) -> None:
    empty = tmp_path / "no-checkpoint"
    empty.mkdir()
    with studio_server(empty, tmp_path / "data") as server:
        while server.client.get("/health").json()["phase"] != "failed":
            time.sleep(0.05)
        health = server.client.get("/health")
        assert health.status_code == 503
        assert "config.json" in health.json()["reason"]
        answer = server.client.post("/generate/t2i", json={"prompt": "a cat"})
        assert answer.status_code == 503
        assert "config.json" in answer.json()["error"]["message"]
        assert server.client.get("/api/images").json() == {"images": []}


def test_metrics_count_what_ended_and_how_long_it_took(server: StudioServer) -> None:
    server.draw()
    text = server.client.get("/metrics").text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    ends = {tuple(sorted(sample.labels.items())) for sample in families["hidream_studio_jobs"].samples}
    assert (("end", "finished"), ("lane", "draft")) in ends
    sizes = {sample.labels["size"] for sample in families["hidream_studio_step_seconds"].samples}
    assert "256x256" in sizes
    assert families["hidream_studio_ready"].samples[0].value == 1
    assert {"hidream_studio_job_wait_seconds", "hidream_studio_queue_jobs", "hidream_studio_queue_limit"} <= set(
        families
    )


def test_an_estimate_tells_seconds_and_what_would_be_drawn(server: StudioServer) -> None:
    cheap = server.client.post(
        "/api/estimate", json={"steps": 2, "width": 256, "height": 256, "snap_resolution": False}
    )
    dear = server.client.post("/api/estimate", json={"prompt": "a cat"})
    assert cheap.status_code == dear.status_code == 200
    assert cheap.json()["low_s"] <= cheap.json()["seconds"] <= cheap.json()["high_s"]
    assert dear.json()["seconds"] > 10 * cheap.json()["seconds"]
    assert (dear.json()["width"], dear.json()["steps"], dear.json()["lane"]) == (2048, 50, "final")


def test_presets_say_when_to_use_each(server: StudioServer) -> None:
    answer = server.client.get("/api/presets").json()
    assert [preset["id"] for preset in answer["presets"]] == ["quick", "standard", "high", "official"]
    assert all(preset["purpose"] for preset in answer["presets"])
    assert answer["profile"]["native_side"] == 2048


def test_resolve_answers_with_upstream_s_sizes(server: StudioServer) -> None:
    table = {(512, 512): (2048, 2048), (1280, 720): (2560, 1440), (720, 1280): (1440, 2560), (1024, 768): (2304, 1728)}
    for (width, height), drawn in table.items():
        answer = server.client.post("/api/resolve", json={"width": width, "height": height}).json()
        assert (answer["width"], answer["height"]) == drawn
        assert answer["requested"] == {"width": width, "height": height}
        assert "seed" not in answer


def test_the_documents_ask_no_other_host(server: StudioServer) -> None:
    page = server.client.get("/docs")
    assert "/generate/t2i" in page.text
    assert not re.search(r"<script|https?://|//cdn", page.text)
    assert server.client.get("/openapi.json").json()["openapi"].startswith("3.1")


def test_without_a_token_a_server_that_others_can_reach_does_not_start(tmp_path: Path) -> None:
    settings = Settings(host="0.0.0.0", data=tmp_path)
    library = Library.open(tmp_path)
    try:
        with pytest.raises(AccessError, match="needs a token"):
            create_app(Studio(settings, library), settings, page=False)
    finally:
        library.close()


def test_a_browser_logs_in_with_the_token_and_stays_in_by_a_cookie(
    golden_checkpoint: Path, tmp_path: Path, serve: Callable[[ASGIApp, Settings], str]
) -> None:
    with studio_server(golden_checkpoint, tmp_path, token=TOKEN) as server:
        browser = server.client
        assert browser.get("/api/presets").status_code == 401
        assert browser.get("/", headers={"Accept": "text/html"}).headers["location"] == "/login?next=%2F"
        form = browser.get("/login", params={"next": '/?q="><script>'})
        assert "<script>" not in form.text
        assert form.headers["content-security-policy"].startswith("default-src 'none'")
        wrong = browser.post("/login", data={"token": "wrong", "next": "/"})
        assert (wrong.status_code, "set-cookie" in wrong.headers) == (401, False)
        for target, led_to in (
            ("/x?a=1", "/x?a=1"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("http://e", "/"),
        ):
            entered = browser.post("/login", data={"token": TOKEN, "next": target})
            assert (entered.status_code, entered.headers["location"]) == (303, led_to)
        cookie = entered.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert TOKEN not in cookie
        assert browser.get("/api/presets").status_code == 200
        browser.post("/logout")
        assert browser.get("/api/presets").status_code == 401
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        assert httpx.get(f"{server.url}/metrics", headers=bearer).status_code == 200
        forged = browser.post("/login", data={"token": TOKEN}, headers={"Origin": "http://evil.example"})
        assert forged.status_code == 403
        assert browser.post("/login", data={}).status_code == 422


def test_two_studios_on_one_host_do_not_end_each_other_s_sessions(golden_checkpoint: Path, tmp_path: Path) -> None:
    with (
        studio_server(golden_checkpoint, tmp_path / "one", token=TOKEN) as one,
        studio_server(golden_checkpoint, tmp_path / "other", token="another-token") as other,
        httpx.Client() as browser,
    ):

        def inside() -> list[bool]:
            return [browser.get(f"{studio.url}/api/presets").status_code == 200 for studio in (one, other)]

        browser.post(f"{one.url}/login", data={"token": TOKEN})
        browser.post(f"{other.url}/login", data={"token": "another-token"})
        assert inside() == [True, True]
        browser.post(f"{other.url}/logout")
        assert inside() == [True, False]
