"""Events: numbered, replayed after a reconnect, and never more than a reader can take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from hidream_studio.service.event_log import Event, EventLog


async def read(events: AsyncIterator[Event], count: int) -> list[Event]:
    return [await asyncio.wait_for(anext(events), 5.0) for _ in range(count)]


def snapshot() -> dict[str, Any]:
    return {"jobs": ["all"]}


def test_a_reader_hears_what_comes_after_it_subscribed_even_before_it_reads():
    async def main() -> None:
        log = EventLog(100)
        log.publish("queued", {"id": "before"})
        events = log.follow(None, snapshot)
        log.publish("queued", {"id": "after"})
        assert [event.data["id"] for event in await read(events, 1)] == ["after"]

    asyncio.run(main())


def test_a_reconnecting_reader_misses_nothing():
    async def main() -> None:
        log = EventLog(100)
        first = log.publish("queued", {"id": "a"})
        for name in "bcd":
            log.publish("queued", {"id": name})
        events = log.follow(first.seq, snapshot)
        assert [event.seq for event in await read(events, 3)] == [101, 102, 103]

    asyncio.run(main())


def test_a_reader_of_an_earlier_server_begins_with_a_snapshot_and_hears_what_follows():
    async def main() -> None:
        log = EventLog(1000)
        log.publish("queued", {"id": "a"})
        for after in (17, 10**12):  # of an earlier server; of one whose clock was ahead
            events = log.follow(after, snapshot)
            (event,) = await read(events, 1)
            assert (event.type, event.seq) == ("queue", log.last)
            assert event.data == {"reset": True, "jobs": ["all"]}
            log.publish("queued", {"id": "b"})
            assert (await read(events, 1))[0].data["id"] == "b"

    asyncio.run(main())


def test_a_reader_that_was_away_for_longer_than_the_log_remembers_begins_with_a_snapshot():
    async def main() -> None:
        log = EventLog(1, capacity=10)
        for number in range(50):
            log.publish("queued", {"id": number})
        (event,) = await read(log.follow(20, snapshot), 1)
        assert event.data["reset"] is True
        kept = await read(log.follow(40, snapshot), 10)
        assert [event.data["id"] for event in kept] == list(range(40, 50))

    asyncio.run(main())


def test_of_a_jobs_previews_a_slow_reader_gets_the_newest_alone():
    async def main() -> None:
        log = EventLog(1)
        events = log.follow(None, snapshot)
        for step in range(100):
            log.publish("preview", {"id": "a", "step": step}, key="preview a")
        log.publish("finished", {"id": "a"})
        assert [event.data.get("step") for event in await read(events, 2)] == [99, None]

    asyncio.run(main())


def test_progress_of_a_job_that_ended_is_not_told_any_more():
    async def main() -> None:
        log = EventLog(1)
        events = log.follow(None, snapshot)
        log.publish("running", {"id": "a"}, key="running a")
        log.forget("running a")
        log.publish("finished", {"id": "a"})
        assert (await read(events, 1))[0].type == "finished"

    asyncio.run(main())


def test_coalesced_events_cost_no_place_in_the_log():
    async def main() -> None:
        log = EventLog(1, capacity=10)
        first = log.publish("queued", {"id": "a"})
        for step in range(1000):
            log.publish("preview", {"step": step}, key="preview a")
        kept = await read(log.follow(first.seq - 1, snapshot), 2)
        assert [event.type for event in kept] == ["queued", "preview"]

    asyncio.run(main())


def test_closing_ends_readers_after_what_they_have_not_read():
    async def main() -> None:
        log = EventLog(1)
        events = log.follow(None, snapshot)
        log.publish("queued", {"id": "a"})
        log.close()
        assert [event.data["id"] async for event in events] == ["a"]

    asyncio.run(main())


def test_each_of_many_readers_hears_everything():
    async def main() -> None:
        log = EventLog(1)
        readers = [log.follow(None, snapshot) for _ in range(20)]
        tasks = [asyncio.create_task(read(events, 3)) for events in readers]
        for name in "abc":
            await asyncio.sleep(0)
            log.publish("queued", {"id": name})
        for heard in await asyncio.gather(*tasks):
            assert [event.data["id"] for event in heard] == ["a", "b", "c"]

    asyncio.run(main())
