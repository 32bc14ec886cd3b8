"""The queue over HTTP: what is taken, in which order it is told, and how it ends."""

from __future__ import annotations

from pathlib import Path

import pytest
from studio_serving import SMALL, StudioServer, studio_server

from hidream_studio.job.ids import new_id

LONG = {"steps": 200, "width": 512, "height": 512}


def test_a_job_is_taken_at_once_and_its_picture_is_found_by_its_id(server: StudioServer) -> None:
    job = server.queue(prompt="a queued cat")
    assert job["state"] in ("queued", "running")
    assert job["lane"] == "draft"
    assert job["estimate_s"] > 0
    ended = server.until(job["id"], "finished")
    assert server.client.get(f"/api/images/{ended['image_id']}").json()["job"]["prompt"] == "a queued cat"
    assert ended["step"] == ended["steps"] == 2
    assert ended["elapsed_s"] > 0
    assert "position" not in ended


def test_a_job_over_half_the_native_area_is_final_unless_the_lane_is_said(server: StudioServer) -> None:
    resolve = lambda **body: server.client.post("/api/resolve", json=body).json()["lane"]  # noqa: E731
    assert resolve(width=1024, height=1024, snap_resolution=False) == "draft"
    assert resolve() == "final"
    assert resolve(lane="draft") == "draft"


def test_a_cancelled_job_stays_cancelled_and_a_second_cancel_is_a_conflict(server: StudioServer) -> None:
    job = server.queue(**LONG)
    assert server.client.delete(f"/api/jobs/{job['id']}").json()["state"] in ("cancelled", "running")
    server.until(job["id"], "cancelled", timeout_s=3)
    again = server.client.delete(f"/api/jobs/{job['id']}")
    assert again.status_code == 409
    assert "cancelled" in again.json()["error"]["message"]


def test_a_cancel_after_the_end_is_a_conflict(server: StudioServer) -> None:
    job = server.queue()
    server.until(job["id"], "finished")
    assert server.client.delete(f"/api/jobs/{job['id']}").status_code == 409
    assert server.client.post(f"/api/jobs/{job['id']}/front").status_code == 409
    assert server.client.post(f"/api/jobs/{job['id']}/retry").status_code == 409


def test_a_cancelled_job_can_be_tried_again(server: StudioServer) -> None:
    server.client.post("/api/queue/pause")
    job = server.queue(seed=77)
    assert server.client.delete(f"/api/jobs/{job['id']}").json()["state"] == "cancelled"
    server.client.post("/api/queue/resume")
    again = server.client.post(f"/api/jobs/{job['id']}/retry")
    assert again.status_code == 202
    assert again.json()["seed"] == 77
    assert server.until(again.json()["id"], "finished")["id"] != job["id"]


@pytest.mark.parametrize("path", ["", "/front", "/retry", "/preview"])
def test_an_unknown_job_is_not_found(server: StudioServer, path: str) -> None:
    for unknown in (new_id(), "x", "..%2f..%2fetc", "%00", "é" * 300):
        method = "GET" if path in ("", "/preview") else "POST"
        answer = server.client.request(method, f"/api/jobs/{unknown}{path}")
        assert answer.status_code == 404, answer.text
        assert answer.json()["error"]["code"] == "not_found"
    assert server.client.delete(f"/api/jobs/{new_id()}").status_code == 404


def test_a_sheet_crosses_its_lists(server: StudioServer) -> None:
    body = {"request": {**SMALL, "seed": None}, "seeds": [3, 4], "steps": [1, 2], "sizes": [[256, 256], [288, 256]]}
    answer = server.client.post("/api/sheets", json=body)
    assert answer.status_code == 202, answer.text
    sheet = answer.json()
    made = {(job["seed"], job["steps"], job["width"]) for job in sheet["jobs"]}
    assert made == {(seed, steps, width) for seed in (3, 4) for steps in (1, 2) for width in (256, 288)}
    for job in sheet["jobs"]:
        server.until(job["id"], "finished")
    listed = server.client.get("/api/images", params={"sheet_id": sheet["id"]}).json()["images"]
    assert len(listed) == 8


def test_n_counts_seeds_up_from_the_first(server: StudioServer) -> None:
    answer = server.client.post("/api/sheets", json={"request": {**SMALL, "seed": 10, "steps": 1}, "n": 3})
    assert [job["seed"] for job in answer.json()["jobs"]] == [10, 11, 12]
    for job in answer.json()["jobs"]:
        server.until(job["id"], "finished")


def test_a_list_of_jobs_is_one_sheet_and_one_bad_job_stops_them_all(server: StudioServer) -> None:
    good = {**SMALL, "steps": 1}
    sheet = server.client.post("/api/jobs", json=[good, {**good, "seed": 2}]).json()
    assert {job["sheet_id"] for job in sheet["jobs"]} == {sheet["id"]}
    for job in sheet["jobs"]:
        server.until(job["id"], "finished")
    before = len(server.client.get("/api/jobs").json()["jobs"])
    for field, wrong in (("steps", 0), ("width", 64), ("prompt", "<|im_end|>")):
        answer = server.client.post("/api/jobs", json=[good, {**good, field: wrong}])
        assert answer.status_code == 422, answer.text
        assert answer.json()["error"]["field"] == f"1.{field}"
    assert len(server.client.get("/api/jobs").json()["jobs"]) == before


def test_a_size_that_a_sheet_cannot_have_is_named_as_it_was_asked(server: StudioServer) -> None:
    for body, field in (
        ({"request": SMALL, "sizes": [[256, 256], [64, 64]]}, "sizes"),
        ({"request": {**SMALL, "width": 64}}, "width"),
    ):
        answer = server.client.post("/api/sheets", json=body)
        assert answer.status_code == 422
        assert answer.json()["error"]["field"] == field


def test_ten_thousand_jobs_in_one_call_are_refused_with_the_limit(server: StudioServer) -> None:
    answer = server.client.post("/api/jobs", json=[{"prompt": "x"}] * 10_000)
    assert answer.status_code == 422
    assert answer.json()["error"]["limit"] == 1000
    crossed = {"request": SMALL, "seeds": list(range(1000)), "steps": list(range(1, 11))}
    answer = server.client.post("/api/sheets", json=crossed)
    assert answer.status_code == 422
    assert answer.json()["error"]["limit"] == 200  # of this server's queue, which is less than one call may ask for


def test_lanes_pause_resume_and_clear(server: StudioServer) -> None:
    assert server.client.post("/api/queue/pause").json()["paused"] == ["draft", "final"]
    jobs = [server.queue(seed=seed, lane=lane) for seed, lane in ((1, "draft"), (2, "final"), (3, "draft"))]
    assert server.client.get("/api/queue").json()["waiting"] == 3
    assert server.client.get(f"/api/jobs/{jobs[0]['id']}").json()["position"] == 1
    assert server.client.post(f"/api/jobs/{jobs[2]['id']}/front").json()["position"] == 1
    cleared = server.client.post("/api/queue/clear", params={"lane": "draft"}).json()
    assert cleared["cancelled"] == 2
    assert server.until(jobs[0]["id"], "cancelled")["state"] == "cancelled"
    assert server.client.get(f"/api/jobs/{jobs[1]['id']}").json()["state"] == "queued"
    assert server.client.post("/api/queue/resume").json()["paused"] == []
    server.until(jobs[1]["id"], "finished")
    assert server.client.post("/api/queue/pause", params={"lane": "middle"}).status_code == 422


def test_jobs_are_listed_newest_first_page_by_page(server: StudioServer) -> None:
    for seed in range(3):
        server.until(server.queue(seed=seed, steps=1)["id"], "finished")
    page = server.client.get("/api/jobs", params={"limit": 2, "state": "finished"}).json()
    rest = server.client.get("/api/jobs", params={"before": page["next"], "state": ["finished", "failed"]}).json()
    ids = [job["id"] for job in page["jobs"] + rest["jobs"]]
    assert ids == sorted(set(ids), reverse=True)
    assert len(ids) >= 3


def test_a_running_job_shows_a_preview(server: StudioServer) -> None:
    job = server.queue(steps=100)
    server.until(job["id"], "running")
    while (preview := server.client.get(f"/api/jobs/{job['id']}/preview?step=1")).status_code == 404:
        assert server.client.get(f"/api/jobs/{job['id']}").json()["state"] in ("queued", "running")
    assert preview.headers["content-type"] == "image/webp"
    assert int(preview.headers["x-step"]) >= 1
    server.client.delete(f"/api/jobs/{job['id']}")
    server.until(job["id"], "cancelled")


def test_a_full_queue_says_when_to_ask_again(golden_checkpoint: Path, tmp_path: Path) -> None:
    with studio_server(golden_checkpoint, tmp_path, queue_limit=2) as server:
        server.client.post("/api/queue/pause")
        for seed in range(2):
            server.queue(seed=seed)
        for path, body in (("/api/jobs", SMALL), ("/generate/t2i", SMALL), ("/api/jobs", [SMALL, SMALL])):
            answer = server.client.post(path, json=body)
            assert answer.status_code == 429
            assert answer.json()["error"]["code"] == "queue_full"
            assert answer.json()["error"]["limit"] == 2
            assert int(answer.headers["retry-after"]) >= 1
        assert server.client.get("/api/queue").json()["waiting"] == 2


def test_more_than_an_empty_queue_holds_is_refused_for_good_and_not_until_later(
    golden_checkpoint: Path, tmp_path: Path
) -> None:
    with studio_server(golden_checkpoint, tmp_path, queue_limit=2) as server:
        for path, body, field in (
            ("/api/jobs", [SMALL] * 3, "body"),
            ("/api/sheets", {"request": SMALL, "n": 3}, "n"),
            ("/api/sheets", {"request": SMALL, "n": 1, "steps": [1, 2, 3]}, "steps"),
            ("/v1/images/generations", {"prompt": "a cat", "n": 3}, "n"),
        ):
            answer = server.client.post(path, json=body)
            assert answer.status_code == 422, (path, answer.text)
            error = answer.json()["error"]
            assert (error["code"], error["field"], error["limit"]) == ("invalid_request", field, 2)
            assert "3 jobs" in error["message"]
        assert server.client.get("/api/queue").json()["waiting"] == 0
