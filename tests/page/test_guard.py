"""What goes wrong on a page is said on it, and ends nothing."""

from __future__ import annotations

import asyncio

import pytest

from hidream_studio.errors import QueueFullError, RequestError
from hidream_studio.page.state.guard import Guard, Toast
from hidream_studio.page.state.signals import Signal


def guarded() -> tuple[Guard, list[str]]:
    guard, said = Guard(), []
    guard.shown_at(lambda toast: said.append(toast.text))
    return guard, said


def test_an_error_on_purpose_is_said_and_not_logged(caplog: pytest.LogCaptureFixture):
    guard, said = guarded()
    with guard:
        raise RequestError("steps is 0", field="steps")
    assert said == ["Steps is 0."]
    assert not caplog.records


def test_a_full_queue_says_when_to_try_again():
    guard, said = guarded()
    with guard:
        raise QueueFullError("the queue is full", retry_after_s=20, limit=24)
    assert said == ["The queue is full. Your settings are kept; try again in ~20 s."]


def test_the_unforeseen_is_said_each_time_and_logged_once(caplog: pytest.LogCaptureFixture):
    guard, said = guarded()
    for _ in range(3):
        with guard:
            raise KeyError("lost")
    assert len(said) == 3 and all("KeyError: 'lost'" in text for text in said)
    assert [record.exc_info is not None for record in caplog.records] == [True]
    caplog.clear()


def test_a_handler_that_fails_later_is_watched_over_too():
    guard, said = guarded()

    async def fail() -> None:
        await asyncio.sleep(0)
        raise RequestError("too late", field="time")

    asyncio.run(guard.handler(fail)())
    assert said == ["Too late."]


def test_the_end_of_a_task_passes_through():
    guard, said = guarded()
    with pytest.raises(asyncio.CancelledError), guard:
        raise asyncio.CancelledError
    assert said == []


def test_what_is_said_before_there_is_a_place_for_it_is_shown_there_later():
    guard, said = Guard(), []
    guard.say("early")
    guard.shown_at(said.append)
    assert said == [Toast("early")]


def test_a_region_that_cannot_be_drawn_keeps_no_other_from_being_drawn():
    guard, said = guarded()
    signal, drawn = Signal(guard), []
    signal.add(lambda value: 1 / value)
    signal.add(drawn.append)
    signal(0)
    assert drawn == [0]
    assert "ZeroDivisionError" in said[0]
