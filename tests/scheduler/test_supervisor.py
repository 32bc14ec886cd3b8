"""One worker kept alive: by a clock that the test moves, with a worker that says what the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from fake_worker import READY, SPEC, FakeWorkers, pass_time, run, settle
from hidream_studio.engine.messages import (
    Cancelled,
    Draw,
    Drawn,
    Finished,
    JobMessage,
    LoadFailed,
    Phase,
    Returned,
    StepBegins,
    StepDone,
    Stop,
)
from hidream_studio.job.job import pin
from hidream_studio.job.profiles import profile_by_id
from hidream_studio.job.record import Timings
from hidream_studio.job.request import GenerationRequest
from hidream_studio.scheduler.supervisor import Death, Supervisor
from hidream_studio.scheduler.ticket import Ticket
from hidream_studio.scheduler.watchdog import Patience

JOB = pin(GenerationRequest(prompt="a cat", seed=1), profile_by_id("o1-tiny")).job
PATIENCE = Patience(step_s=10.0, load_s=50.0, file_s=20.0, backoff_s=(1.0, 2.0, 4.0))


class Watched:
    """A supervisor with fake workers, and what it told."""

    def __init__(self) -> None:
        self.workers = FakeWorkers()
        self.said: list[tuple[Ticket, JobMessage]] = []
        self.deaths: list[Death[Ticket]] = []
        self.phases: list[str] = []
        self.supervisor: Supervisor[Ticket] = Supervisor(
            SPEC, self.workers, patience=PATIENCE, on_message=lambda job, message: self.said.append((job, message)),
            on_change=lambda: self.phases.append(self.supervisor.state.phase), on_death=self.deaths.append,
        )  # fmt: skip

    async def ready(self) -> None:
        self.supervisor.start()
        self.workers.now.say(Phase("loading weights", 0.5), READY)
        await settle()

    def give(self, *job_ids: str) -> list[Ticket]:
        jobs = [Ticket(job_id, "draft", float(index)) for index, job_id in enumerate(job_ids)]
        for job in jobs:
            job.enter("held")
            self.supervisor.draw(job, Draw(job.id, JOB, job.lane, job.order))
        return jobs

    async def say(self, *messages: Any) -> None:
        self.workers.now.say(*messages)
        await settle()


def watched(test: Callable[[Watched], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def on_a_still_clock() -> None:
        run(test(Watched()))

    on_a_still_clock.__name__ = test.__name__
    return on_a_still_clock


@watched
async def test_a_job_s_stage_follows_what_its_worker_says(it: Watched) -> None:
    await it.ready()
    (job,) = it.give("a")
    stages = []
    for message in (
        StepBegins("a", 0, first=True), StepDone("a", 1, 2), StepBegins("a", 1, first=False), StepDone("a", 2, 2),
        Drawn("a", 512.0), Finished("a", b"", Timings(), ""),
    ):  # fmt: skip
        await it.say(message)
        stages.append(job.stage)
    assert stages == ["begun", "begun", "begun", "begun", "drawn", "storing"]
    assert [message for _, message in it.said][-1] == Finished("a", b"", Timings(), "")
    assert it.supervisor.state.memory_used_mib == 512.0
    assert not it.supervisor.has(job)


@watched
async def test_one_value_tells_all_of_a_worker(it: Watched) -> None:
    await it.ready()
    it.give("a", "b")
    await it.say(StepBegins("b", 0, first=True))
    state = it.supervisor.state
    assert (state.phase, state.facts, state.job_id, state.jobs) == ("ready", READY, "b", 2)
    await it.say(StepDone("b", 1, 2), Cancelled("b"))
    assert (it.supervisor.state.job_id, it.supervisor.state.jobs) == (None, 1)
    it.workers.now.die()
    await settle()
    assert (it.supervisor.state.phase, it.supervisor.state.jobs) == ("restarting", 0)


@watched
async def test_a_worker_that_dies_is_started_again_after_longer_and_longer_pauses_and_then_given_up(
    it: Watched,
) -> None:
    await it.ready()
    for pause_s in PATIENCE.backoff_s:
        it.workers.now.die()
        started = len(it.workers.all)
        await pass_time(pause_s - 0.2)
        assert len(it.workers.all) == started
        await pass_time(0.4)
        assert len(it.workers.all) == started + 1
    it.workers.now.die("it fell for good")
    await pass_time(100.0)
    assert len(it.workers.all) == 4
    assert it.supervisor.state.failed
    assert it.supervisor.state.reason == "the worker process is gone: it fell for good"
    it.supervisor.restart()
    await it.say(READY)
    assert it.supervisor.state.ready
    assert it.supervisor.state.restarts == 3


@pytest.mark.parametrize("sign", ["a step", "a minute"])
def test_a_worker_that_drew_or_was_ready_for_long_has_all_its_restarts_again(sign: str) -> None:
    async def test() -> None:
        it = Watched()
        await it.ready()
        for _ in range(8):
            if sign == "a step":
                it.give("a")
                await it.say(StepBegins("a", 0, first=True), StepDone("a", 1, 2))
            else:
                await pass_time(61.0)
            it.workers.now.die()
            await pass_time(1.2)
            await it.say(READY)
        assert it.supervisor.state.ready

    run(test())


@watched
async def test_a_process_that_cannot_be_started_is_tried_again(it: Watched) -> None:
    it.workers.refuse = True
    it.supervisor.start()
    assert it.supervisor.state.reason == "the worker process could not be started: no room"
    it.workers.refuse = False
    await pass_time(1.2)
    await it.say(READY)
    assert it.supervisor.state.ready


@watched
async def test_what_can_never_be_loaded_is_not_tried_again(it: Watched) -> None:
    it.supervisor.start()
    await it.say(LoadFailed("invalid_checkpoint", "config.json is missing", permanent=True))
    it.workers.now.die()
    await pass_time(20.0)
    assert (len(it.workers.all), it.supervisor.state.phase) == (1, "failed")
    assert it.supervisor.state.reason == "config.json is missing"


@watched
async def test_a_worker_that_hangs_is_ended_and_its_step_s_job_is_guilty(it: Watched) -> None:
    await it.ready()
    it.give("a", "b")
    await it.say(StepBegins("a", 0, first=False))
    await pass_time(9.0)
    assert not it.workers.all[0].killed
    await pass_time(2.0)
    assert it.workers.all[0].killed
    (death,) = it.deaths
    assert death.exit.reason == "the worker process is gone: it hung in a step for more than 10 s and was ended"
    assert ([job.id for job in death.jobs], death.guilty) == (["a", "b"], {"a"})


@watched
async def test_a_machine_that_slept_puts_it_down_to_nobody(it: Watched) -> None:
    await it.ready()
    it.give("a")
    await it.say(StepBegins("a", 0, first=False))
    for _ in range(3):
        await pass_time(3600.0, at_once=True)
    await pass_time(9.0)
    assert not it.workers.now.killed
    await pass_time(2.0)
    assert it.deaths


@watched
async def test_what_a_dead_worker_says_is_no_news_of_its_successor(it: Watched) -> None:
    await it.ready()
    (job,) = it.give("a")
    await it.say(StepBegins("a", 0, first=True))
    it.workers.now.die()
    await settle()
    job.enter("waiting")
    await pass_time(1.2)
    it.workers.now.say(READY)
    await settle()
    said = list(it.said)
    it.workers.all[0].say(Drawn("a", None), Finished("a", b"late", Timings(), ""))
    await settle()
    assert (it.said, job.stage) == (said, "waiting")


@watched
async def test_an_answer_for_a_job_that_was_given_back_is_passed_over(it: Watched) -> None:
    await it.ready()
    (job,) = it.give("a")
    await it.say(Returned("a"), StepBegins("a", 0, first=True), Finished("a", b"", Timings(), ""))
    assert job.stage == "waiting"
    assert [type(message) for _, message in it.said] == [Returned]


@watched
async def test_a_worker_that_does_not_stop_in_time_is_ended(it: Watched) -> None:
    await it.ready()
    stopping = asyncio.ensure_future(it.supervisor.stop(3.0))
    await pass_time(2.5)
    assert it.workers.now.told(Stop) and not it.workers.now.killed
    await pass_time(1.0)
    assert it.workers.now.killed
    await stopping
    assert it.supervisor.state.phase == "stopped"
