"""The way in, behind a proxy that puts a path before ours: redirects, forms and cookies stay below it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError
from starlette.testclient import TestClient

from hidream_studio.library.library import Library
from hidream_studio.server.app import create_app
from hidream_studio.service.studio import Studio
from hidream_studio.settings import OWN_NAMES, Settings

TOKEN = "a-token-for-tests-only"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    settings = Settings(token=TOKEN, data=tmp_path, root_path="/studio/")
    library = Library.open(tmp_path)
    try:
        app = create_app(Studio(settings, library), settings, page=False)
        yield TestClient(app, base_url="http://127.0.0.1:7860", follow_redirects=False)
    finally:
        library.close()


@pytest.mark.parametrize("before", ["", "/studio"], ids=["taken off", "passed on"])
def test_somebody_without_a_session_is_led_in_and_back_below_the_prefix(client: TestClient, before: str) -> None:
    asked = client.get(f"{before}/?a=1", headers={"Accept": "text/html"})
    assert asked.headers["location"] == "/studio/login?next=%2Fstudio%2F%3Fa%3D1"
    form = client.get(f"{before}/login", params={"next": "/studio/?a=1"})
    assert 'action="/studio/login"' in form.text
    for target, led_to in (("/studio/?a=1", "/studio/?a=1"), ("/other-site", "/studio/"), ("//evil", "/studio/")):
        entered = client.post(f"{before}/login", data={"token": TOKEN, "next": target})
        assert (entered.status_code, entered.headers["location"]) == (303, led_to)
    assert "path=/studio;" in entered.headers["set-cookie"].lower()
    session = {"Cookie": entered.headers["set-cookie"].partition(";")[0]}
    assert client.get(f"{before}/api/presets", headers=session).status_code == 200
    left = client.post(f"{before}/logout", headers=session)
    assert left.headers["location"] == "/studio/login"
    assert "path=/studio;" in left.headers["set-cookie"].lower()


def test_a_forwarded_prefix_that_nobody_set_is_not_believed(client: TestClient) -> None:
    headers = {"Accept": "text/html", "X-Forwarded-Prefix": "/evil"}
    assert client.get("/", headers=headers).headers["location"].startswith("/studio/login")


@pytest.mark.parametrize(
    "path",
    [
        "studio",
        "/a b",
        "/a?b",
        "/..",
        "/a/./b",
        "//",
        "/%41",
        "/é",
        "http://x",
        *(f"/{name}" for name in sorted(OWN_NAMES)),
    ],
)
def test_what_is_no_prefix_or_could_be_taken_for_a_path_of_ours_is_refused(path: str) -> None:
    if path == "//":  # nothing but slashes is no prefix, as "/" is none
        assert Settings(root_path=path).root_path == ""
        return
    with pytest.raises(ValidationError, match="root_path"):
        Settings(root_path=path)
    assert Settings(root_path="/tools/studio/").root_path == "/tools/studio"
