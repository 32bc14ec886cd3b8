"""The url of an answer shows its picture to whoever has it, as an <img> of another page does, until it ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from odd_pictures import png
from starlette.datastructures import URL
from studio_serving import SMALL, StudioServer, studio_server

from hidream_studio.server.links import LINK_S, Links

TOKEN = "a-token-for-tests-only"
AS_IMG = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}


@pytest.fixture(scope="module")
def locked(golden_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioServer]:
    with studio_server(golden_checkpoint, tmp_path_factory.mktemp("locked"), token=TOKEN) as server:
        server.client.headers["Authorization"] = f"Bearer {TOKEN}"
        yield server


@pytest.fixture(scope="module")
def link(locked: StudioServer) -> str:
    answer = locked.client.post("/generate/t2i", json={**SMALL, "response_format": "url"}).json()
    assert "image" not in answer
    return str(answer["url"])


def test_a_link_needs_no_token_in_a_page_of_another_site(link: str) -> None:
    for headers in ({}, AS_IMG):
        answer = httpx.get(link, headers=headers)
        assert (answer.status_code, answer.content[:4]) == (200, b"\x89PNG")
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert httpx.head(link).status_code == 200


def test_a_link_opens_that_picture_s_file_and_nothing_else(locked: StudioServer, link: str) -> None:
    other = locked.draw(seed=2)["id"]
    path, query = urlsplit(link).path, urlsplit(link).query
    mine = path.split("/")[3]
    for closed in (f"/api/images/{other}/file", f"/api/images/{mine}", f"/api/images/{mine}/thumb", "/api/images"):
        assert httpx.get(f"{locked.url}{closed}?{query}").status_code == 401, closed
    assert httpx.delete(f"{locked.url}/api/images/{mine}?{query}").status_code == 401
    assert httpx.post(link).status_code == 401
    assert httpx.get(link, headers={"Host": "evil.example"}).status_code == 403


def test_pictures_as_input_need_the_token_sent_or_shown(locked: StudioServer) -> None:
    picture = png(seed=20)
    for path, field in (("/api/uploads", "file"), ("/generate/edit", "image"), ("/v1/images/edits", "image")):
        answer = httpx.post(f"{locked.url}{path}", data={"prompt": "a cat"}, files={field: picture})
        assert answer.status_code == 401
    upload = locked.client.post("/api/uploads", content=picture).json()["uploads"][0]
    for path in (f"/api/uploads/{upload['id']}", upload["file"], upload["thumb"]):
        assert httpx.get(f"{locked.url}{path}").status_code == 401
        assert locked.client.get(path).status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        "", "ends=1", "signature=x", "ends=99999999999&signature=0", "ends=&signature=", "ends=a&signature=%ff",
        "ends=1&ends=2&signature=x", "&".join(["a=1"] * 50),
    ],
)  # fmt: skip
def test_a_forged_link_opens_nothing(link: str, query: str) -> None:
    assert httpx.get(f"{link.partition('?')[0]}?{query}").status_code == 401


def test_a_link_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    links = Links()
    url = urlsplit(links.signed(URL("http://127.0.0.1:7860/api/images/abc/file"), "abc"))
    call = {"type": "http", "method": "GET", "path": url.path, "query_string": url.query.encode()}
    assert links.opens(call)
    assert not Links().opens(call)  # of another process
    now_s = time.time()
    monkeypatch.setattr(time, "time", lambda: now_s + LINK_S + 1)
    assert not links.opens(call)
