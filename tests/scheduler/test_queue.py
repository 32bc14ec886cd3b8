"""The queue: what the worker is given, and in which order."""

from __future__ import annotations

import pytest

from hidream_studio.errors import QueueFullError
from hidream_studio.scheduler.queue import JobQueue, Ticket


def filled(*lanes: str, limit: int = 100) -> JobQueue:
    """Jobs `0`, `1`, … of these lanes."""
    queue = JobQueue(limit)
    for index, lane in enumerate(lanes):
        queue.add(Ticket(str(index), lane, queue.next_order()))  # type: ignore[arg-type]
    return queue


def send_all(queue: JobQueue) -> list[str]:
    """What the worker would be given at once."""
    sent = []
    while (ticket := queue.next_to_send()) is not None:
        queue.hold(ticket.job_id)
        sent.append(ticket.job_id)
    return sent


def test_the_worker_holds_two_of_each_lane_so_that_a_draft_passes_and_none_waits_for_the_pipe():
    queue = filled("final", "final", "final", "draft", "draft", "draft")
    assert send_all(queue) == ["3", "4", "0", "1"]


def test_when_one_is_drawn_the_next_of_its_lane_is_sent():
    queue = filled("draft", "draft", "draft")
    send_all(queue)
    queue.remove("0")
    assert send_all(queue) == ["2"]


def test_a_job_moved_to_the_front_is_sent_although_its_lane_is_full():
    queue = filled("final", "final", "final", "final")
    send_all(queue)
    queue.move_to_front("3")
    assert send_all(queue) == ["3"]
    assert queue.in_turn()[0].job_id == "3"


def test_the_last_moved_to_the_front_goes_first():
    queue = filled("draft", "draft", "draft")
    queue.move_to_front("1")
    queue.move_to_front("2")
    assert [ticket.job_id for ticket in queue.in_turn()] == ["2", "1", "0"]


def test_a_paused_lane_sends_nothing_and_says_what_to_recall():
    queue = filled("final", "final", "final", "draft")
    send_all(queue)
    queue.begin("0")
    assert queue.pause(["final"]) == ["1"]
    queue.put_back("1")
    queue.remove("0")
    assert send_all(queue) == []
    queue.resume(["final"])
    assert send_all(queue) == ["1", "2"]


def test_a_job_put_back_is_sent_again_at_its_old_place():
    queue = filled("draft", "draft", "draft")
    send_all(queue)
    queue.begin("0")
    queue.put_back("0")
    assert send_all(queue) == ["0"]
    assert not queue.has_begun("0")


def test_only_what_has_not_begun_counts_against_the_limit():
    queue = filled("draft", "draft", limit=2)
    with pytest.raises(QueueFullError) as refusal:
        queue.check_room(1, retry_after_s=7.0)
    assert (refusal.value.limit, refusal.value.retry_after_s) == (2, 7.0)
    queue.hold("0")
    queue.begin("0")
    queue.check_room(1, retry_after_s=7.0)


def test_orders_after_a_restart_come_after_all_that_were_kept():
    queue = JobQueue(10)
    queue.add(Ticket("kept", "draft", 41.0))
    queue.add(Ticket("front", "draft", -50.0))
    assert queue.next_order() == 51.0
