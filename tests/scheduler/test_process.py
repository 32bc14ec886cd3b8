"""What a worker process is given to start with, and what is told of its end."""

from __future__ import annotations

import os
import queue
import signal
from pathlib import Path

import pytest

from fake_worker import SPEC
from hidream_studio.errors import WorkerError
from hidream_studio.scheduler import process
from hidream_studio.scheduler.link import Exit
from hidream_studio.scheduler.process import WorkerProcess, _environment


@pytest.mark.parametrize(
    ("said", "given"),
    [
        ({}, {"GOMP_SPINCOUNT": "1000"}),
        ({"GOMP_SPINCOUNT": "7"}, {"GOMP_SPINCOUNT": "7"}),
        ({"OMP_WAIT_POLICY": "PASSIVE"}, {"OMP_WAIT_POLICY": "PASSIVE"}),  # which a spin count would overrule
    ],
)
def test_openmps_threads_wait_as_the_environment_says_where_it_says(
    monkeypatch: pytest.MonkeyPatch, said: dict[str, str], given: dict[str, str]
):
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    assert {name: value for name, value in _environment().items() if name in names} == given


@pytest.mark.parametrize(
    ("kills", "ended_by_us", "code"),
    [(4, False, "out_of_memory"), (3, False, "worker_failed"), (4, True, "worker_failed")],
)
def test_a_worker_that_the_system_ended_for_want_of_memory_ran_out_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills: int, ended_by_us: bool, code: str
):
    monkeypatch.setattr(process, "SYSTEM_COUNTS", tmp_path / "vmstat")
    process.SYSTEM_COUNTS.write_text("nr_free_pages 17\noom_kill 3\n")
    exits: queue.SimpleQueue[Exit] = queue.SimpleQueue()
    worker = WorkerProcess(SPEC, on_message=lambda message: None, on_exit=exits.put)
    process.SYSTEM_COUNTS.write_text(f"nr_free_pages 17\noom_kill {kills}\n")
    if ended_by_us:
        worker.kill()
    else:
        os.kill(worker.pid, signal.SIGKILL)
    end = exits.get(timeout=20)
    assert (end.code, "memory" in end.reason) == (code, True)


def test_a_worker_that_cannot_be_started_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with pytest.raises(WorkerError, match="could not be started: No such file"):
        WorkerProcess(SPEC, on_message=lambda message: None, on_exit=lambda end: None)
