"""The worker process, spoken to through its pipe."""

from __future__ import annotations

import os
import queue
import re
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest

from hidream_studio.engine.mailbox import Inbox, Outbox
from hidream_studio.engine.messages import (
    Cancel,
    Cancelled,
    Draw,
    Drawn,
    Failed,
    Finished,
    FromWorker,
    LoadFailed,
    Phase,
    PreviewReady,
    Ready,
    Recall,
    Reorder,
    Returned,
    StepBegins,
    StepDone,
    Stop,
    ToWorker,
    WorkerSpec,
)
from hidream_studio.engine.pipeline import Pipeline
from hidream_studio.engine.prepared import Prepared, _done
from hidream_studio.engine.worker import Worker
from hidream_studio.image.png import read_size, read_text_chunks
from hidream_studio.job.job import Job, pin
from hidream_studio.job.profiles import profile_by_id
from hidream_studio.job.request import GenerationRequest
from hidream_studio.scheduler.link import Exit
from hidream_studio.scheduler.process import WorkerProcess, exit_reason

Message = TypeVar("Message")
WAIT_S = 90.0
LEFT = Exit(exit_reason(0))  # by itself, and in peace


class Line:
    """Both ends of the talk with a worker."""

    def __init__(self, spec: WorkerSpec) -> None:
        self._heard: queue.SimpleQueue[FromWorker] = queue.SimpleQueue()
        self._exits: queue.SimpleQueue[Exit] = queue.SimpleQueue()
        self.process = WorkerProcess(spec, on_message=self._heard.put, on_exit=self._exits.put)
        self.log: list[FromWorker] = []

    def say(self, *messages: ToWorker) -> None:
        for message in messages:
            self.process.send(message)

    def until(self, kind: type[Message], condition: Callable[[Message], object] = lambda message: True) -> Message:
        """The next message of that kind; all on the way go into the log."""
        end_s = time.monotonic() + WAIT_S
        while True:
            message = self._heard.get(timeout=end_s - time.monotonic())
            self.log.append(message)
            if isinstance(message, kind) and condition(message):
                return message

    def exit(self) -> Exit:
        return self._exits.get(timeout=WAIT_S)

    def stepped(self) -> list[str]:
        """The jobs whose steps were taken, in turn."""
        return [message.job_id for message in self.log if isinstance(message, StepBegins)]


def spec_for(checkpoint: Path) -> WorkerSpec:
    return WorkerSpec(
        checkpoint=str(checkpoint), profile="o1-tiny", device="cpu", precision=None, fused=None, threads=1,
        preview_interval_s=0.0,
    )  # fmt: skip


def job(**values: Any) -> Job:
    asked = {"prompt": "a cat", "seed": 1, "width": 256, "height": 256, "snap_resolution": False, "steps": 3}
    return pin(GenerationRequest(**{**asked, **values}), profile_by_id("o1-tiny")).job


@pytest.fixture(scope="module")
def ready_line(golden_checkpoint: Path) -> Iterator[Line]:
    line = Line(spec_for(golden_checkpoint))
    line.until(Ready)
    yield line
    line.say(Stop())
    assert line.exit() == LEFT


@pytest.fixture
def line(ready_line: Line) -> Line:
    ready_line.log.clear()
    return ready_line


def test_loading_is_told_in_phases_and_ends_with_what_draws(ready_line: Line):
    phases = [message.name for message in ready_line.log if isinstance(message, Phase)]
    assert phases[0] == "importing torch"
    assert phases[-1] == "warming up"
    assert "loading weights" in phases
    (facts,) = [message for message in ready_line.log if isinstance(message, Ready)]
    assert (facts.device, facts.precision, facts.memory_total_mib) == ("cpu", "fp32", None)


def test_a_job_is_told_step_by_step_and_ends_as_a_png(line: Line):
    line.say(Draw("a", job(), "draft", 1))
    finished = line.until(Finished)
    assert [(m.done, m.total) for m in line.log if isinstance(m, StepDone)] == [(1, 3), (2, 3), (3, 3)]
    assert [m.first for m in line.log if isinstance(m, StepBegins)] == [True, False, False]
    assert any(isinstance(m, Drawn) for m in line.log)
    assert read_size(finished.png) == (256, 256)
    assert read_text_chunks(finished.png) == {}  # the library writes them
    assert finished.timings.steps_s > 0
    assert finished.timings.png_s > 0


def test_previews_are_small_and_tell_their_step(line: Line):
    line.say(Draw("a", job(steps=100, width=512, height=512), "draft", 1))
    preview = line.until(PreviewReady)
    assert 1 <= preview.step < 100
    assert preview.media_type == "image/webp"
    assert len(preview.data) < 100_000
    line.say(Cancel("a"))
    line.until(Cancelled)


def test_a_draft_takes_the_next_step_after_it_came_and_the_final_goes_on_afterwards(line: Line):
    line.say(Draw("final", job(steps=30), "final", 1))
    line.until(StepDone, lambda message: message.done == 3)
    line.say(Draw("draft", job(steps=4), "draft", 2))
    line.until(Finished, lambda message: message.job_id == "final")
    turns = line.stepped()
    first, last = turns.index("draft"), len(turns) - 1 - turns[::-1].index("draft")
    assert turns[first : last + 1] == ["draft"] * 4
    assert first < 15
    assert turns.count("final") == 30


def test_an_order_that_is_changed_counts_from_the_next_step_on(line: Line):
    line.say(Draw("a", job(steps=40), "final", 1), Draw("b", job(steps=3), "final", 2))
    line.until(StepDone)
    line.say(Reorder("b", -3))
    line.until(Finished, lambda message: message.job_id == "b")
    assert "a" not in [message.job_id for message in line.log if isinstance(message, Finished)]
    line.until(Finished)


def test_a_cancelled_job_takes_no_further_step(line: Line):
    line.say(Draw("a", job(steps=200), "draft", 1))
    line.until(StepDone)
    line.say(Cancel("a"))
    line.until(Cancelled)
    line.say(Draw("b", job(), "draft", 2))
    line.until(Finished)
    after = line.log[next(i for i, message in enumerate(line.log) if isinstance(message, Cancelled)) :]
    assert "a" not in [message.job_id for message in after if isinstance(message, StepBegins)]


def test_a_job_that_has_not_begun_can_be_taken_back_and_one_that_has_cannot(line: Line):
    line.say(Draw("a", job(steps=30), "draft", 1), Draw("b", job(), "draft", 2))
    line.until(StepDone)
    line.say(Recall("b"), Recall("a"))
    line.until(Returned)
    finished = line.until(Finished)
    assert finished.job_id == "a"
    assert "b" not in line.stepped()


def test_what_is_said_of_unknown_jobs_is_passed_over(line: Line):
    line.say(Cancel("nobody"), Recall("nobody"), Reorder("nobody", 1.0), Draw("a", job(), "draft", 1))
    assert line.until(Finished).job_id == "a"


def test_a_job_that_cannot_be_drawn_fails_with_its_reason_and_the_next_is_drawn(line: Line):
    spelled = replace(job(), prompt="<|im_end|>")
    composed = replace(job(), finish_mode="keep-composition", strength=0.5)
    line.say(
        Draw("spelled", spelled, "draft", 1),
        Draw("composed", composed, "draft", 2, init_image=b"no picture"),
        Draw("fine", job(), "draft", 3),
    )
    assert line.until(Finished).job_id == "fine"
    failed = {message.job_id: message for message in line.log if isinstance(message, Failed)}
    assert (failed["spelled"].code, failed["composed"].code) == ("invalid_prompt", "not_found")
    assert "im_end" in failed["spelled"].message


def test_interrupts_from_the_terminal_are_the_servers_business(line: Line):
    line.say(Draw("a", job(steps=20), "draft", 1))
    line.until(StepDone)
    os.kill(line.process.pid, signal.SIGINT)
    os.kill(line.process.pid, signal.SIGTERM)
    assert line.until(Finished).job_id == "a"


class _SlowPictures:
    """Stands for a thread that reads large pictures: those of the job with seed 2 are ready when the test says so."""

    def __init__(self) -> None:
        self.read: Future[Prepared] = Future()

    def ask(self, asked: Job, files: tuple[bytes, ...]) -> Future[Prepared]:
        return self.read if asked.seed == 2 else _done(())


class _Letters(Inbox):
    """Without a pipe, whose end would end this process."""

    def __init__(self) -> None:
        self._messages = queue.SimpleQueue()

    def put(self, *messages: ToWorker) -> None:
        for message in messages:
            self._messages.put(message)


class _Answers(Outbox):
    def __init__(self) -> None:
        self._messages = queue.SimpleQueue()

    def until(self, kind: type[Message]) -> Message:
        while True:
            message = self._messages.get(timeout=WAIT_S)
            if isinstance(message, kind):
                return message


def test_no_step_and_no_message_waits_for_another_jobs_pictures(golden_checkpoint: Path):
    letters, answers, pictures = _Letters(), _Answers(), _SlowPictures()
    pipeline = Pipeline.load(str(golden_checkpoint), profile="o1-tiny", device="cpu")
    worker = Worker(pipeline, spec_for(golden_checkpoint), letters, answers)
    worker._preparer = pictures  # type: ignore[assignment]
    running = threading.Thread(target=worker.run, daemon=True)
    running.start()
    letters.put(Draw("first", job(seed=2), "draft", 1), Draw("given up", job(seed=2), "draft", 2))
    letters.put(Draw("final", job(), "final", 3))
    assert answers.until(Finished).job_id == "final"
    letters.put(Cancel("given up"))
    assert answers.until(Cancelled).job_id == "given up"
    pictures.read.set_result(())
    assert answers.until(Finished).job_id == "first"
    letters.put(Stop())
    running.join(WAIT_S)
    assert not running.is_alive()


def test_a_worker_told_to_stop_writes_what_is_drawn_and_leaves(golden_checkpoint: Path):
    line = Line(spec_for(golden_checkpoint))
    line.until(Ready)
    line.say(Draw("a", job(steps=1), "draft", 1), Draw("b", job(steps=200), "final", 2))
    line.until(StepBegins, lambda message: message.job_id == "b")
    line.say(Stop())
    assert line.exit() == LEFT
    while "a" not in [message.job_id for message in line.log if isinstance(message, Finished)]:
        line.until(Finished)


def test_a_checkpoint_that_cannot_be_loaded_is_told_as_final(tmp_path: Path):
    line = Line(spec_for(tmp_path))
    failure = line.until(LoadFailed)
    assert (failure.code, failure.permanent) == ("invalid_checkpoint", True)
    assert str(tmp_path) in failure.message
    assert line.exit() == LEFT


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits a process that runs")
def test_a_job_for_which_this_machine_has_too_little_memory_ends_so_and_the_next_is_drawn(golden_checkpoint: Path):
    line = Line(spec_for(golden_checkpoint))
    line.until(Ready)
    line.say(Draw("a", job(), "draft", 1))
    line.until(Finished)
    now = psutil.Process(line.process.pid).memory_info().vms
    _, hard = resource.prlimit(line.process.pid, resource.RLIMIT_AS)
    resource.prlimit(line.process.pid, resource.RLIMIT_AS, (now + 64 * 2**20, hard))
    line.say(Draw("b", job(width=2048, height=2048), "final", 2))
    failure = line.until(Failed)
    resource.prlimit(line.process.pid, resource.RLIMIT_AS, (hard, hard))
    assert failure.code == "out_of_memory"
    assert re.fullmatch(
        r"drawing 2048×2048 needed another [\d.]+ [GM]iB in this machine's memory, "
        r"where [\d.]+ of [\d.]+ GiB were free; a smaller size needs less",
        failure.message,
    )
    line.say(Draw("c", job(), "draft", 3))
    assert line.until(Finished).job_id == "c"
    line.say(Stop())
    assert line.exit() == LEFT


def test_the_end_of_a_process_is_put_into_words():
    assert exit_reason(3) == "it ended by itself with exit code 3"
    assert exit_reason(-signal.SIGSEGV) == "it was ended by SIGSEGV"
    assert "run out of memory" in exit_reason(-signal.SIGKILL)
