"""What a newer version left in the library, over HTTP: shown with its file and its time, and never a fault."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from studio_serving import StudioServer, studio_server

from hidream_studio.image.png import encode_png
from hidream_studio.job.clock import utc_now
from hidream_studio.job.ids import new_ids
from hidream_studio.job.job import pin
from hidream_studio.job.profiles import profile_by_id
from hidream_studio.job.record import JobRecord
from hidream_studio.job.request import GenerationRequest
from hidream_studio.library.library import Library
from hidream_studio.library.records import ImageDraft

DRAWN, WAITING, FAILED = new_ids(3)


@pytest.fixture(scope="module")
def server(golden_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioServer]:
    """Its library has a picture, a waiting and a failed job whose sampler is not known yet."""
    data = tmp_path_factory.mktemp("newer")
    job = pin(GenerationRequest(prompt="a fox", seed=7), profile_by_id("o1-tiny")).job
    library = Library.open(data)
    library.add_jobs([JobRecord(one, "queued", "draft", job, utc_now()) for one in (DRAWN, WAITING, FAILED)])
    library.update_job(FAILED, state="failed")
    facts = {"model": "tiny", "fingerprint": "0", "numeric_path": "cpu"}
    draft = ImageDraft(id=DRAWN, job_id=DRAWN, job=job, lane="draft", created_at=utc_now(), elapsed_s=1.0, **facts)
    library.store_image(draft, encode_png(np.zeros((32, 32, 3), np.uint8)))
    library.close()
    newer = json.dumps({**job.to_dict(), "sampler": "dpm", "of_tomorrow": [1, 2]})
    with closing(sqlite3.connect(data / "library.sqlite3")) as connection, connection:
        connection.execute("UPDATE images SET job = ?", (newer,))
        connection.execute("UPDATE jobs SET job = ?", (newer,))
    with studio_server(golden_checkpoint, data) as running:
        yield running
    with closing(sqlite3.connect(data / "library.sqlite3")) as connection:
        assert {row[0] for row in connection.execute("SELECT job FROM images UNION SELECT job FROM jobs")} == {newer}


def test_a_picture_that_is_not_understood_is_listed_with_its_file_and_can_be_marked(server: StudioServer) -> None:
    [listed] = server.client.get("/api/images", params={"q": "fox seed:7"}).json()["images"]
    one = server.client.get(f"/api/images/{DRAWN}").json()

    assert "sampler is 'dpm'" in listed["unreadable"] and one["unreadable"] == listed["unreadable"]
    told = {note["field"]: note["asked"] for note in listed["adjustments"]}
    assert told == {"sampler": "dpm", "of_tomorrow": "[1, 2]"}
    assert (listed["seed"], listed["job"]["prompt"]) == (7, "a fox") and listed["created_at"]
    for path in (listed["file"], listed["thumb"]):
        assert server.client.get(path).status_code == 200
    assert server.client.patch(f"/api/images/{DRAWN}", json={"favourite": True}).json()["favourite"]


def test_jobs_that_are_not_understood_are_listed_with_the_others(server: StudioServer) -> None:
    jobs = server.client.get("/api/jobs").json()["jobs"]

    assert {(job["id"], job["state"]) for job in jobs} == {(DRAWN, "finished"), (WAITING, "queued"), (FAILED, "failed")}
    assert all("sampler is 'dpm'" in job["unreadable"] for job in jobs)
    assert server.client.get(f"/api/jobs/{WAITING}").json()["unreadable"]
    for state, ids in (("queued", [WAITING]), ("failed", [FAILED]), ("running", [])):
        assert [job["id"] for job in server.client.get("/api/jobs", params={"state": state}).json()["jobs"]] == ids


def test_nothing_is_made_of_what_is_not_understood(server: StudioServer) -> None:
    for method, path, says in (
        ("POST", f"/api/images/{DRAWN}/finish", "nothing can be made of picture"),
        ("POST", f"/api/images/{DRAWN}/finish/estimate", "nothing can be made of picture"),
        ("POST", f"/api/jobs/{FAILED}/retry", "nothing can be made of job"),
        ("DELETE", f"/api/jobs/{WAITING}", "asked of a newer version"),
        ("POST", f"/api/jobs/{WAITING}/front", "asked of a newer version"),
    ):
        answer = server.client.request(method, path, json=None if method == "DELETE" else {})
        assert answer.status_code == 409, answer.text
        assert says in answer.json()["error"]["message"]
    assert server.client.get("/api/queue").json()["waiting"] == 0
