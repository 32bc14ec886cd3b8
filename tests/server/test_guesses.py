"""Who guesses at the token is slowed down, and nobody else; a broken form is told to be one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from hidream_studio.library.library import Library
from hidream_studio.server.app import create_app
from hidream_studio.server.guesses import ADDRESSES_KEPT, GUESS_EVERY_S, GUESSES, Guesses, address_of
from hidream_studio.service.studio import Studio
from hidream_studio.settings import Settings

TOKEN = "a-token-for-tests-only"
FIELD = b'Content-Disposition: form-data; name="token"\r\n\r\n'


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def is_right(offered: str) -> bool:
    return offered == TOKEN


def use_up(guesses: Guesses, address: str) -> None:
    for number in range(GUESSES):
        assert guesses.check(address, f"guess {number}", is_right) == (False, 0)


def test_ten_guesses_are_free_then_one_every_six_seconds() -> None:
    clock = Clock()
    guesses = Guesses(clock)
    use_up(guesses, "10.0.0.1")
    assert guesses.check("10.0.0.1", TOKEN, is_right) == (False, 6)  # not even looked at
    clock.now_s += GUESS_EVERY_S
    assert guesses.check("10.0.0.1", "another", is_right) == (False, 0)
    assert guesses.check("10.0.0.1", "and another", is_right) == (False, 6)
    clock.now_s += GUESS_EVERY_S
    assert guesses.check("10.0.0.1", TOKEN, is_right) == (True, 0)


def test_guesses_of_one_address_lock_out_no_other() -> None:
    guesses = Guesses(Clock())
    use_up(guesses, "10.0.0.1")
    assert guesses.check("10.0.0.2", TOKEN, is_right) == (True, 0)


def test_a_program_that_was_left_with_an_old_token_locks_out_nobody() -> None:
    guesses = Guesses(Clock())
    for _ in range(100):
        assert guesses.check("10.0.0.1", "the old token", is_right) == (False, 0)
    assert guesses.check("10.0.0.1", TOKEN, is_right) == (True, 0)


def test_memory_stays_what_it_is_however_many_addresses_guess() -> None:
    guesses = Guesses(Clock())
    use_up(guesses, "10.0.0.1")
    for number in range(ADDRESSES_KEPT - 1):
        guesses.check(f"address {number}", "x", is_right)
    assert guesses.check("10.0.0.1", "y", is_right) == (False, 6)
    guesses.check("one more", "x", is_right)
    assert len(guesses._past) == ADDRESSES_KEPT


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 30), st.booleans()), max_size=60))
def test_no_pace_gets_more_guesses_looked_at_than_the_budget(asked: list[tuple[float, bool]]) -> None:
    clock = Clock()
    guesses = Guesses(clock)
    looked_at = 0
    for number, (pause_s, _) in enumerate(asked):
        clock.now_s += pause_s
        looked_at += guesses.check("a", f"guess {number}", is_right)[1] == 0
        assert looked_at <= GUESSES + clock.now_s / GUESS_EVERY_S + 1e-6


def test_an_address_is_that_of_a_subscriber() -> None:
    def of(host: str) -> str:
        return address_of({"type": "http", "client": (host, 1)})

    assert of("2001:db8::1") == of("2001:db8::ffff") != of("2001:db8:0:1::1")
    assert of("::ffff:10.0.0.1") == of("10.0.0.1") != of("10.0.0.2")
    assert address_of({"type": "http", "client": None}) == address_of({"type": "http"})  # a Unix socket


@pytest.fixture
def studio_at(tmp_path: Path) -> Iterator[TestClient]:
    """With a token, seen from 10.0.0.1; nothing is started, so nothing is drawn."""
    settings = Settings(host="0.0.0.0", token=TOKEN, data=tmp_path)
    library = Library.open(tmp_path)
    try:
        app = create_app(Studio(settings, library), settings, page=False)
        yield TestClient(app, base_url="http://127.0.0.1:7860", client=("10.0.0.1", 1), follow_redirects=False)
    finally:
        library.close()


def test_wrong_tokens_end_in_429_for_programs_and_leave_the_login_open(studio_at: TestClient) -> None:
    def status(token: str) -> int:
        return studio_at.get("/api/presets", headers={"Authorization": f"Bearer {token}"}).status_code

    assert status(TOKEN) == 200
    assert [status(f"guess {number}") for number in range(GUESSES)] == [401] * GUESSES
    refused = studio_at.get("/api/presets", headers={"Authorization": f"Bearer {TOKEN}"})
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) <= GUESS_EVERY_S
    assert refused.json()["error"]["field"] == "Authorization"
    assert studio_at.post("/login", data={"token": TOKEN}).status_code == 303
    assert studio_at.get("/api/presets").status_code == 200  # by the session that the login gave


def test_wrong_tokens_end_in_429_at_the_login_and_leave_sessions_alone(studio_at: TestClient) -> None:
    assert studio_at.post("/login", data={"token": TOKEN}).status_code == 303
    for number in range(GUESSES):
        assert studio_at.post("/login", data={"token": f"guess {number}"}).status_code == 401
    refused = studio_at.post("/login", data={"token": TOKEN})
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) <= GUESS_EVERY_S
    assert "Try again in" in refused.text
    assert studio_at.get("/api/presets").status_code == 200


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b"no boundary here"),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="token"\r\n\r\nx'),
        ("multipart/form-data; boundary=\xff", b"--\xff"),
        *(
            (f"multipart/form-data; boundary=b; charset={charset}", b"--b\r\n" + FIELD + body + b"\r\n--b--\r\n")
            for charset in ("raw_unicode_escape", "utf-7", "idna", "punycode", "utf-16", "hex", "none", "undefined")
            for body in (b"\\ud800", b"+2AA-", b"a..b", b"\xff")
        ),
        ("application/x-www-form-urlencoded", b"token"),
        ("application/x-www-form-urlencoded", b"&&=&%%%"),
        ("application/json", b"{"),
        ("", b"token=x"),
    ],
)  # fmt: skip
def test_a_broken_form_at_the_login_is_called_one(studio_at: TestClient, content_type: str, body: bytes) -> None:
    answer = studio_at.post("/login", content=body, headers={"Content-Type": content_type.encode("latin-1")})
    assert answer.status_code in (401, 422), answer.text
    assert "JSON" not in answer.text
    if answer.status_code == 422:
        assert answer.json()["error"]["field"] in ("body", "token")
