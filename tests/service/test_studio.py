"""The studio with a real worker: lanes, cancels, events, sheets and finishes."""

from __future__ import annotations

import asyncio
import resource
import time
from dataclasses import replace

import numpy as np
import pytest
from live_studio import LiveStudio, asked
from numpy.typing import NDArray
from sqlalchemy.exc import IntegrityError

from hidream_studio.errors import ConflictError, LibraryError, NotFoundError, PromptError, QueueFullError, RequestError
from hidream_studio.image.metadata import picture_facts
from hidream_studio.image.png import decode_png, read_text_chunks
from hidream_studio.job.request import FinishRequest, SheetRequest

UNKNOWN = "0" * 26


def pixels(live: LiveStudio, image_id: str) -> NDArray[np.uint8]:
    return decode_png(live.library.file_path(image_id).read_bytes())


def test_a_request_becomes_a_picture_of_the_library_with_its_whole_job_in_the_file(live: LiveStudio):
    view = live.draw(prompt="a green star", steps=3, guidance_scale=3.0)
    assert (view.state, view.step, view.image_id, view.error) == ("finished", 3, view.id, None)
    record = live.library.image(view.id)
    assert (record.job, record.lane, record.elapsed_s) == (view.job, "draft", view.elapsed_s)
    assert view.timings is not None
    assert view.elapsed_s == pytest.approx(view.timings.elapsed_s)
    facts = picture_facts(read_text_chunks(live.library.file_path(view.id)))
    assert facts is not None
    assert (facts.job, facts.image_id, facts.numeric_path) == (view.job, view.id, record.numeric_path)


def test_each_job_tells_its_life_in_order_and_a_picture_is_on_disk_before_it_is_told(live: LiveStudio):
    view = live.submit(width=512, height=512, steps=20)  # long enough to be seen on its way

    async def at_the_end() -> bool:
        async for event in live.studio.subscribe():
            if event.type == "finished" and event.data["id"] == view.id:
                return live.library.file_path(view.id).is_file() and live.library.job(view.id).state == "finished"
        return False

    assert live.run(at_the_end())
    live.until(lambda: "finished" in live.events_of(view.id))
    told = live.events_of(view.id)
    assert (told[0], told[-1]) == ("queued", "finished")
    assert {"running", "preview"} <= set(told)
    queued = next(event for event in live.events if event.data.get("id") == view.id)
    assert queued.data["position"] >= 1
    assert queued.data["estimate_s"] > 0


def test_a_running_job_shows_how_it_looks_so_far(live: LiveStudio):
    view = live.submit(width=512, height=512, steps=40)
    live.until(lambda: live.studio.preview(view.id) is not None)
    preview = live.call(lambda: live.studio.preview(view.id))
    assert preview is not None
    assert (preview.data[8:12], preview.media_type) == (b"WEBP", "image/webp")
    live.run(live.studio.cancel(view.id))
    assert live.call(lambda: live.studio.preview(view.id)) is None


def test_a_cancelled_job_never_takes_another_step_and_the_next_one_runs(live: LiveStudio):
    view = live.submit(width=512, height=512, steps=150, guidance_scale=3.0)
    live.until_step(view.id, 3)
    asked_s = time.monotonic()
    cancelled = live.run(live.studio.cancel(view.id))
    assert time.monotonic() - asked_s < 2.0
    assert cancelled.state == "cancelled"
    assert live.library.job(view.id).state == "cancelled"
    assert live.draw().state == "finished"
    assert live.job(view.id).state == "cancelled"
    assert live.events_of(view.id)[-1] == "cancelled"


def test_a_waiting_job_is_cancelled_at_once_and_the_running_one_goes_on(live: LiveStudio):
    running = live.submit(width=512, height=512, steps=60)
    waiting = [live.submit(width=512, height=512, steps=60) for _ in range(4)]
    for view in waiting:
        assert live.run(live.studio.cancel(view.id)).state == "cancelled"
    assert live.wait(running.id).state == "finished"
    assert all(live.library.job(view.id).attempts == 0 for view in waiting)


def test_what_has_ended_cannot_be_cancelled_nor_what_never_was(live: LiveStudio):
    view = live.draw()
    with pytest.raises(ConflictError, match="is already finished"):
        live.run(live.studio.cancel(view.id))
    with pytest.raises(ConflictError, match="is already finished"):
        live.run(live.studio.front(view.id))
    studio = live.studio
    for ask in (studio.cancel, studio.wait, studio.retry, studio.job, studio.front):
        with pytest.raises(NotFoundError):
            live.run(ask(UNKNOWN))
    assert live.call(lambda: studio.preview(UNKNOWN)) is None


def test_a_lane_is_cleared_without_touching_the_other(live: LiveStudio):
    finals = [live.submit(width=512, height=512, steps=100) for _ in range(3)]
    live.until_step(finals[0].id, 2)
    draft = live.submit(steps=10)
    assert live.run(live.studio.clear("final")) == 3
    assert live.wait(draft.id).state == "finished"
    for view in finals:
        live.until_job(view.id, lambda job: job.state == "cancelled")


def test_a_page_of_jobs_is_full_also_where_the_library_is_behind(live: LiveStudio):
    """The library hears later than the queue that a job runs; a page that is not full says that nothing follows."""
    ended = [live.draw(seed=seed).id for seed in range(3)]
    running = live.submit(width=512, height=512, steps=200)
    live.until_step(running.id, 2)
    live.library.update_job(running.id, state="queued")
    seen = live.run(live.studio.jobs(states=("queued", "finished"), limit=2))
    assert [view.id for view in seen] == ended[:0:-1]
    rest = live.run(live.studio.jobs(states=("queued", "finished"), limit=2, before=seen[-1].id))
    assert rest[0].id == ended[0]
    live.run(live.studio.cancel(running.id))


def test_a_paused_lane_starts_nothing_until_it_is_resumed_and_the_other_goes_on(live: LiveStudio):
    live.call(lambda: live.studio.pause("final"))
    finals = [live.submit(lane="final", seed=seed) for seed in range(3)]
    assert live.draw().state == "finished"
    assert {live.job(view.id).state for view in finals} == {"queued"}
    summary = live.call(live.studio.queue_summary)
    assert (summary.paused, summary.waiting) == (("final",), 3)
    live.call(lambda: live.studio.resume("final"))
    assert {live.wait(view.id).state for view in finals} == {"finished"}


def test_pausing_takes_back_what_the_worker_has_not_begun(live: LiveStudio):
    running = live.submit(width=512, height=512, steps=60)
    held = live.submit(width=512, height=512, steps=60)
    live.until_step(running.id, 2)
    live.call(lambda: live.studio.pause("final"))
    assert live.wait(running.id).state == "finished"
    assert live.draw().state == "finished"
    assert live.job(held.id).state == "queued"
    assert live.run(live.studio.cancel(held.id)).state == "cancelled"
    live.call(live.studio.resume)


def test_a_job_moved_to_the_front_ends_before_those_that_came_earlier(live: LiveStudio):
    early = [live.submit(width=512, height=512, steps=40, seed=seed) for seed in range(4)]
    moved = live.run(live.studio.front(early[-1].id))
    assert moved.position in (1, None)
    live.wait(early[-1].id)
    assert {live.job(view.id).state for view in early[1:3]} == {"queued"}
    live.run(live.studio.clear())
    live.until(lambda: not live.studio.queue_summary().running)


def test_waiting_jobs_know_their_place_and_the_time_until_they_end(live: LiveStudio):
    live.call(live.studio.pause)
    views = [live.submit(seed=seed) for seed in range(3)]
    assert [live.job(view.id).position for view in views] == [1, 2, 3]
    assert live.call(live.studio.queue_summary).positions == {view.id: i + 1 for i, view in enumerate(views)}
    live.call(live.studio.resume)
    waits = [live.job(view.id).wait_s or 0.0 for view in views]
    assert waits == sorted(waits)
    for view in views:
        live.wait(view.id)


def test_a_full_queue_refuses_with_its_limit_and_when_to_come_back(live: LiveStudio):
    live.call(live.studio.pause)
    sheet = SheetRequest(request=asked(), n=20)
    assert len(live.run(live.studio.submit_sheet(sheet)).jobs) == 20
    for work in (live.studio.submit(asked()), live.studio.submit_sheet(SheetRequest(request=asked(), n=2))):
        with pytest.raises(QueueFullError, match="at most 20 may wait") as refusal:
            live.run(work)
        assert refusal.value.limit == 20
        assert refusal.value.retry_after_s >= 1
    assert live.run(live.studio.clear()) == 20
    live.call(live.studio.resume)
    assert live.draw().state == "finished"


def test_a_sheet_is_queued_whole_and_its_jobs_stay_together(live: LiveStudio):
    request = SheetRequest(request=asked(), steps=[1, 2], n=2)
    sheet = live.run(live.studio.submit_sheet(request))
    assert [(view.job.steps, view.job.seed) for view in sheet.jobs] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert {live.wait(view.id).state for view in sheet.jobs} == {"finished"}
    kept = live.run(live.studio.jobs(sheet_id=sheet.id))
    assert [view.id for view in reversed(kept)] == [view.id for view in sheet.jobs]
    assert len(live.library.images(sheet_id=sheet.id)) == 4


def test_a_prompt_that_cannot_be_drawn_is_refused_before_anything_is_written(live: LiveStudio):
    before = len(live.run(live.studio.jobs()))
    with pytest.raises(PromptError, match="tms_token"):
        live.submit(prompt="<|tms_token|>")
    with pytest.raises(PromptError):
        live.run(live.studio.submit_sheet(SheetRequest(request=asked(negative_prompt="<|im_end|>"), n=3)))
    with pytest.raises(RequestError):
        live.submit(width=8)
    assert len(live.run(live.studio.jobs())) == before


def test_a_caller_that_hangs_up_while_its_job_is_written_cancels_it(live: LiveStudio):
    async def hang_up() -> None:
        task = asyncio.create_task(live.studio.submit(asked(prompt="nobody waits", steps=100)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    live.run(hang_up())
    live.until(lambda: [job.state for job in live.library.jobs(limit=1)] == ["cancelled"])


def test_a_caller_that_stops_waiting_leaves_the_job_alone(live: LiveStudio):
    view = live.submit(steps=20)

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(live.studio.wait(view.id), 0.01)

    live.run(give_up())
    assert live.wait(view.id).state == "finished"


def test_a_live_redraw_takes_the_place_of_the_one_under_way(live: LiveStudio):
    first = live.submit(width=512, height=512, steps=150)
    live.until_step(first.id, 2)
    second = live.run(live.studio.replace(asked(prompt="another wording"), replaces=first.id))
    assert second.lane == "draft"
    assert live.wait(second.id).state == "finished"
    assert live.job(first.id).state == "cancelled"
    third = live.run(live.studio.replace(asked(), replaces=second.id))
    assert live.wait(third.id).state == "finished"


def test_a_redraw_that_cannot_be_drawn_cancels_nothing(live: LiveStudio):
    first = live.submit(steps=50)
    with pytest.raises(PromptError):
        live.run(live.studio.replace(asked(prompt="<|im_end|>"), replaces=first.id))
    assert live.wait(first.id).state == "finished"


@pytest.mark.parametrize("mode", ["re-render", "keep-composition", "exact"])
def test_a_draft_is_finished_and_the_picture_knows_its_draft(live: LiveStudio, mode: str):
    draft = live.draw(prompt="to be finished", noise="linked")
    estimate = live.run(live.studio.estimate_finish(draft.id, FinishRequest(mode=mode)))  # type: ignore[arg-type]
    view = live.run(live.studio.finish(draft.id, FinishRequest(mode=mode)))  # type: ignore[arg-type]
    end = live.wait(view.id)
    assert (end.state, end.lane, end.job.finish_mode, end.step) == ("finished", "final", mode, estimate.steps)
    assert (end.job.width, end.job.height) == (estimate.width, estimate.height)
    assert [record.id for record in live.library.lineage(draft.id)] == [draft.id, end.id]


def test_keep_composition_stays_near_its_draft_the_nearer_the_smaller_its_strength(live: LiveStudio):
    draft = live.draw(steps=8, noise="linked")
    distances = []
    for strength in (0.0, 0.3, 0.9):
        request = FinishRequest(mode="keep-composition", width=256, height=256, strength=strength)
        end = live.wait(live.run(live.studio.finish(draft.id, request)).id)
        assert end.state == "finished"
        distance = np.abs(pixels(live, end.id).astype(int) - pixels(live, draft.id).astype(int)).mean()
        distances.append(distance)
    assert distances[0] == 0.0
    assert distances == sorted(distances)


def test_keep_composition_in_another_shape_keeps_the_middle_of_its_draft_unstretched(live: LiveStudio):
    draft = live.draw(width=512, height=512, steps=2, noise="linked")
    request = FinishRequest(mode="keep-composition", width=512, height=256, strength=0.0)
    end = live.wait(live.run(live.studio.finish(draft.id, request)).id)
    assert np.array_equal(pixels(live, end.id), pixels(live, draft.id)[128:384])
    said = [(one.field, one.asked, one.used) for one in end.adjustments if one.field == "draft"]
    assert said == [("draft", "512x512", "512x256")]


def test_a_draft_that_is_gone_cannot_be_finished(live: LiveStudio):
    with pytest.raises(NotFoundError):
        live.run(live.studio.finish(UNKNOWN, FinishRequest()))
    draft = live.draw()
    live.call(live.studio.pause)
    waiting = live.run(live.studio.finish(draft.id, FinishRequest(mode="keep-composition")))
    live.library.file_path(draft.id).unlink()
    with pytest.raises(NotFoundError, match="has vanished"):
        live.run(live.studio.finish(draft.id, FinishRequest(mode="keep-composition")))
    live.call(live.studio.resume)
    end = live.wait(waiting.id)
    assert end.state == "failed"
    assert end.error is not None
    assert (end.error.code, "has vanished" in end.error.message) == ("not_found", True)
    with pytest.raises(NotFoundError, match="has vanished"):
        live.run(live.studio.retry(waiting.id))


def test_a_cancelled_job_is_put_back_with_one_call_also_smaller(live: LiveStudio):
    live.call(live.studio.pause)
    view = live.submit(width=512, height=512, seed=5)
    live.run(live.studio.cancel(view.id))
    live.call(live.studio.resume)
    again = live.wait(live.run(live.studio.retry(view.id)).id)
    assert (again.state, again.job) == ("finished", view.job)
    assert again.id != view.id
    smaller = live.wait(live.run(live.studio.retry(view.id, smaller=True)).id)
    assert (smaller.job.width, smaller.job.height, smaller.job.seed) == (352, 352, 5)
    assert {one.field for one in smaller.adjustments} >= {"width", "height"}
    with pytest.raises(ConflictError, match="only a failed or cancelled one"):
        live.run(live.studio.retry(again.id))


def test_a_smaller_try_of_a_kept_composition_says_what_of_its_draft_it_keeps(live: LiveStudio):
    draft = live.draw(width=512, height=512, steps=2, noise="linked")
    live.call(live.studio.pause)
    request = FinishRequest(mode="keep-composition", width=512, height=256)
    view = live.run(live.studio.finish(draft.id, request))
    live.run(live.studio.cancel(view.id))
    smaller = live.run(live.studio.retry(view.id, smaller=True))
    live.run(live.studio.cancel(smaller.id))
    live.call(live.studio.resume)
    assert (smaller.job.width, smaller.job.height) == (352, 256)
    said = [(one.field, one.asked, one.used) for one in smaller.adjustments if one.field == "draft"]
    assert said == [("draft", "512x512", "512x372")]


def test_estimates_learn_from_what_pictures_took(live: LiveStudio):
    for seed in range(3):
        live.draw(seed=seed, steps=8)
    live.until(lambda: "drawn on this machine" in live.studio.estimate(asked()).basis)
    estimate = live.call(lambda: live.studio.estimate(asked(steps=8)))
    took_s = live.draw(steps=8).elapsed_s
    assert took_s is not None
    assert estimate.low_s < estimate.seconds < estimate.high_s
    assert estimate.seconds / 4 < took_s < estimate.seconds * 4
    assert live.library.notes.cost_samples(1)[0]["steps"] == 8


def test_a_listener_hears_every_end_once(live: LiveStudio):
    ended: list[tuple[str, str]] = []
    forget = live.call(lambda: live.studio.listen(lambda view: ended.append((view.id, view.state))))
    drawn = live.draw()
    live.call(live.studio.pause)
    dropped = live.submit()
    live.run(live.studio.cancel(dropped.id))
    live.call(live.studio.resume)
    live.call(forget)
    live.draw()
    assert ended == [(drawn.id, "finished"), (dropped.id, "cancelled")]


def test_health_says_what_draws(live: LiveStudio):
    health = live.call(live.studio.health)
    assert (health.ready, health.phase, health.device, health.precision) == (True, "ready", "cpu", "fp32")
    assert health.profile == "o1-tiny"
    assert health.fingerprint
    assert health.numeric_path
    assert any(event.type == "worker" and event.data["phase"] == "ready" for event in live.events)


def test_a_full_disk_fails_the_job_with_its_reason_and_leaves_nothing_half_written(
    live: LiveStudio, monkeypatch: pytest.MonkeyPatch
):
    live.call(live.studio.pause)
    view = live.submit()
    before = sorted((live.settings.data / "images").rglob("*"))
    monkeypatch.setattr("hidream_studio.library.library.RESERVE_BYTES", 2**60)  # more than any disk has
    live.call(live.studio.resume)
    end = live.wait(view.id)
    assert end.state == "failed"
    assert end.error is not None
    assert end.error.code == "storage_full"
    assert sorted((live.settings.data / "images").rglob("*")) == before
    monkeypatch.undo()
    assert live.wait(live.run(live.studio.retry(view.id)).id).state == "finished"


def test_a_disk_that_fills_while_drawing_leaves_no_job_that_runs_for_ever(live: LiveStudio):
    view = live.submit(steps=60)
    live.until_step(view.id, 2)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))  # no file can be written: neither picture nor database
    try:
        end = live.wait(view.id)
        assert (end.state, end.error and end.error.code) == ("failed", "storage_full")
        assert live.library.job(view.id).state == "running"  # the last that could be written
        assert live.job(view.id) == end
        assert [job.id for job in live.run(live.studio.jobs(states=("failed",), limit=1))] == [view.id]
        with pytest.raises(ConflictError, match="already failed"):
            live.run(live.studio.cancel(view.id))
        with pytest.raises(LibraryError):
            live.run(live.studio.retry(view.id))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert live.wait(live.run(live.studio.retry(view.id)).id).state == "finished"
    live.until(lambda: live.library.job(view.id).state == "failed")
    assert live.job(view.id) == replace(end, step=0)


def test_whatever_keeps_a_picture_from_the_library_its_job_ends_with_an_error_of_ours(
    live: LiveStudio, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> None:
        raise IntegrityError("INSERT", {}, Exception("UNIQUE constraint failed"))

    monkeypatch.setattr(live.library, "store_image", refuse)
    end = live.draw()
    assert (end.state, end.error and end.error.code) == ("failed", "library_unavailable")
