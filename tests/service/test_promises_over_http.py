"""Nothing waits behind a render, and nothing is lost: through HTTP, with processes that are killed."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from hidream_studio.library.library import Library
from served import Served

RENDER = {"prompt": "a large picture", "width": 512, "height": 512, "steps": 50, "guidance_scale": 3.0, "seed": 3}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, golden_checkpoint: Path) -> Iterator[Served]:
    server = Served(tmp_path_factory.mktemp("data"), golden_checkpoint)
    server.until_ready()
    yield server
    server.stop()


def same_pixels(one: bytes, other: bytes) -> bool:
    with Image.open(BytesIO(one)) as first, Image.open(BytesIO(other)) as second:
        return ImageChops.difference(first, second).getbbox() is None


def test_a_draft_is_back_in_less_than_half_of_the_render_that_it_passes_and_changes_none_of_its_pixels(served: Served):
    alone = served.queue(**RENDER)
    assert served.until_ended(alone)["lane"] == "final"
    started_s = time.monotonic()
    passed = served.queue(**RENDER)
    served.until_step(passed, 5)
    asked_s = time.monotonic()
    draft = served.until_ended(served.queue())
    draft_s = time.monotonic() - asked_s
    assert served.job(passed)["state"] == "running"
    assert served.until_ended(passed)["state"] == "finished"
    assert (draft["state"], draft["lane"]) == ("finished", "draft")
    assert draft_s < (time.monotonic() - started_s) / 2
    assert same_pixels(served.file(alone), served.file(passed))
    assert same_pixels(served.file(draft["id"]), served.file(served.until_ended(served.queue())["id"]))


def test_a_cancel_takes_effect_in_under_two_seconds(served: Served):
    job_id = served.queue(**{**RENDER, "steps": 200})
    served.until_step(job_id, 2)
    asked_s = time.monotonic()
    assert served.client.delete(f"/api/jobs/{job_id}").status_code in (200, 202)
    assert served.until_ended(job_id)["state"] == "cancelled"
    assert time.monotonic() - asked_s < 2.0


def test_the_server_answers_while_a_killed_worker_is_replaced_and_its_job_is_drawn(served: Served):
    job_id = served.queue(**RENDER)
    waiting = served.queue()
    served.until_step(job_id, 2)
    worker = served.worker()
    assert worker is not None
    worker.kill()
    slowest_s = 0.0
    while served.job(job_id)["state"] != "finished":
        asked_s = time.monotonic()
        assert served.client.get("/health").status_code in (200, 503)
        slowest_s = max(slowest_s, time.monotonic() - asked_s)
        time.sleep(0.02)
    assert slowest_s < 2.0
    assert served.until_ended(waiting)["state"] == "finished"


def test_after_kill_9_of_the_server_finished_pictures_are_there_all_jobs_run_once_and_no_worker_outlives_it(
    tmp_path: Path, golden_checkpoint: Path
):
    server = Served(tmp_path, golden_checkpoint)
    done = server.queue()
    server.until_ended(done)
    picture = server.file(done)
    running = server.queue(**{**RENDER, "steps": 60})
    waiting = [server.queue(lane="final", seed=seed) for seed in range(3)]
    server.until_step(running, 5)
    worker = server.worker()
    assert worker is not None
    server.stop(signal.SIGKILL)
    worker.wait(10)
    server = Served(tmp_path, golden_checkpoint)
    try:
        assert server.file(done) == picture
        assert {server.until_ended(job_id)["state"] for job_id in (running, *waiting)} == {"finished"}
        images = server.client.get("/api/images").json()["images"]
        assert sorted(image["id"] for image in images) == sorted([done, running, *waiting])
        again = server.queue()
        server.until_ended(again)
        assert same_pixels(server.file(again), picture)
        anew = server.queue(**{**RENDER, "steps": 60})
        server.until_ended(anew)
        assert same_pixels(server.file(anew), server.file(running))  # in its second go as if nothing had been
    finally:
        server.stop()
    library = Library.open(tmp_path)
    attempts = [library.job(job_id).attempts for job_id in (done, running, *waiting)]
    library.close()
    assert attempts == [1, 2, 1, 1, 1]
