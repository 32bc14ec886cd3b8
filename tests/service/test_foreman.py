"""A job's life from queue to end, with a worker and a clock that the test moves, and a real library."""

from __future__ import annotations

import asyncio
import contextlib
import random
import resource
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fake_worker import READY, SPEC, FakeWorkers, pass_time, run, settle
from hidream_studio.engine.messages import (
    Cancel,
    Cancelled,
    Draw,
    Drawn,
    Failed,
    Finished,
    Recall,
    Returned,
    StepBegins,
    StepDone,
)
from hidream_studio.errors import ConflictError, LibraryError, OutOfMemoryError, QueueFullError
from hidream_studio.image.metadata import picture_facts
from hidream_studio.image.png import encode_png, read_text_chunks
from hidream_studio.job.clock import utc_now
from hidream_studio.job.ids import new_id
from hidream_studio.job.job import Job, pin
from hidream_studio.job.profiles import profile_by_id
from hidream_studio.job.record import JobRecord, JobView, Timings
from hidream_studio.job.request import GenerationRequest
from hidream_studio.library.library import Library
from hidream_studio.scheduler.watchdog import Patience
from hidream_studio.service.active import ActiveJob
from hidream_studio.service.archive import Archive
from hidream_studio.service.event_log import EventLog
from hidream_studio.service.foreman import Foreman
from hidream_studio.service.ledger import PAUSED_SETTING, RETRY_S
from hidream_studio.service.listing import listed

PNG = encode_png(np.zeros((32, 32, 3), np.uint8))
TIMINGS = Timings(text_s=0.1, steps_s=1.0, decode_s=0.1, png_s=0.1)
STAGES = ("waiting", "held", "begun", "drawn", "storing")


class Workshop:
    """A foreman with all that it needs; only its workers and its clock are no real ones."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.archive = Archive()
        self.workers = FakeWorkers()
        self.ended: list[tuple[str, str]] = []
        self.lora_paths: Callable[[Any], dict[str, str]] = lambda loras: {}
        self.foreman = Foreman(
            SPEC, self.workers, patience=Patience(backoff_s=(0.5,) * 9), queue_limit=100, library=library,
            lora_paths=lambda loras: self.lora_paths(loras),
            archive=self.archive, events=EventLog(1), on_end=lambda view: self.ended.append((view.id, view.state)),
            on_worker=lambda state: None,
        )  # fmt: skip

    async def open(self) -> None:
        self.foreman.start([], [])
        self.workers.now.say(READY)
        await settle()

    async def close(self) -> None:
        stopping = asyncio.ensure_future(self.foreman.stop())
        await settle()
        self.workers.now.die()
        await self.done()
        await stopping
        self.archive.close()

    async def done(self) -> None:
        """All that is due is done, on disk too."""
        for _ in range(3):
            await settle()
            await self.archive.write(lambda: None)
        await settle()

    async def add(self, **values: Any) -> ActiveJob:
        asked = {"prompt": "a cat", "seed": 1, "width": 256, "height": 256, "snap_resolution": False, "steps": 2}
        parent = {name: values.pop(name) for name in ("parent_id", "finish_mode", "strength") if name in values}
        lane, replaces = values.pop("lane", None), values.pop("replaces", None)
        pinned = pin(GenerationRequest(**{**asked, **values}), profile_by_id("o1-tiny"), lane=lane)
        job = Job.from_dict(pinned.job.to_dict() | parent)
        record = JobRecord(new_id(), "queued", pinned.lane, job, utc_now(), self.foreman.queue.next_order())
        active = ActiveJob(record, 0.1)
        await self.foreman.admit([active], replaces=replaces)
        return active

    async def say(self, *messages: Any) -> None:
        self.workers.now.say(*messages)
        await settle()

    async def bring(self, active: ActiveJob, stage: str) -> None:
        """A job that was just added, to that stage; what is done in threads is not waited for."""
        if stage == "waiting":
            assert active.stage == "held"
            self.foreman.pause(["draft"])
            await self.say(Returned(active.id))
        for message in self.course(active)[: STAGES.index(stage)]:
            await self.say(*message)
        assert active.stage == stage

    def course(self, active: ActiveJob) -> list[tuple[Any, ...]]:
        """What the worker says, by the stages that this leads to."""
        return [
            (),
            (StepBegins(active.id, 0, first=True),),
            (StepDone(active.id, 1, 1), Drawn(active.id, None)),
            (Finished(active.id, PNG, TIMINGS, utc_now()),),
        ]

    async def restart(self, reason: str = "it fell", code: str = "worker_failed") -> None:
        self.workers.now.die(reason, code)
        await settle()
        await pass_time(0.6)
        await self.say(READY)

    async def view(self, job_id: str) -> JobView:
        """As somebody sees it who asks for jobs."""
        page = await listed(self.library, self.foreman.lineup, states=None, sheet_id=None, limit=200, before=None)
        return next(view for view in page if view.id == job_id)


@pytest.fixture
def at_work(tmp_path: Path) -> Iterator[Callable[[Callable[[Workshop], Awaitable[None]]], None]]:
    """Runs a test in an open workshop."""

    def on_a_still_clock(test: Callable[[Workshop], Awaitable[None]]) -> None:
        async def opened() -> None:
            shop = Workshop(Library.open(tmp_path / "data"))
            await shop.open()
            try:
                await test(shop)
            finally:
                await shop.close()
                shop.library.close()

        run(opened())

    yield on_a_still_clock


Run = Callable[[Callable[[Workshop], Awaitable[None]]], None]


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """No file can be written, as on a full disk: the picture's as little as the database's."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_job_ends_on_disk_with_its_texts_before_it_is_told(at_work: Run):
    async def test(shop: Workshop) -> None:
        active = await shop.add()
        await shop.bring(active, "storing")
        assert (active.state, shop.ended) == ("running", [])
        await shop.done()
        assert shop.ended == [(active.id, "finished")]
        assert active.id not in shop.foreman.active
        record = shop.library.job(active.id)
        assert (record.state, record.attempts, record.image_id) == ("finished", 1, active.id)
        facts = picture_facts(read_text_chunks(shop.library.file_path(active.id)))
        assert facts is not None
        assert (facts.job, facts.timings, facts.fingerprint) == (active.job, TIMINGS, READY.fingerprint)

    at_work(test)


@pytest.mark.parametrize("stage", STAGES)
def test_a_job_can_be_cancelled_until_its_picture_is_here(at_work: Run, stage: str):
    async def test(shop: Workshop) -> None:
        active = await shop.add()
        await shop.bring(active, stage)
        shop.foreman.ask_cancel(active)
        await settle()
        if stage in ("held", "begun"):
            assert shop.workers.now.told(Cancel) == [Cancel(active.id)]
            await shop.say(Cancelled(active.id))
        elif stage == "drawn":
            await shop.say(Finished(active.id, PNG, TIMINGS, utc_now()))  # which it was about to send
        await shop.done()
        end = "finished" if stage == "storing" else "cancelled"
        assert shop.ended == [(active.id, end)]
        assert shop.library.job(active.id).state == end
        assert len(shop.library.images()) == (end == "finished")
        with pytest.raises(ConflictError, match=f"already {end}"):
            shop.foreman.ask_cancel(active)

    at_work(test)


@pytest.mark.parametrize("code", ["worker_failed", OutOfMemoryError.code])
def test_a_job_that_its_worker_died_of_twice_fails_with_what_it_died_of_and_the_others_lose_nothing(
    at_work: Run, code: str
):
    async def test(shop: Workshop) -> None:
        guilty, held = await shop.add(), await shop.add(seed=2)
        for attempt in (1, 2):
            await shop.say(StepBegins(guilty.id, 0, first=True))
            assert guilty.kept.attempts == attempt
            await shop.restart("the system ended it", code)
        await shop.done()
        end = shop.library.job(guilty.id)
        assert end.error is not None
        assert (end.state, end.attempts, end.error.code) == ("failed", 2, code)
        assert "died 2 times" in end.error.message and "the system ended it" in end.error.message
        assert (held.stage, held.kept.attempts, shop.library.job(held.id).state) == ("held", 0, "queued")

    at_work(test)


@pytest.mark.parametrize("stage", ["held", "begun", "drawn"])
def test_what_a_worker_had_when_it_died_is_drawn_by_the_next_from_the_start(at_work: Run, stage: str):
    async def test(shop: Workshop) -> None:
        active = await shop.add()
        await shop.bring(active, stage)
        first = shop.workers.now
        await shop.restart()
        assert [message.job_id for message in shop.workers.now.told(Draw)] == [active.id]
        first.say(Finished(active.id, b"a late answer", TIMINGS, utc_now()))
        await shop.bring(active, "storing")
        await shop.done()
        assert shop.ended == [(active.id, "finished")]
        assert len(shop.library.images()) == 1

    at_work(test)


def test_a_lane_that_is_paused_takes_back_what_has_not_begun(at_work: Run):
    async def test(shop: Workshop) -> None:
        begun, held = await shop.add(), await shop.add(seed=2)
        await shop.bring(begun, "begun")
        shop.foreman.pause(["draft"])
        assert shop.workers.now.told(Recall) == [Recall(held.id)]
        await shop.say(Returned(held.id))
        assert (begun.stage, held.stage) == ("begun", "waiting")
        shop.foreman.resume(["draft"])
        assert held.stage == "held"

    at_work(test)


def test_a_draft_s_pixels_travel_with_the_job_that_goes_on_from_it(at_work: Run):
    async def test(shop: Workshop) -> None:
        draft = await shop.add()
        await shop.bring(draft, "storing")
        await shop.done()
        composed = {"parent_id": draft.id, "finish_mode": "keep-composition", "strength": 0.5}
        kept = await shop.add(**composed)
        while not shop.foreman._supervisor.has(kept):
            await asyncio.sleep(0)
        (sent,) = (message for message in shop.workers.now.told(Draw) if message.job_id == kept.id)
        assert sent.init_image == shop.library.file_path(draft.id).read_bytes()
        unheard = await shop.add(**composed)  # its draft is being read
        shop.foreman.ask_cancel(unheard)
        shop.foreman.pause(["draft"])
        lost = await shop.add(**composed)
        shop.library.file_path(draft.id).unlink()
        shop.foreman.resume(["draft"])
        while len(shop.ended) < 3:
            await shop.done()
        assert shop.ended == [(draft.id, "finished"), (unheard.id, "cancelled"), (lost.id, "failed")]
        error = shop.library.job(lost.id).error
        assert error is not None
        assert error.code == "not_found" and "has vanished" in error.message
        assert unheard.id not in [message.job_id for message in shop.workers.now.told(Draw)]

    at_work(test)


@pytest.mark.parametrize("ending", ["stored", "failed", "cancelled"])
def test_a_disk_that_fills_while_a_job_is_drawn_leaves_no_ghost(at_work: Run, ending: str):
    """Memory, and so every answer, says how it ended; the library follows as soon as there is room."""

    async def test(shop: Workshop) -> None:
        active = await shop.add()
        with full_disk():
            await shop.bring(active, "begun")
            await shop.done()
            if ending == "stored":
                await shop.say(StepDone(active.id, 2, 2), Drawn(active.id, None))
                await shop.say(Finished(active.id, PNG, TIMINGS, utc_now()))
            elif ending == "failed":
                await shop.say(Failed(active.id, "out_of_memory", "too large"))
            else:
                shop.foreman.ask_cancel(active)
                await shop.say(Cancelled(active.id))
            await shop.done()
            await pass_time(3 * RETRY_S)
            await shop.done()
            end, code = {
                "stored": ("failed", "storage_full"), "failed": ("failed", "out_of_memory"),
                "cancelled": ("cancelled", None),
            }[ending]  # fmt: skip
            assert shop.ended == [(active.id, end)]
            assert shop.library.job(active.id).state == "queued"  # the last that could be written
            view = await shop.view(active.id)
            assert (view.state, view.error and view.error.code) == (end, code)
            assert await shop.foreman.wait(active) == view
            with pytest.raises(ConflictError, match=f"already {end}"):
                shop.foreman.ask_cancel(active)
            with pytest.raises(LibraryError):
                await shop.add()
            summary = shop.foreman.lineup().summary()
            assert (summary.waiting, summary.running) == (0, 0)
        await pass_time(2 * RETRY_S)
        await shop.done()
        record = shop.library.job(active.id)
        assert (record.state, record.error and record.error.code, record.attempts) == (end, code, 1)
        assert active.id not in shop.foreman.active
        again = await shop.add()
        await shop.bring(again, "storing")
        await shop.done()
        assert shop.ended[-1] == (again.id, "finished")

    at_work(test)


def test_a_redraw_takes_the_room_of_what_it_replaces_and_cancels_nothing_before_it_is_written(at_work: Run):
    async def test(shop: Workshop) -> None:
        old = await shop.add()
        shop.foreman.queue.limit = 1
        with full_disk(), pytest.raises(LibraryError):
            await shop.add(replaces=old)
        assert not old.cancel_asked and old.stage == "held"
        new = await shop.add(replaces=old)
        await shop.say(Cancelled(old.id))
        await shop.bring(new, "storing")
        await shop.done()
        assert shop.ended == [(old.id, "cancelled"), (new.id, "finished")]
        with pytest.raises(QueueFullError):
            await shop.add(replaces=await shop.add())  # one that waits and another
            await shop.add()

    at_work(test)


def test_a_job_whose_files_cannot_be_read_for_whatever_reason_ends_and_the_next_is_drawn(at_work: Run):
    def refuse(loras: Any) -> dict[str, str]:
        raise MemoryError("no room for the files")

    async def test(shop: Workshop) -> None:
        draft = await shop.add()
        await shop.bring(draft, "storing")
        await shop.done()
        ghost = await shop.add(parent_id=draft.id, finish_mode="keep-composition", strength=0.5)
        shop.lora_paths = refuse
        while not ghost.ended:
            await asyncio.to_thread(lambda: None)
        await shop.done()
        assert shop.ended[-1] == (ghost.id, "failed") and ghost.id not in shop.foreman.active
        record = shop.library.job(ghost.id)
        assert (record.state, record.error and record.error.code) == ("failed", "library_unavailable")
        after = await shop.add()
        await shop.bring(after, "storing")
        await shop.done()
        assert shop.ended[-1] == (after.id, "finished")

    at_work(test)


def test_what_a_job_was_before_its_picture_came_is_not_written_after_it(at_work: Run):
    async def test(shop: Workshop) -> None:
        active = await shop.add()
        with full_disk():
            await shop.bring(active, "drawn")
            await shop.done()
        await shop.say(Finished(active.id, PNG, TIMINGS, utc_now()))
        await shop.done()
        await pass_time(2 * RETRY_S)
        await shop.done()
        record = shop.library.job(active.id)
        assert (record.state, record.attempts, record.image_id) == ("finished", 1, active.id)

    at_work(test)


def test_a_pause_that_could_not_be_written_is_written_when_there_is_room(at_work: Run):
    async def test(shop: Workshop) -> None:
        with full_disk():
            shop.foreman.pause(["final"])
            await shop.done()
            assert shop.library.notes.setting(PAUSED_SETTING) is None
        await pass_time(2 * RETRY_S)
        await shop.done()
        assert shop.library.notes.setting(PAUSED_SETTING) == ["final"]

    at_work(test)


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_asked_and_whenever_workers_die_each_job_ends_once_and_no_picture_is_lost(at_work: Run, seed: int):
    async def test(shop: Workshop) -> None:
        chance = random.Random(seed)
        for number in range(60):
            if number < 30:
                await shop.add(seed=number, lane=chance.choice(["draft", "final"]))
            await _something_happens(shop, chance)
        shop.foreman.resume(["draft", "final"])
        for _ in range(400):
            if len(shop.ended) == 30:
                break
            await _a_step(shop, chance)
            await shop.done()
        ends = dict(shop.ended)
        assert len(shop.ended) == len(ends) == 30
        assert set(shop.foreman.active) == set()
        assert {record.id: record.state for record in shop.library.jobs()} == ends
        assert {record.id for record in shop.library.images()} == {
            job_id for job_id, end in ends.items() if end == "finished"
        }

    at_work(test)


async def _something_happens(shop: Workshop, chance: random.Random) -> None:
    unended = [active for active in shop.foreman.active.values() if not active.ended]
    happens = chance.choice(["step", "step", "step", "step", "cancel", "front", "pause", "resume", "die"])
    if happens == "step":
        await _a_step(shop, chance)
    elif happens in ("cancel", "front") and unended:
        with contextlib.suppress(ConflictError):
            (shop.foreman.ask_cancel if happens == "cancel" else shop.foreman.front)(chance.choice(unended))
    elif happens == "pause":
        shop.foreman.pause([chance.choice(["draft", "final"])])  # type: ignore[list-item]
    elif happens == "resume":
        shop.foreman.resume(["draft", "final"])
    elif happens == "die" and chance.random() < 0.5:
        await shop.restart()


async def _a_step(shop: Workshop, chance: random.Random) -> None:
    """What a worker would do: act on what it heard, then one step of a job of its choice."""
    worker = shop.workers.now
    held: list[str] = worker.__dict__.setdefault("held", [])
    for message in worker.heard:
        if isinstance(message, Draw):
            held.append(message.job_id)
        elif isinstance(message, (Cancel, Recall)) and message.job_id in held:
            begun = shop.foreman.active[message.job_id].stage == "begun"
            if isinstance(message, Cancel) or not begun:
                held.remove(message.job_id)
                await shop.say((Cancelled if isinstance(message, Cancel) else Returned)(message.job_id))
    worker.heard.clear()
    if held:
        job_id = chance.choice(held)
        if shop.foreman.active[job_id].stage == "held":
            await shop.say(StepBegins(job_id, 0, first=True))
        else:
            held.remove(job_id)
            await shop.say(StepDone(job_id, 2, 2), Drawn(job_id, None), Finished(job_id, PNG, TIMINGS, utc_now()))
