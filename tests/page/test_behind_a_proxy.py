"""Below a path of another host: page, pictures, sockets, calls and links, the path taken off by the proxy or not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from page_helpers import drawn
from page_serving import Visitor
from prefix_proxy import Proxied, proxy

from served import Served

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
SMALL = {"prompt": "a cat", "width": 256, "height": 256, "snap_resolution": False, "steps": 2, "seed": 1}


@pytest.fixture(scope="module")
def server(golden_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("studio") / "data", golden_checkpoint, "--root-path", "/studio/") as running:
        running.until_ready()
        yield running


@pytest.fixture(scope="module", params=[True, False], ids=["stripping", "passing on"])
def proxied(server: Served, request: pytest.FixtureRequest) -> Iterator[Proxied]:
    with proxy(server.port, "/studio", stripping=request.param) as outside:
        yield outside


def test_the_page_draws_and_shows_its_pictures(chromium, proxied: Proxied) -> None:
    visitor = Visitor(chromium, proxied)
    failed: list[str] = []
    try:
        page = visitor.open()
        page.on("response", lambda answer: failed.append(answer.url) if answer.status >= 400 else None)
        drawn(page, "a picture behind a proxy", 1)
        page.wait_for_function("() => document.querySelector('.cell img')?.naturalWidth > 0")
        sockets = page.evaluate("() => performance.getEntriesByType('resource').map((entry) => entry.name)")
        assert all(address.startswith((proxied.url, "data:", "blob:")) for address in sockets), sockets
        page.reload()
        page.wait_for_function("() => document.querySelector('.cell img')?.naturalWidth > 0")
    finally:
        visitor.close()
    assert not visitor.watch.troubles, visitor.watch.troubles
    assert not failed, failed


def test_calls_answer_with_addresses_that_lead_through_the_proxy(proxied: Proxied) -> None:
    with httpx.Client(base_url=proxied.url, timeout=60) as client:
        answer = client.post("/generate/t2i", json={**SMALL, "response_format": "url"})
        assert answer.status_code == 200, answer.text
        assert answer.json()["url"].startswith(f"{proxied.url}api/images/")
        assert httpx.get(answer.json()["url"]).content.startswith(b"\x89PNG")
        image = client.get("/api/images", params={"q": "cat"}).json()["images"][0]
        for name in ("file", "thumb"):
            address = httpx.URL(proxied.url).join(image[name])
            assert httpx.get(address).headers["content-type"].startswith("image/"), name
        assert "href='/studio/openapi.json'" in client.get("/docs").text
        assert client.get("/openapi.json").json()["servers"][0]["url"] == "/studio"
        missing = client.get("/nothing", headers={"Accept": "text/html"})
        assert (missing.status_code, 'href="/studio/"' in missing.text) == (404, True)
        with client.stream("GET", "/api/events") as events:
            assert next(events.iter_lines()).startswith(":")
