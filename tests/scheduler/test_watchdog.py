"""The watchdog: it ends what hangs, and leaves alone what merely takes long."""

from __future__ import annotations

from hidream_studio.engine.messages import Cancelled, Drawn, Finished, StepBegins, StepDone
from hidream_studio.job.record import Timings
from hidream_studio.scheduler.watchdog import Patience, Watchdog

PATIENCE = Patience(step_s=10.0, load_s=50.0, file_s=20.0)


def ready() -> Watchdog:
    watchdog = Watchdog(PATIENCE, 0.0)
    watchdog.ready(0.0)
    return watchdog


def drawing(*, expected_step_s: float = 0.0) -> Watchdog:
    """The worker is in the first step of job `a`, since 0 s."""
    watchdog = ready()
    watchdog.sent("a", expected_step_s, 0.0)
    watchdog.heard(StepBegins("a", 0, first=True), 0.0)
    return watchdog


def test_loading_may_take_any_time_as_long_as_it_says_so():
    watchdog = Watchdog(PATIENCE, 0.0)
    for second in range(0, 1000, 40):
        assert watchdog.overdue(second) is None
        watchdog.loading_goes_on(second)
    assert "while loading for more than 50 s" in (watchdog.overdue(1050) or "")


def test_an_idle_worker_is_never_overdue():
    assert ready().overdue(1e9) is None


def test_a_worker_that_does_not_take_up_its_job_is_overdue():
    watchdog = ready()
    watchdog.sent("a", 0.0, 0.0)
    assert watchdog.overdue(9.0) is None
    assert "hung in a step for more than 10 s" in (watchdog.overdue(11.0) or "")


def test_a_step_has_its_time_and_the_first_one_twice():
    watchdog = drawing()
    assert watchdog.overdue(19.0) is None
    assert watchdog.overdue(21.0)
    watchdog.heard(StepDone("a", 1, 5), 15.0)
    watchdog.heard(StepBegins("a", 1, first=False), 15.0)
    assert watchdog.overdue(24.0) is None
    assert watchdog.overdue(26.0)


def test_a_step_that_was_expected_to_take_long_may():
    watchdog = drawing(expected_step_s=60.0)
    assert watchdog.overdue(300.0) is None


def test_decoding_after_the_last_step_is_still_that_jobs_work():
    watchdog = drawing()
    watchdog.heard(StepDone("a", 5, 5), 5.0)
    assert watchdog.guilty == {"a"}


def test_a_death_in_a_step_is_put_down_to_its_job_alone():
    watchdog = drawing()
    watchdog.sent("b", 0.0, 1.0)
    watchdog.heard(StepDone("a", 1, 5), 2.0)
    watchdog.heard(StepBegins("b", 0, first=True), 2.0)
    assert watchdog.guilty == {"b"}


def test_a_death_between_steps_is_put_down_to_the_jobs_that_are_being_written():
    watchdog = drawing()
    watchdog.heard(Drawn("a", None), 2.0)
    assert watchdog.guilty == {"a"}
    watchdog.heard(Finished("a", b"", Timings(), ""), 3.0)
    assert watchdog.guilty == frozenset()
    assert watchdog.overdue(1e9) is None


def test_a_file_that_is_never_written_is_noticed():
    watchdog = drawing()
    watchdog.heard(Drawn("a", None), 2.0)
    assert "writing a picture" in (watchdog.overdue(23.0) or "")


def test_cancelling_another_job_does_not_end_the_watch_over_this_step():
    watchdog = drawing()
    watchdog.sent("b", 0.0, 1.0)
    watchdog.heard(Cancelled("b"), 2.0)
    assert watchdog.overdue(21.0)


def test_time_in_which_nobody_listened_does_not_count():
    watchdog = drawing()
    watchdog.postpone(1000.0)
    assert watchdog.overdue(1019.0) is None
