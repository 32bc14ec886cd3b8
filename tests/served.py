"""`hidream-studio serve` as a user starts it: the one starter of server processes for all tests. Judges nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx
import psutil

END_STATES = frozenset({"finished", "failed", "cancelled"})
SMALL = {"prompt": "a cat", "width": 256, "height": 256, "snap_resolution": False, "steps": 4, "seed": 1}
WAIT_S = 120.0


@contextmanager
def hearing_interrupts() -> Iterator[None]:
    """What starts here hears SIGINT, which it would ignore if a shell had started the tests in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Served:
    """Started when made, on a free port that it keeps when started again; `url` answers from then on, pictures come
    once it is ready. What it says on stderr lies beside its data."""

    def __init__(
        self, data: Path, checkpoint: Path, *options: str, threads: int = 1, profile: str | None = "o1-tiny"
    ) -> None:
        self.data, self.log, self.port = data, data.with_name(f"{data.name}.log"), 0
        named = ("--profile", profile) if profile else ()
        self._words = ["--data", str(data), "--model", str(checkpoint), *named, "--threads", str(threads), *options]
        self._environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "hidream_studio", "serve", "--port", str(self.port), *self._words]
        with self.log.open("ab") as log, hearing_interrupts():
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env=self._environment
            )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url.startswith("http://127.0.0.1:"), self.complaints
        self.port = int(self.url.rpartition(":")[2])
        self.client = httpx.Client(base_url=self.url, timeout=60.0)

    @property
    def complaints(self) -> str:
        """All that it ever wrote to stderr."""
        return self.log.read_text(encoding="utf-8")

    def until_ready(self) -> dict[str, Any]:
        end_s = time.monotonic() + WAIT_S
        while (answer := self.client.get("/health")).status_code != 200:
            assert time.monotonic() < end_s and self.process.poll() is None, answer.text + self.complaints[-4000:]
            time.sleep(0.1)
        return dict(answer.json())

    def health(self) -> dict[str, Any]:
        return dict(self.client.get("/health").json())

    def queue(self, **values: Any) -> str:
        """The new job's id."""
        answer = self.client.post("/api/jobs", json={**SMALL, **values})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        return dict(self.client.get(f"/api/jobs/{job_id}").json())

    def until_step(self, job_id: str, step: int) -> None:
        end_s = time.monotonic() + WAIT_S
        while self.job(job_id).get("step", 0) < step:
            assert time.monotonic() < end_s
            time.sleep(0.01)

    def until_ended(self, job_id: str) -> dict[str, Any]:
        end_s = time.monotonic() + 3 * WAIT_S
        while (job := self.job(job_id))["state"] not in END_STATES:
            assert time.monotonic() < end_s, job
            time.sleep(0.02)
        return job

    def file(self, image_id: str) -> bytes:
        return self.client.get(f"/api/images/{image_id}/file").content

    def images(self, **query: Any) -> list[dict[str, Any]]:
        return list(self.client.get("/api/images", params=query).json()["images"])

    def worker(self) -> psutil.Process | None:
        children = psutil.Process(self.process.pid).children()
        return next((child for child in children if "hidream_studio.engine.entry" in child.cmdline()), None)

    def stop(self, number: int = signal.SIGTERM) -> float:
        """Seconds until it is gone; every process that it started goes with it."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        begin_s = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(30)
        gone_s = time.monotonic() - begin_s
        _, alive = psutil.wait_procs(family, timeout=20)
        assert alive == []
        self.client.close()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return gone_s

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()
