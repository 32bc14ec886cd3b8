"""Whatever is stored for a page, it opens: what can be read is there, and the rest is as on a first visit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hidream_studio.errors import StudioError
from hidream_studio.library.library import Library
from hidream_studio.page.state.compose import ComposeState, first_state
from hidream_studio.page.state.remembered import (
    COMPOSE_SETTING,
    DISMISSED_SETTING,
    MAX_THUMB_PX,
    MIN_THUMB_PX,
    VIEW_SETTING,
    View,
)
from hidream_studio.page.state.session import Session
from hidream_studio.service.studio import Studio
from hidream_studio.settings import Settings

TEXTS = st.one_of(st.text(max_size=12), st.sampled_from(["inf", "nan", "1e999", "wide", "9" * 5000, "\ud800", "\x00"]))
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)


def some_of(names: Any) -> st.SearchStrategy[Any]:
    return st.one_of(JSON, st.fixed_dictionaries({}, optional=dict.fromkeys(names, JSON)))


STRENGTHS = st.sampled_from(["1", "", "0, 0.5", "0..1/0.1", "0..1/0.02", "-2, 2", "nan", "3"]) | TEXTS
LORAS = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("abc") | TEXTS, "strength": STRENGTHS}, optional={"hash": JSON}),
    max_size=9,
)
STATES = some_of(ComposeState.model_fields) | st.fixed_dictionaries({"loras": LORAS})
COLUMNS = st.one_of(JSON, st.fixed_dictionaries({"state": STATES, "profile": st.just("o1-tiny") | JSON}))


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, golden_checkpoint: Path) -> Iterator[Studio]:
    data = tmp_path_factory.mktemp("stored")
    library = Library.open(data)

    async def made() -> Studio:
        return Studio(Settings(data=data, model=str(golden_checkpoint), profile="o1-tiny"), library)

    yield asyncio.run(made())
    library.close()


def opened(studio: Studio, stored: dict[str, Any]) -> tuple[Session, list[str]]:
    """A page whose library says `stored`, and the toasts that greet its visitor."""
    toasts: list[str] = []

    async def load() -> Session:
        session = Session(studio)
        session.guard.shown_at(lambda toast: toasts.append(toast.text))
        session.remembered._library = Stored(stored)  # type: ignore[assignment]
        await session.load()
        return session

    return asyncio.run(load()), toasts


class Stored:
    """A library's settings, held in memory: a real one would not write all of what it may have to read."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values
        self.notes = self

    def setting(self, name: str, default: Any) -> Any:
        value = self._values.get(name, default)
        if isinstance(value, Exception):
            raise value
        return value


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(COLUMNS, some_of(View.model_fields), JSON)
def test_whatever_is_stored_the_page_opens_with_values_that_make_sense(studio, column, view, dismissed):
    session, toasts = opened(
        studio, {COMPOSE_SETTING: column, VIEW_SETTING: view, DISMISSED_SETTING: dismissed}
    )  # fmt: skip
    liked = session.remembered.view
    assert liked.theme in ("auto", "light", "dark")
    assert liked.thumb_px is None or MIN_THUMB_PX <= liked.thumb_px <= MAX_THUMB_PX
    assert 0 <= session.finishing.strength <= 1
    assert 1 <= session.column.state.count <= 64
    assert all(isinstance(key, str) for key in session.remembered.dismissed)
    assert all("cannot be read" in toast for toast in toasts)
    session.column.state.model_dump_json().encode()  # what a browser is told can be told
    try:
        session.column.price(session.column.plan(for_price=True))
    except StudioError as error:
        assert error.field  # and is said beside it


def test_what_is_no_json_at_all_is_as_on_a_first_visit_and_told(studio):
    broken = ValueError("Expecting value: line 1 column 1")
    session, toasts = opened(studio, dict.fromkeys((COMPOSE_SETTING, VIEW_SETTING, DISMISSED_SETTING), broken))
    assert session.column.state == first_state(studio.profile)
    assert session.remembered.view == View()
    assert len(toasts) == 2 and all("cannot be read" in toast for toast in toasts)


def test_a_first_visit_is_told_nothing(studio):
    assert opened(studio, {})[1] == []
