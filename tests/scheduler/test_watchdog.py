"""The watchdog: it ends what hangs, and leaves alone what merely takes long."""

from __future__ import annotations

from hidream_studio.engine.messages import Cancelled, Drawn, Finished, JobMessage, StepBegins, StepDone, leaves_worker
from hidream_studio.job.record import Timings
from hidream_studio.scheduler.ticket import Ticket
from hidream_studio.scheduler.watchdog import Patience, Watchdog

PATIENCE = Patience(step_s=10.0, load_s=50.0, file_s=20.0)


class Watched:
    """A watchdog and the jobs that its worker has."""

    def __init__(self) -> None:
        self.jobs: dict[str, Ticket] = {}
        self.dog = Watchdog(PATIENCE, self.jobs, 0.0)

    def ready(self) -> Watched:
        self.dog.ready(0.0)
        return self

    def drawing(self, *, expected_step_s: float = 0.0) -> Watched:
        """The worker is in the first step of job `a`, since 0 s."""
        self.ready().sent("a", 0.0, expected_step_s)
        self.heard(StepBegins("a", 0, first=True), 0.0)
        return self

    def sent(self, job_id: str, now_s: float, expected_step_s: float = 0.0) -> None:
        self.jobs[job_id] = Ticket(job_id, "draft", 1.0, expected_step_s)
        self.dog.sent(now_s)

    def heard(self, message: JobMessage, now_s: float) -> None:
        job = self.jobs[message.job_id]
        if leaves_worker(message):
            del self.jobs[message.job_id]
        self.dog.heard(message, job, now_s)


def test_loading_may_take_any_time_as_long_as_it_says_so():
    watchdog = Watched().dog
    for second in range(0, 1000, 40):
        assert watchdog.overdue(second) is None
        watchdog.loading_goes_on(second)
    assert "while loading for more than 50 s" in (watchdog.overdue(1050) or "")


def test_an_idle_worker_is_never_overdue():
    assert Watched().ready().dog.overdue(1e9) is None


def test_a_worker_that_does_not_take_up_its_job_is_overdue():
    watched = Watched().ready()
    watched.sent("a", 0.0)
    assert watched.dog.overdue(9.0) is None
    assert "hung in a step for more than 10 s" in (watched.dog.overdue(11.0) or "")


def test_a_step_has_its_time_and_the_first_one_twice():
    watched = Watched().drawing()
    assert watched.dog.overdue(19.0) is None
    assert watched.dog.overdue(21.0)
    watched.heard(StepDone("a", 1, 5), 15.0)
    watched.heard(StepBegins("a", 1, first=False), 15.0)
    assert watched.dog.overdue(24.0) is None
    assert watched.dog.overdue(26.0)


def test_a_step_that_was_expected_to_take_long_may():
    watched = Watched().drawing(expected_step_s=60.0)
    assert watched.dog.overdue(300.0) is None


def test_decoding_after_the_last_step_is_still_that_jobs_work():
    watched = Watched().drawing()
    watched.heard(StepDone("a", 5, 5), 5.0)
    assert watched.dog.guilty == {"a"}


def test_a_death_in_a_step_is_put_down_to_its_job_alone():
    watched = Watched().drawing()
    watched.sent("b", 1.0)
    watched.heard(StepDone("a", 1, 5), 2.0)
    watched.heard(StepBegins("b", 0, first=True), 2.0)
    assert watched.dog.guilty == {"b"}


def test_a_death_between_steps_is_put_down_to_the_jobs_that_are_being_written():
    watched = Watched().drawing()
    watched.heard(Drawn("a", None), 2.0)
    assert watched.dog.guilty == {"a"}
    watched.heard(Finished("a", b"", Timings(), ""), 3.0)
    assert watched.dog.guilty == frozenset()
    assert watched.dog.overdue(1e9) is None


def test_a_file_that_is_never_written_is_noticed():
    watched = Watched().drawing()
    watched.heard(Drawn("a", None), 2.0)
    assert "writing a picture" in (watched.dog.overdue(23.0) or "")


def test_cancelling_another_job_does_not_end_the_watch_over_this_step():
    watched = Watched().drawing()
    watched.sent("b", 1.0)
    watched.heard(Cancelled("b"), 2.0)
    assert watched.dog.overdue(21.0)


def test_time_in_which_nobody_listened_does_not_count():
    watched = Watched().drawing()
    watched.dog.postpone(1000.0)
    assert watched.dog.overdue(1019.0) is None
