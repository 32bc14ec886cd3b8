"""Pages on a real studio: what they ask of it, and what keeps them going when something goes wrong."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_studio import LiveStudio, asked

from hidream_studio.errors import QueueFullError, RequestError, StorageFullError
from hidream_studio.job.request import FinishRequest, SheetRequest
from hidream_studio.library.library import Library
from hidream_studio.page.feed import Feed
from hidream_studio.page.state.guard import Toast
from hidream_studio.page.state.session import Session


def watched(live: LiveStudio) -> tuple[Session, list[str]]:
    """A page without its regions, and the toasts that it shows."""
    toasts: list[str] = []

    def keep(toast: Toast) -> None:
        toasts.append(toast.text)

    session = live.call(lambda: Session(live.studio))
    session.guard.shown_at(keep)
    return session, toasts


def test_a_loop_that_meets_the_unforeseen_says_so_and_goes_on(live: LiveStudio, caplog: pytest.LogCaptureFixture):
    session, toasts = watched(live)
    feed = live.call(lambda: Feed(session, since=live.studio.last_event))

    def fail(*_: Any) -> None:
        raise ZeroDivisionError("nobody thought of this")

    heard: list[str] = []
    for signal in (session.on.queue, session.on.group, session.on.worker):
        signal.add(fail)
        signal.add(lambda *_: heard.append("still"))
    loops = live.call(lambda: [asyncio.ensure_future(loop) for loop in (feed._follow(), feed._flush_loop())])
    live.call(lambda: live.studio.publish("worker", {}))
    view = live.draw()
    live.until(lambda: (version := session.model.version(view.id)) is not None and version.has_image)
    assert not any(loop.done() for loop in loops)
    assert "still" in heard
    assert any("ZeroDivisionError: nobody thought of this" in toast for toast in toasts)
    assert caplog.text.count("Traceback") == 1  # not once for every event
    caplog.clear()
    live.call(lambda: [loop.cancel() for loop in loops])


def test_live_drafts_are_redrawn_one_after_the_other_on_a_slow_disk(live: LiveStudio, monkeypatch: pytest.MonkeyPatch):
    session, toasts = watched(live)
    live.call(live.studio.pause)
    write, writing, disk = Library.add_jobs, [], threading.Event()

    def slowly(library: Library, records: Any) -> Any:
        writing.append(records[0].job.prompt)
        disk.wait(30)
        return write(library, records)

    monkeypatch.setattr(Library, "add_jobs", slowly)
    monkeypatch.setattr("hidream_studio.page.state.live.QUIET_S", 0.05)
    column = session.column
    live.call(lambda: column.type(prompt="one", live=True, size="256", count=1))
    live.until(lambda: writing == ["one"])
    for prompt in ("one two", "one two three", "one two three four"):
        live.call(lambda prompt=prompt: column.type(prompt=prompt))
        time.sleep(0.2)  # longer than the quiet
    disk.set()
    live.until(lambda: [view.job.prompt for view in live.studio.live_jobs()] == ["one two three four"])
    live.call(lambda: column.type(live=False))
    assert writing == ["one", "one two three four"]
    assert toasts == []
    live.run(live.studio.clear())
    live.call(live.studio.resume)


def test_a_picture_that_was_deleted_is_gone_on_every_page_even_if_its_references_cannot_be_put_back(
    live: LiveStudio, monkeypatch: pytest.MonkeyPatch
):
    session, _ = watched(live)
    view = live.draw()
    live.run(session.load())
    live.run(session.verbs.reject(view.id))

    async def full(*_: Any) -> None:
        raise StorageFullError("the disk is full")

    monkeypatch.setattr(session.uploads, "put_back", full)
    with pytest.raises(StorageFullError):
        live.run(session.verbs.delete(view.id))
    assert session.model.version(view.id) is None
    live.until(lambda: {"id": view.id, "deleted": True} in [event.data for event in live.events])


def test_many_picks_are_finished_all_or_none(live: LiveStudio):
    session, _ = watched(live)
    drafts = live.run(live.studio.submit_sheet(SheetRequest(request=asked(), n=12))).jobs
    for view in drafts:
        live.wait(view.id)
    live.run(session.load())
    versions = [session.model.version(view.id) for view in drafts]
    live.call(live.studio.pause)
    live.run(live.studio.submit_sheet(SheetRequest(request=asked(), n=12)))  # 8 of 20 places are left
    with pytest.raises(QueueFullError):
        live.run(session.verbs.finish(versions, "high"))
    assert len(live.call(live.studio.live_jobs)) == 12
    with pytest.raises(RequestError, match="21 jobs; at most 20"):
        live.run(live.studio.finish_all([drafts[0].id] * 21, FinishRequest()))
    live.run(session.verbs.finish(versions[:8], "high"))
    waiting = live.call(live.studio.live_jobs)
    assert {view.job.parent_id for view in waiting} == {None, *(view.id for view in drafts[:8])}
    live.run(live.studio.clear())
    live.call(live.studio.resume)


lists = {
    "steps": st.lists(st.integers(1, 200), min_size=1, max_size=3, unique=True),
    "guidance_scale": st.lists(st.sampled_from([0.0, 1.0, 1.5, 5.0, 30.0]), min_size=1, max_size=3, unique=True),
    "sizes": st.lists(st.sampled_from([(256, 256), (300, 512), (2048, 2048)]), min_size=1, max_size=2, unique=True),
    "seeds": st.lists(st.integers(0, 9), min_size=1, max_size=2, unique=True),
}


@settings(max_examples=25, deadline=None)
@given(st.fixed_dictionaries({}, optional=lists))
def test_a_sheet_costs_what_its_pictures_cost_one_by_one(unstarted: Any, values: dict[str, Any]):
    sheet = SheetRequest(request=asked(), **values)
    priced = unstarted.estimate_sheet(sheet)
    singly = [
        unstarted.estimate(request).seconds
        for request in (
            sheet.request.model_copy(
                update={"width": size[0], "height": size[1], "steps": steps, "guidance_scale": guidance}
            )
            for size in sheet.sizes or [(256, 256)]
            for steps in sheet.steps or [4]
            for guidance in sheet.guidance_scale or [1.0]
            for _ in sheet.seeds or [1]
        )
    ]
    assert priced.pictures == len(singly)
    assert priced.seconds == pytest.approx(sum(singly))


@pytest.fixture(scope="module")
def unstarted(tmp_path_factory: pytest.TempPathFactory, golden_checkpoint: Path) -> Any:
    from hidream_studio.service.studio import Studio
    from hidream_studio.settings import Settings

    data = tmp_path_factory.mktemp("unstarted")
    library = Library.open(data)

    async def made() -> Studio:
        return Studio(Settings(data=data, model=str(golden_checkpoint), profile="o1-tiny", queue_limit=500), library)

    yield asyncio.run(made())
    library.close()


def test_an_absurd_sheet_is_refused_by_name_before_any_of_it_is_priced(unstarted: Any, monkeypatch: pytest.MonkeyPatch):
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("priced")

    monkeypatch.setattr(unstarted._resolver, "predict", never)
    absurd = SheetRequest(
        request=asked(), steps=list(range(1, 101)), guidance_scale=[index / 5 for index in range(100)],
        sizes=[(side, 512) for side in range(256, 356)],
    )  # fmt: skip
    with pytest.raises(RequestError, match="1,000,000 jobs; at most 500 fit") as caught:
        unstarted.estimate_sheet(absurd)
    assert (caught.value.field, caught.value.limit) == ("steps", 500)


def test_a_wide_sheet_is_priced_by_its_lists_and_not_by_its_pictures(unstarted: Any, monkeypatch: pytest.MonkeyPatch):
    predict, asked_for = unstarted._resolver.predict, []

    def counted(job: Any, **options: Any) -> Any:
        asked_for.append(job)
        return predict(job, **options)

    monkeypatch.setattr(unstarted._resolver, "predict", counted)
    wide = SheetRequest(request=asked(), steps=list(range(1, 26)), guidance_scale=[index / 2 for index in range(20)])
    assert unstarted.estimate_sheet(wide).pictures == 500
    assert len(asked_for) <= 4
