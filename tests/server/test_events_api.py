"""GET /api/events: what happens to a job is told in order, and a reconnect misses nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
from studio_serving import StudioServer

Event = dict[str, Any]


def events(server: StudioServer, *, ready: threading.Event | None = None, **headers: str) -> Iterator[Event]:
    """Events as a browser's EventSource reads them."""
    with httpx.stream("GET", f"{server.url}/api/events", headers=headers, timeout=30) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        event: Event = {}
        for line in answer.iter_lines():
            if ready is not None:
                ready.set()
            if not line and "data" in event:
                yield {**event, "data": json.loads(event["data"])}
                event = {}
            elif ": " in line and not line.startswith(":"):
                field, value = line.split(": ", 1)
                event[field] = value


def until_finished(server: StudioServer, job_id: str, **headers: str) -> list[Event]:
    told = []
    for event in events(server, **headers):
        if event["data"].get("id") == job_id:
            told.append(event)
            if event["event"] == "finished":
                return told
    raise AssertionError("the stream ended")


def test_a_job_is_told_from_queued_to_finished_in_order(server: StudioServer) -> None:
    ready, told = threading.Event(), []

    def read() -> None:
        for event in events(server, ready=ready):
            told.append(event)
            if event["event"] == "finished":
                return

    reader = threading.Thread(target=read)
    reader.start()
    assert ready.wait(10)
    job = server.queue(steps=60)
    reader.join(30)
    mine = [event for event in told if event["data"].get("id") == job["id"]]
    kinds = list(dict.fromkeys(event["event"] for event in mine))
    assert kinds[0] == "queued"
    assert kinds[-1] == "finished"
    assert {"running", "preview"} <= set(kinds)
    numbers = [int(event["id"]) for event in told]
    assert numbers == sorted(set(numbers))
    assert mine[0]["data"]["estimate_s"] > 0
    assert mine[-1]["data"]["image_id"]
    assert server.client.get(f"/api/images/{mine[-1]['data']['image_id']}/file").status_code == 200


def test_a_reconnect_goes_on_where_it_left_off(server: StudioServer) -> None:
    start = next(events(server, **{"Last-Event-ID": "1"}))["id"]
    job = server.queue(steps=3)
    server.until(job["id"], "finished")
    whole = until_finished(server, job["id"], **{"Last-Event-ID": start})
    assert whole[0]["event"] == "queued"
    middle = whole[0]["id"]
    rest = until_finished(server, job["id"], **{"Last-Event-ID": middle})
    assert [event["id"] for event in rest] == [event["id"] for event in whole[1:]]


def test_an_event_id_that_is_too_old_or_not_ours_brings_the_whole_state(server: StudioServer) -> None:
    for last in ("1", "not-a-number", "9" * 30):
        first = next(events(server, **{"Last-Event-ID": last}))
        assert first["event"] == "queue"
        assert first["data"]["reset"] is True
        assert first["data"]["jobs"] == []
    assert server.client.get("/api/events", params={"after": "x"}).status_code == 422


def test_a_changed_picture_is_told_to_other_pages(server: StudioServer) -> None:
    image_id = server.draw()["id"]
    ready, told = threading.Event(), []

    def read() -> None:
        for event in events(server, ready=ready):
            told.append(event)
            if event["data"].get("deleted"):
                return

    reader = threading.Thread(target=read)
    reader.start()
    assert ready.wait(10)
    server.client.patch(f"/api/images/{image_id}", json={"favourite": True})
    server.client.delete(f"/api/images/{image_id}")
    reader.join(10)
    mine = [event["data"] for event in told if event["event"] == "image"]
    assert [data["id"] for data in mine] == [image_id, image_id]
    assert mine[0]["favourite"] is True
