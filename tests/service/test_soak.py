"""Hours of use in minutes, through HTTP: 500 jobs with cancels, worker kills and readers that come and go.

`make soak` runs it; HIDREAM_STUDIO_SOAK_JOBS makes it shorter. Its figures are for docs/lab-log.md.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from served import END_STATES, Served

pytestmark = pytest.mark.soak

JOBS = int(os.environ.get("HIDREAM_STUDIO_SOAK_JOBS", "500"))
CANCEL_EVERY = 9  # jobs
KILL_EVERY = 100  # jobs
IN_FLIGHT = 30
GROWTH_MIB = 40.0  # of the server, from its first to its last fifth: more than that is a leak


@dataclass
class Reader:
    """Reads events, hangs up every now and then, and goes on from the last it heard."""

    url: str
    ends: dict[str, list[str]] = field(default_factory=dict)  # by job
    reconnects: int = 0
    resets: int = 0
    stop: bool = False

    last: str = ""  # id of the last event heard

    def run(self) -> None:
        randomness = random.Random(id(self))
        while not self.stop:
            headers = {"Last-Event-ID": self.last} if self.last else {}
            hang_up_s = time.monotonic() + randomness.uniform(0.2, 5.0)
            with contextlib.suppress(httpx.HTTPError):  # also when nothing happens for a second
                with httpx.stream("GET", f"{self.url}/api/events", headers=headers, timeout=1.0) as answer:
                    self._read(answer, hang_up_s)
            self.reconnects += 1

    def _read(self, answer: httpx.Response, hang_up_s: float) -> None:
        seq, data = "", ""
        for line in answer.iter_lines():
            if line.startswith("id:"):
                seq = line[3:].strip()
            elif line.startswith("data:"):
                data = line[5:].strip()
            elif not line and data:
                self._hear(json.loads(data))
                self.last, data = seq, ""
            if self.stop or time.monotonic() > hang_up_s:
                return

    def _hear(self, event: dict[str, Any]) -> None:
        self.resets += bool(event.get("reset"))
        if event.get("state") in END_STATES:
            self.ends.setdefault(event["id"], []).append(event["state"])


def test_500_jobs_with_cancels_kills_and_reconnects_lose_nothing_and_leave_memory_flat(
    tmp_path: Path, golden_checkpoint: Path
):
    randomness = random.Random(1)
    server = Served(tmp_path / "data", golden_checkpoint)
    readers = [Reader(server.url) for _ in range(3)]
    threads = [threading.Thread(target=reader.run, daemon=True) for reader in readers]
    try:
        client = server.client
        server.until_ready()
        for thread in threads:
            thread.start()
        started_s = time.monotonic()
        memory_mib, job_ids, kills = [], [], 0
        for number in range(JOBS):
            steps, lane = randomness.randint(1, 8), randomness.choice(["draft", "final"])
            job_ids.append(server.queue(prompt=f"picture {number}", seed=number, steps=steps, lane=lane))
            if number % CANCEL_EVERY == CANCEL_EVERY - 1:
                victim = job_ids[-randomness.randint(1, min(5, len(job_ids)))]
                status = client.delete(f"/api/jobs/{victim}").status_code
                assert status in (200, 202, 409)
            if number % KILL_EVERY == KILL_EVERY // 2 and (worker := server.worker()) is not None:
                worker.kill()
                kills += 1
            while client.get("/health").json()["queue"]["waiting"] > IN_FLIGHT:
                time.sleep(0.05)
            memory_mib.append(psutil.Process(server.process.pid).memory_info().rss / 2**20)
        states = {job_id: server.until_ended(job_id)["state"] for job_id in job_ids}
        took_s = time.monotonic() - started_s
        assert_all_heard(readers, states)
        listed = all_images(client)
        health = client.get("/health").json()
    finally:
        for reader in readers:
            reader.stop = True
        server.stop()
    for thread in threads:
        thread.join()
    finished = {job_id for job_id, state in states.items() if state == "finished"}
    assert set(listed) == finished
    assert len(listed) == len(finished)
    assert "failed" not in states.values()
    fifth = max(JOBS // 5, 1)
    first_mib, last_mib = (sum(part) / len(part) for part in (memory_mib[fifth : 2 * fifth], memory_mib[-fifth:]))
    report = {
        "jobs": JOBS,
        "seconds": round(took_s, 1),
        "finished": len(finished),
        "cancelled": list(states.values()).count("cancelled"),
        "worker_kills": kills,
        "worker_restarts": health["worker_restarts"],
        "reader_reconnects": sum(reader.reconnects for reader in readers),
        "reader_resets": sum(reader.resets for reader in readers),
        "server_mib_second_fifth": round(first_mib, 1),
        "server_mib_last_fifth": round(last_mib, 1),
        "server_mib_peak": round(max(memory_mib), 1),
    }
    sys.stdout.write(f"\n{json.dumps(report)}\n")
    assert last_mib - first_mib < GROWTH_MIB


def assert_all_heard(readers: list[Reader], states: dict[str, str]) -> None:
    """Every reader heard every end once, whenever it was away."""
    end_s = time.monotonic() + 20
    for reader in readers:
        while len(reader.ends) < len(states) and time.monotonic() < end_s:
            time.sleep(0.1)
        assert {job_id: ends[0] for job_id, ends in reader.ends.items()} == states
        assert all(len(ends) == 1 for ends in reader.ends.values())


def all_images(client: httpx.Client) -> list[str]:
    found: list[str] = []
    while True:
        query = {"limit": 100, **({"before": found[-1]} if found else {})}
        page = client.get("/api/images", params=query).json()
        images = page["images"] if isinstance(page, dict) else page
        if not images:
            return found
        found += [image["id"] for image in images]
