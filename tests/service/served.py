"""`hidream-studio serve` as a process of its own, for tests that kill it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import psutil

END_STATES = frozenset({"finished", "failed", "cancelled"})
SMALL = {"prompt": "a cat", "width": 256, "height": 256, "snap_resolution": False, "steps": 4, "seed": 1}
WAIT_S = 120.0


class Served:
    """Started when made; `url` answers from then on, pictures come once it is ready."""

    def __init__(self, data: Path, checkpoint: Path) -> None:
        command = [sys.executable, "-m", "hidream_studio", "serve", "--port", "0", "--threads", "1"]
        self.process = subprocess.Popen(
            [*command, "--data", str(data), "--model", str(checkpoint), "--profile", "o1-tiny"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url.startswith("http://"), "it did not start"
        self.client = httpx.Client(base_url=self.url, timeout=30.0)

    def until_ready(self) -> dict[str, Any]:
        end_s = time.monotonic() + WAIT_S
        while (answer := self.client.get("/health")).status_code != 200:
            assert time.monotonic() < end_s, answer.text
            time.sleep(0.1)
        return dict(answer.json())

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

    def worker(self) -> psutil.Process | None:
        children = psutil.Process(self.process.pid).children()
        return next((child for child in children if "hidream_studio.engine.entry" in child.cmdline()), None)

    def end(self, *, kill: bool = False) -> None:
        """By SIGTERM, or by SIGKILL. A second call does nothing."""
        if kill:
            self.process.kill()
        else:
            self.process.terminate()
        self.process.wait(20)
        self.client.close()
        assert self.process.stdout is not None
        self.process.stdout.close()
