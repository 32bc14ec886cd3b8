"""The queue: what the worker is given, and in which order."""

from __future__ import annotations

import pytest

from hidream_studio.engine.turns import Contender, Turns
from hidream_studio.errors import QueueFullError
from hidream_studio.scheduler.queue import JobQueue
from hidream_studio.scheduler.ticket import NEXT, Stage, Ticket

Queue = JobQueue[Ticket]


def filled(*lanes: str, limit: int = 100) -> Queue:
    """Jobs `0`, `1`, … of these lanes."""
    queue = Queue(limit)
    for index, lane in enumerate(lanes):
        queue.add(Ticket(str(index), lane, queue.next_order()))  # type: ignore[arg-type]
    return queue


def send_all(queue: Queue) -> list[str]:
    """What the worker would be given at once."""
    sent = []
    while (job := queue.next_to_send()) is not None:
        job.enter("held")
        sent.append(job.id)
    return sent


def ids(jobs: list[Ticket]) -> list[str]:
    return [job.id for job in jobs]


def test_the_worker_holds_two_of_each_lane_so_that_a_draft_passes_and_none_waits_for_the_pipe():
    queue = filled("final", "final", "final", "draft", "draft", "draft")
    assert send_all(queue) == ["3", "4", "0", "1"]


def test_when_one_is_drawn_the_next_of_its_lane_is_sent():
    queue = filled("draft", "draft", "draft")
    send_all(queue)
    queue.jobs["0"].enter("begun")
    assert send_all(queue) == []
    queue.jobs["0"].enter("drawn")
    assert send_all(queue) == ["2"]
    assert ids(queue.in_turn()) == ["1", "2"]


def test_a_job_moved_to_the_front_is_sent_although_its_lane_is_full():
    queue = filled("final", "final", "final", "final")
    send_all(queue)
    queue.move_to_front(queue.jobs["3"])
    assert send_all(queue) == ["3"]
    assert queue.in_turn()[0].id == "3"


def test_the_last_moved_to_the_front_goes_first():
    queue = filled("draft", "draft", "draft")
    queue.move_to_front(queue.jobs["1"])
    queue.move_to_front(queue.jobs["2"])
    assert ids(queue.in_turn()) == ["2", "1", "0"]


def test_a_paused_lane_sends_nothing_and_says_what_to_recall():
    queue = filled("final", "final", "final", "draft")
    send_all(queue)
    queue.jobs["0"].enter("begun")
    assert ids(queue.pause(["final"])) == ["1"]
    queue.jobs["1"].enter("waiting")
    queue.remove("0")
    assert send_all(queue) == []
    queue.resume(["final"])
    assert send_all(queue) == ["1", "2"]


def test_a_job_put_back_is_sent_again_at_its_old_place():
    queue = filled("draft", "draft", "draft")
    send_all(queue)
    queue.jobs["0"].enter("begun")
    queue.jobs["0"].enter("waiting")
    assert send_all(queue) == ["0"]
    assert queue.waiting == 3


def test_only_what_has_not_begun_counts_against_the_limit():
    queue = filled("draft", "draft", limit=2)
    with pytest.raises(QueueFullError) as refusal:
        queue.check_room(1, retry_after_s=7.0)
    assert (refusal.value.limit, refusal.value.retry_after_s) == (2, 7.0)
    queue.jobs["0"].enter("held")
    queue.jobs["0"].enter("begun")
    queue.check_room(1, retry_after_s=7.0)


def test_orders_after_a_restart_come_after_all_that_were_kept():
    queue = Queue(10)
    queue.add(Ticket("kept", "draft", 41.0))
    queue.add(Ticket("front", "draft", -50.0))
    assert queue.next_order() == 51.0


@pytest.mark.parametrize("stage", list(NEXT))
def test_a_stage_is_only_entered_from_those_that_it_follows(stage: Stage):
    for other in NEXT:
        job = Ticket("a", "draft", 1.0, stage=stage)
        if other in NEXT[stage]:
            job.enter(other)
            assert job.stage == other
        else:
            with pytest.raises(ValueError, match=f"cannot be {other} after it was {stage}"):
                job.enter(other)


def test_the_order_of_waiting_jobs_is_that_of_the_worker_s_turns():
    """One rule: were all of them held, the worker would take them in the order that the queue tells."""
    queue = filled("final", "draft", "final", "draft", "draft")
    queue.move_to_front(queue.jobs["2"])
    told = ids(queue.in_turn())
    held = {job.id: Contender(job.id, job.lane, job.order, begun=True, state_bytes=1) for job in queue.jobs.values()}
    taken = []
    while held:
        job_id = Turns(max_state_bytes=100).choose(held.values(), 0.0)
        assert job_id is not None
        taken.append(held.pop(job_id).job_id)
    assert taken == told


def test_a_full_queue_says_what_is_paused():
    queue = filled("final", "final")
    queue.limit = 3
    queue.pause(["final"])
    with pytest.raises(QueueFullError, match=r"room for 1 more job, 2 were asked for; .* final jobs are paused"):
        queue.check_room(2, retry_after_s=1.0)
