"""What the library is asked while pages and calls go on: never on the event loop, and nothing is missed meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from live_studio import LiveStudio, asked

from hidream_studio.errors import ConflictError, LibraryError
from hidream_studio.job.request import FinishRequest, SheetRequest
from hidream_studio.library.database import Database
from hidream_studio.library.library import Library
from hidream_studio.page.contact import sheet_png
from hidream_studio.page.feed import Feed
from hidream_studio.page.state.session import Session
from hidream_studio.service.event_log import Event
from hidream_studio.service.views import JobView


def refused(live: LiveStudio, work: Any) -> None:
    with pytest.raises(ConflictError):
        live.run(work)


def test_no_call_reads_or_writes_the_library_on_the_event_loop(live: LiveStudio, monkeypatch: pytest.MonkeyPatch):
    loop_thread = live.call(threading.current_thread)
    draft = live.draw()
    asked_in: list[threading.Thread] = []

    def noted(work: Callable[..., Any]) -> Callable[..., Any]:
        def note(database: Database) -> Any:
            asked_in.append(threading.current_thread())
            return work(database)

        return note

    for name in ("reading", "writing"):
        monkeypatch.setattr(Database, name, noted(getattr(Database, name)))
    studio = live.studio
    live.run(studio.jobs())
    live.run(studio.job(draft.id))
    live.run(studio.wait(draft.id))
    refused(live, studio.cancel(draft.id))
    refused(live, studio.front(draft.id))
    refused(live, studio.retry(draft.id))
    live.call(lambda: studio.preview(draft.id))
    live.run(studio.estimate_finish(draft.id, FinishRequest(mode="keep-composition")))
    for mode in ("re-render", "keep-composition"):
        live.wait(live.run(studio.finish(draft.id, FinishRequest(mode=mode))).id)  # type: ignore[arg-type]
    assert len(asked_in) >= 8
    session = live.call(lambda: Session(studio))
    live.run(session.load())
    price_s = live.call(lambda: session.finishing.price(list(session.model), "high"))
    assert price_s > 0
    live.run(session.shown.refresh_job(draft.id))
    assert loop_thread not in asked_in


def test_a_job_that_ends_while_the_sheet_is_read_is_shown_as_it_is(live: LiveStudio, monkeypatch: pytest.MonkeyPatch):
    session = live.call(lambda: Session(live.studio))
    view = live.submit(steps=30)
    live.until_step(view.id, 1)
    read = Library.images

    def slowly(library: Library, **query: Any) -> Any:
        found = read(library, **query)
        live.wait(view.id)
        live.run(session.shown.refresh_job(view.id))  # what the page's feed does when it hears of the end
        return found

    monkeypatch.setattr(Library, "images", slowly)
    live.run(session.shown.reload())
    version = live.call(lambda: session.model.version(view.id))
    assert version is not None
    assert (version.state, version.has_image) == ("finished", True)


def test_a_page_whose_library_could_not_be_read_catches_up(
    live: LiveStudio, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    session = live.call(lambda: Session(live.studio))
    feed = live.call(lambda: Feed(session, since=live.studio.last_event))
    loops = live.call(lambda: [asyncio.ensure_future(loop) for loop in (feed._follow(), feed._flush_loop())])
    broken = threading.Event()
    read = live.studio.job

    async def job(key: str) -> JobView:
        if broken.is_set():
            raise LibraryError("the library cannot be read: disk I/O error")
        return await read(key)

    monkeypatch.setattr(live.studio, "job", job)
    view = live.submit()
    broken.set()
    live.until(lambda: "disk I/O error" in caplog.text)
    broken.clear()
    live.wait(view.id)
    live.until(lambda: _has_picture(session, view.id))
    assert not any(loop.done() for loop in loops)
    live.call(lambda: [loop.cancel() for loop in loops])


def test_a_page_that_missed_events_reads_everything_anew(live: LiveStudio):
    view = live.draw()
    session = live.call(lambda: Session(live.studio))  # which has read nothing yet
    feed = live.call(lambda: Feed(session, since=live.studio.last_event))
    live.run(feed._take(Event(1, "queue", {"reset": True})))
    assert not live.call(lambda: _has_picture(session, view.id))
    live.run(feed._flush())
    assert live.call(lambda: _has_picture(session, view.id))


def _has_picture(session: Session, key: str) -> bool:
    version = session.model.version(key)
    return version is not None and version.has_image


def test_a_sheet_is_saved_as_one_picture_while_its_jobs_come_and_go(live: LiveStudio):
    sheet = live.run(live.studio.submit_sheet(SheetRequest(request=asked(), n=3)))
    assert live.run(sheet_png(live.studio, sheet.id)).startswith(b"\x89PNG")
    for view in sheet.jobs:
        live.wait(view.id)
