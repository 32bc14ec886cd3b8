"""Workers and servers die, hang and fail to load; queue, library and finished pictures do not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from live_studio import LiveStudio, asked

from hidream_studio.errors import WorkerError
from hidream_studio.job.request import FinishRequest
from hidream_studio.scheduler.watchdog import Patience

QUICK_BACKOFF = Patience(backoff_s=(0.05, 0.05, 0.05))

OpenStudio = Callable[..., LiveStudio]


def kill_worker(live: LiveStudio, kind: int = signal.SIGKILL) -> None:
    os.kill(live.worker_pid, kind)


def exists(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    return False


def test_a_killed_worker_costs_one_attempt_and_the_second_ends_the_job_while_others_go_on(open_studio: OpenStudio):
    live = open_studio(patience=QUICK_BACKOFF)
    killer = live.submit(width=768, height=768, steps=200, guidance_scale=3.0)
    waiting = live.submit(lane="final", seed=2)
    live.until_step(killer.id, 2)
    kill_worker(live)
    live.until_job(killer.id, lambda view: view.state == "queued")
    live.until_step(killer.id, 2)  # the second worker
    kill_worker(live)
    end = live.wait(killer.id)
    live.until(lambda: live.library.job(killer.id).attempts == 2)  # the library's thread may be behind
    assert end.state == "failed"
    assert end.error is not None
    assert end.error.code == "worker_failed"
    assert "died 2 times while it was drawn, so it is not tried again" in end.error.message
    assert "SIGKILL" in end.error.message
    assert live.wait(waiting.id).state == "finished"  # the third
    assert live.library.job(waiting.id).attempts == 1
    assert live.call(live.studio.health).worker_restarts == 2


def test_a_passed_render_is_not_at_fault_when_the_worker_dies_of_a_draft(open_studio: OpenStudio):
    live = open_studio(patience=QUICK_BACKOFF)
    render = live.submit(width=512, height=512, steps=40, guidance_scale=3.0)
    live.until_step(render.id, 2)
    draft = live.submit(steps=200, guidance_scale=3.0)
    live.until_step(draft.id, 3)
    kill_worker(live)
    live.until_job(draft.id, lambda view: view.state == "queued")
    live.until(lambda: live.library.job(render.id).state == "queued")
    assert live.library.job(render.id).attempts == 0
    assert live.library.job(draft.id).attempts == 1
    assert {live.wait(view.id).state for view in (draft, render)} == {"finished"}
    assert [live.library.job(view.id).attempts for view in (draft, render)] == [2, 1]


def test_a_worker_that_hangs_is_noticed_ended_and_replaced_and_what_was_cancelled_is_not_drawn_again(
    open_studio: OpenStudio,
):
    live = open_studio(patience=Patience(step_s=3.0, backoff_s=(0.05, 0.05, 0.05)))  # a busy machine's step takes 1 s
    view = live.submit(width=512, height=512, steps=60)
    live.until_step(view.id, 2)
    pid = live.worker_pid
    kill_worker(live, signal.SIGSTOP)
    live.until(lambda: not live.studio.health().ready, timeout_s=20.0)
    assert "hung in a step for more than 3 s" in (live.call(live.studio.health).reason or "")
    live.until_step(view.id, 2)
    assert not exists(pid)
    others = [live.submit(lane="final", seed=seed) for seed in range(3)]
    kill_worker(live, signal.SIGSTOP)
    assert live.run(live.studio.cancel(view.id)).state == "running"
    assert live.wait(view.id).state == "cancelled"
    assert {live.wait(other.id).state for other in others} == {"finished"}


def test_a_worker_that_dies_again_and_again_before_it_draws_is_given_up_and_the_queue_is_kept(open_studio: OpenStudio):
    live = open_studio(patience=QUICK_BACKOFF)
    view = live.submit()
    killed: set[int] = set()
    while not live.call(lambda: live.studio.health().phase == "failed"):
        pid = live.call(live.studio.health).worker_pid
        if pid is not None and pid not in killed:
            killed.add(pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    assert len(killed) == 4  # the first, and three restarts
    health = live.call(live.studio.health)
    assert (health.ready, "SIGKILL" in (health.reason or "")) == (False, True)
    assert live.job(view.id).state == "queued"
    for work in (live.studio.submit(asked()), live.studio.wait(view.id)):
        with pytest.raises(WorkerError, match="the model cannot be used"):
            live.run(work)
    live.call(live.studio.restart_worker)
    assert live.wait(view.id).state == "finished"


def test_a_folder_that_is_no_checkpoint_is_refused_once_with_the_reason(open_studio: OpenStudio, tmp_path: Path):
    (tmp_path / "nothing").mkdir()
    live = open_studio(checkpoint=tmp_path / "nothing")
    view = live.submit()
    with pytest.raises(WorkerError, match=r"config\.json"):
        live.wait(view.id)
    health = live.call(live.studio.health)
    assert (health.phase, health.worker_restarts) == ("failed", 0)
    assert "config.json" in (health.reason or "")
    assert live.run(live.studio.cancel(view.id)).state == "cancelled"


async def wait_and_stop(live: LiveStudio, job_id: str) -> None:
    """Who waits when the server stops is told, and who comes then is sent away."""
    waiting = asyncio.create_task(live.studio.wait(job_id))
    await asyncio.sleep(0)
    await live.studio.stop()
    with pytest.raises(WorkerError, match="stays in the queue"):
        await waiting
    with pytest.raises(WorkerError, match="the server is stopping"):
        await live.studio.submit(asked())


def test_stopping_puts_back_what_runs_and_the_next_server_draws_it_once(open_studio: OpenStudio):
    live = open_studio()
    views = [live.submit(width=512, height=512, steps=60, seed=seed) for seed in range(3)]
    live.until_step(views[0].id, 3)
    live.call(lambda: live.studio.pause("draft"))
    pid = live.worker_pid
    started_s = time.monotonic()
    live.run(wait_and_stop(live, views[0].id))
    assert time.monotonic() - started_s < 5.0
    live.close()
    assert not exists(pid)
    again = open_studio()
    assert again.library.job(views[0].id).attempts == 0
    assert again.call(lambda: again.studio.queue_summary().paused) == ("draft",)
    assert {again.wait(view.id).state for view in views} == {"finished"}
    assert [again.library.job(view.id).attempts for view in views] == [1, 1, 1]


def test_a_job_that_three_servers_ended_with_is_not_drawn_a_fourth_time_and_one_of_two_is(open_studio: OpenStudio):
    live = open_studio()
    live.call(live.studio.pause)
    often, twice = live.submit(), live.submit(seed=2)
    for view, attempts in ((often, 3), (twice, 2)):  # as a server that is killed in the middle leaves the library
        live.library.update_job(view.id, state="running", attempts=attempts)
    live.close()
    again = open_studio()
    end = again.wait(often.id)
    assert end.state == "failed"
    assert end.error is not None
    assert (
        "died 3 times while it was drawn, so it is not tried again: the last time with the whole server"
        in end.error.message
    )
    again.call(again.studio.resume)
    assert again.wait(twice.id).state == "finished"


def test_the_next_server_finishes_drafts_that_are_still_there_and_says_of_the_others_that_they_are_gone(
    open_studio: OpenStudio,
):
    live = open_studio()
    drafts = [live.draw(seed=seed) for seed in (1, 2)]
    live.call(live.studio.pause)
    request = FinishRequest(mode="keep-composition", width=256, height=256)
    kept, lost = (live.run(live.studio.finish(draft.id, request)) for draft in drafts)
    live.library.file_path(drafts[1].id).unlink()
    live.close()
    again = open_studio()
    end = again.wait(lost.id)
    assert (end.state, end.error and end.error.code) == ("failed", "not_found")
    assert end.error is not None and "has vanished" in end.error.message
    again.call(again.studio.resume)
    assert again.wait(kept.id).state == "finished"


def test_jobs_of_another_model_are_not_drawn_by_this_one_unless_asked_again(open_studio: OpenStudio):
    live = open_studio()
    live.call(live.studio.pause)
    view = live.submit()
    live.close()
    other = open_studio(profile="hidream-o1-image")
    other.call(other.studio.resume)
    end = other.wait(view.id)
    assert end.state == "failed"
    assert end.error is not None
    assert "asked of o1-tiny, but hidream-o1-image is loaded now" in end.error.message
    again = other.wait(other.run(other.studio.retry(view.id)).id)
    assert (again.state, again.job.profile, again.job.seed) == ("finished", "hidream-o1-image", view.job.seed)
