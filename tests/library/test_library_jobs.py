"""Jobs on disk: added whole, kept in order, counted before a worker can die of them."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from library_making import draft, job, job_record, png

from hidream_studio.errors import LibraryError, NotFoundError
from hidream_studio.job.adjustment import Adjustment
from hidream_studio.job.clock import utc_now
from hidream_studio.job.ids import new_id, new_ids
from hidream_studio.job.record import JobError, Timings
from hidream_studio.library.library import Library


def test_a_job_comes_back_as_it_was_given(library: Library) -> None:
    full = job_record(
        job("two\nlines 漢字", noise="linked", preset="quick"),
        state="failed", lane="final", request={"prompt": "two\nlines 漢字", "seed": None}, attempts=1, estimate_s=2.5,
        adjustments=(Adjustment(field="width", asked=250, used=256, why="rounded"),), started_at="a", finished_at="b",
        elapsed_s=1.25, queued_s=0.5, timings=Timings(0.1, 1.0, 0.1, 0.05), error=JobError("out_of_memory", "large"),
        sheet_id=new_id(),
    )  # fmt: skip
    library.add_jobs([full, job_record()])

    assert library.job(full.id) == full


def test_a_list_of_jobs_is_added_whole_or_not_at_all(library: Library) -> None:
    first = job_record()
    library.add_jobs([first])
    others = [job_record(), job_record(), first]

    with pytest.raises(Exception, match="UNIQUE"):
        library.add_jobs(others)

    assert [record.id for record in library.jobs()] == [first.id]


def test_what_waited_or_ran_comes_back_in_the_order_of_the_queue(library: Library, data: Path) -> None:
    states = ("queued", "finished", "running", "cancelled", "failed", "queued")
    records = [job_record(state=state, queue_order=float(-order)) for order, state in enumerate(states)]
    library.add_jobs(records)
    library.close()

    again = Library.open(data)

    assert [record.id for record in again.pending_jobs()] == [records[5].id, records[2].id, records[0].id]
    again.close()


def test_an_attempt_is_counted_on_disk(library: Library, data: Path) -> None:
    record = job_record()
    library.add_jobs([record])

    begun = library.update_job(record.id, state="running", attempts=2, started_at=utc_now())

    library.close()
    again = Library.open(data)
    assert (begun.state, begun.attempts) == ("running", 2) and begun.started_at is not None
    assert again.job(record.id) == begun
    again.close()


def test_a_change_is_seen_and_others_stay(library: Library) -> None:
    record = job_record(estimate_s=3.0)
    library.add_jobs([record])

    changed = library.update_job(record.id, state="failed", error=JobError("worker_failed", "it died"), elapsed_s=2.0)

    assert changed == library.job(record.id)
    assert changed == replace(record, state="failed", error=JobError("worker_failed", "it died"), elapsed_s=2.0)


def test_a_field_that_no_job_has_is_a_mistake_of_the_caller(library: Library) -> None:
    record = job_record()
    library.add_jobs([record])

    with pytest.raises(TypeError, match="colour"):
        library.update_job(record.id, colour="red")


def test_jobs_are_listed_newest_first_by_page_state_and_sheet(library: Library) -> None:
    ids, sheet = new_ids(7), new_id()
    library.add_jobs(
        [
            job_record(id=one, state="finished" if n % 2 else "queued", sheet_id=sheet if n < 3 else None)
            for n, one in enumerate(ids)
        ]
    )

    assert [record.id for record in library.jobs(limit=3)] == ids[:3:-1]
    assert [record.id for record in library.jobs(limit=3, before=ids[4])] == ids[3:0:-1]
    assert [record.id for record in library.jobs(states=["finished"])] == [ids[5], ids[3], ids[1]]
    assert [record.id for record in library.jobs(sheet_id=sheet)] == ids[2::-1]


@pytest.mark.parametrize(
    "unknown", ["06h0l7mg06j5n2mjfbkv286me4", "", "../../etc/passwd", "\ud800", "a\x00b", "x" * 10_000]
)
def test_an_unknown_job_is_not_found_whatever_it_is_called(library: Library, unknown: str) -> None:
    for call in (library.job, library.update_job):
        with pytest.raises(NotFoundError) as refusal:
            call(unknown)
        assert len(refusal.value.message) < 100


def test_many_threads_write_and_read_at_once_and_nothing_is_lost(library: Library) -> None:
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(10):
                record = job_record()
                library.add_jobs([record])
                library.update_job(record.id, state="running", attempts=1)
                library.store_image(draft(record), png())
                library.jobs(limit=50)
                library.images(q="cat")
        except BaseException as error:  # noqa: BLE001  told by the test
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert len(library.images()) == 80 and len(library.jobs(states=["finished"])) == 80


def test_a_closed_library_says_so(library: Library) -> None:
    library.close()
    library.close()

    for call in (library.jobs, library.pending_jobs, lambda: library.add_jobs([job_record()])):
        with pytest.raises(LibraryError, match="closed"):
            call()
