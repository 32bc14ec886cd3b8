"""Nobody but this machine's own pages and programs drives a studio, over http and websocket alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from hidream_studio.errors import AccessError
from hidream_studio.server.access import MIN_TOKEN_CHARS, SESSION_S, AccessRules, access_rules, is_loopback
from hidream_studio.server.app import middleware_stack
from hidream_studio.server.links import Links
from hidream_studio.server.same_site import same_origin
from hidream_studio.server.token_check import session_cookie_name
from hidream_studio.settings import Settings

TOKEN = "a-token-for-tests-only"
Serve = Callable[[ASGIApp, Settings], str]


def guarded_app(rules: AccessRules) -> Starlette:
    async def home(_request: object) -> PlainTextResponse:
        return PlainTextResponse("inside")

    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("inside")
        await websocket.close()

    routes = [Route("/", home, methods=["GET", "POST"]), WebSocketRoute("/socket", echo)]
    return Starlette(routes=routes, middleware=middleware_stack(rules, Links()))


@pytest.fixture(scope="module")
def open_studio(serve: Serve) -> str:
    settings = Settings()
    return serve(guarded_app(access_rules(settings)), settings)


@pytest.fixture(scope="module")
def locked_studio(serve: Serve) -> str:
    settings = Settings(token=TOKEN)
    return serve(guarded_app(access_rules(settings)), settings)


def socket_says(address: str, **headers: str) -> str | int:
    """What the websocket says first, or the status with which it is refused."""
    try:
        with connect(f"ws://{address}/socket", additional_headers=headers) as studio:
            return str(studio.recv(timeout=5))
    except InvalidStatus as refusal:
        return refusal.response.status_code


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "0.0.0.0:7860", "10.0.0.5", "", "a b", "[::1", "x:y"]
)
def test_a_foreign_host_is_refused(open_studio: str, host: str) -> None:
    answer = httpx.get(f"http://{open_studio}/", headers={"Host": host})
    assert answer.status_code in (400, 403)  # 400: uvicorn's own, for what is no Host at all
    assert answer.text != "inside"
    if host == "evil.example":  # the others never leave the websocket's client
        assert socket_says(open_studio, Host=host) == 403


@pytest.mark.parametrize("host", ["localhost:7860", "127.0.0.1", "LOCALHOST", "[::1]:8080", "localhost."])
def test_every_name_of_this_machine_is_accepted_on_any_port_because_tunnels_change_it(
    open_studio: str, host: str
) -> None:
    assert httpx.get(f"http://{open_studio}/", headers={"Host": host}).text == "inside"


@pytest.mark.parametrize(
    "origin", ["null", "http://evil.example", "http://localhost:1", "file://", "https://127.0.0.1", ""]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_foreign_origin_is_refused_whatever_the_method(open_studio: str, origin: str, method: str) -> None:
    answer = httpx.request(method, f"http://{open_studio}/", headers={"Origin": origin})
    assert answer.status_code == 403
    assert answer.json()["error"]["field"] == "Origin"


@pytest.mark.parametrize("origin", ["null", "http://evil.example"])
def test_a_websocket_of_a_foreign_page_is_refused(open_studio: str, origin: str) -> None:
    assert socket_says(open_studio, Origin=origin) == 403


def test_our_own_page_is_let_in(open_studio: str) -> None:
    origin = f"http://{open_studio}"
    assert httpx.post(f"http://{open_studio}/", headers={"Origin": origin}).text == "inside"
    assert socket_says(open_studio, Origin=origin) == "inside"
    assert socket_says(open_studio) == "inside"


def test_an_image_tag_of_a_foreign_page_is_refused_but_a_link_may_be_followed(open_studio: str) -> None:
    embedded = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    framed = {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    address = f"http://{open_studio}/"
    assert httpx.get(address, headers=embedded).status_code == 403
    assert httpx.get(address, headers=framed).status_code == 403
    assert httpx.post(address, headers=followed).status_code == 403
    assert httpx.get(address, headers=followed).text == "inside"


def test_no_other_site_can_frame_or_embed_an_answer(open_studio: str) -> None:
    headers = httpx.get(f"http://{open_studio}/").headers
    assert headers["x-frame-options"] == "DENY"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["x-content-type-options"] == "nosniff"


def test_where_there_is_a_token_nothing_is_answered_without_it(locked_studio: str) -> None:
    address = f"http://{locked_studio}/"
    assert httpx.get(address).status_code == 401
    assert httpx.get(address).headers["www-authenticate"] == "Bearer"
    assert httpx.get(address, headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert httpx.get(address, headers={"Authorization": f"Basic {TOKEN}"}).status_code == 401
    assert httpx.get(address, headers={"Authorization": f"Bearer {TOKEN}"}).text == "inside"
    assert httpx.get(address, headers={"Authorization": b"Bearer \xff\xfe"}).status_code == 401
    assert socket_says(locked_studio) == 403
    assert socket_says(locked_studio, Authorization="Bearer wrong") == 403
    assert socket_says(locked_studio, Authorization=f"Bearer {TOKEN}") == "inside"


def test_a_token_does_not_open_the_door_to_foreign_pages(locked_studio: str) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Origin": "http://evil.example"}
    assert httpx.get(f"http://{locked_studio}/", headers=headers).status_code == 403
    assert socket_says(locked_studio, **headers) == 403


def test_a_session_cookie_is_as_good_as_the_token_until_it_is_old_or_forged(
    locked_studio: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = access_rules(Settings(token=TOKEN))
    session = rules.new_session()
    cookie = session_cookie_name(locked_studio)

    def status(value: str) -> int:
        return httpx.get(f"http://{locked_studio}/", headers={"Cookie": f"other=1; {cookie}={value}"}).status_code

    assert status(session) == 200
    of_others = 'a={"x": [1, 2]}; b; c=1,2'  # cookies know no ports: other programs' come here too
    answer = httpx.get(f"http://{locked_studio}/", headers={"Cookie": f"{of_others}; {cookie}={session}"})
    assert answer.status_code == 200
    assert socket_says(locked_studio, Cookie=f"{cookie}={session}") == "inside"
    issued, signature = session.split(".")
    for forged in (f"{int(issued) + 1}.{signature}", f"{issued}.", issued, "", ".", f"{issued}.{signature}x", "ü.ü"):
        assert not rules.accepts_session(forged), forged
    assert not access_rules(Settings(token="another-token-for-tests")).accepts_session(session)
    later_s = time.time() + SESSION_S + 1
    monkeypatch.setattr(time, "time", lambda: later_s)
    assert not rules.accepts_session(session)


def test_a_session_s_cookie_is_named_after_the_port_that_the_browser_sees() -> None:
    hosts = ("localhost:7860", "127.0.0.1:7861", "[::1]:7860", "studio.example")
    assert [session_cookie_name(host).removeprefix("hidream_studio_session") for host in hosts] == [
        "_7860", "_7861", "_7860", "",
    ]  # fmt: skip


def test_somebody_who_opens_the_page_without_a_session_is_shown_the_way_in(locked_studio: str) -> None:
    answer = httpx.get(f"http://{locked_studio}/?a=1&b=2", headers={"Accept": "text/html,*/*"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=%2F%3Fa%3D1%26b%3D2"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "studio.example"])
def test_another_address_than_loopback_needs_a_token(host: str) -> None:
    with pytest.raises(AccessError, match="needs a token"):
        access_rules(Settings(host=host))
    rules = access_rules(Settings(host=host, token=TOKEN, allowed_hosts=("studio.lan",)))
    assert rules.accepts_host("192.168.1.5:7860")
    assert rules.accepts_host("studio.lan")
    assert not rules.accepts_host("evil.example")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_loopback_is_known_by_its_number(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "8.8.8.8", "local"])
def test_what_others_can_reach_is_not_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_the_token_comes_from_the_environment_or_a_file_and_never_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    assert access_rules(Settings(token_file=file)).accepts_token(TOKEN)
    monkeypatch.setenv("HIDREAM_STUDIO_TOKEN", "from-the-environment")
    assert access_rules(Settings(token_file=file)).accepts_token("from-the-environment")
    monkeypatch.setenv("HIDREAM_STUDIO_TOKEN", "  ")
    with pytest.raises(AccessError, match="empty"):
        access_rules(Settings())
    monkeypatch.setenv("HIDREAM_STUDIO_TOKEN", "x" * (MIN_TOKEN_CHARS - 1))
    with pytest.raises(AccessError, match=r"has 11 characters; it must have at least 12.*secrets"):
        access_rules(Settings())
    monkeypatch.delenv("HIDREAM_STUDIO_TOKEN")
    with pytest.raises(AccessError, match="cannot be read"):
        access_rules(Settings(token_file=tmp_path / "absent"))


def test_same_origin_compares_host_and_port_with_their_defaults() -> None:
    assert same_origin("http://localhost:7860", "localhost:7860")
    assert same_origin("http://LOCALHOST", "localhost:80")
    assert same_origin("https://studio.lan", "studio.lan:443")
    assert same_origin("http://[::1]:7860", "[::1]:7860")
    for origin in (
        "http://localhost:7861",
        "http://localhost",
        "ftp://localhost:7860",
        "http://localhost:7860/x",
        "http://[",
    ):
        assert not same_origin(origin, "localhost:7860"), origin
