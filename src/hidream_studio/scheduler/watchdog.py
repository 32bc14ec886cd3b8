"""What a worker works on, and until when it must have said so. Pure: time is passed in, nothing is ended here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hidream_studio.engine.messages import Drawn, JobMessage, StepBegins, StepDone, leaves_worker
from hidream_studio.scheduler.ticket import Ticket

EXPECTED_TIMES = 5.0  # a step may take so many times what was expected of it, beside `Patience.step_s`


@dataclass(frozen=True)
class Patience:
    """How long the worker may be silent, in s, and how often it is started again."""

    step_s: float = 120.0  # for a step; twice that for a job's first, which also reads the prompt
    load_s: float = 900.0  # between two signs of life while loading
    file_s: float = 120.0  # from the last step to the file
    backoff_s: tuple[float, ...] = (0.5, 2.0, 8.0)  # before each restart in a row; then it stays down


class Watchdog:
    """Follows one worker from its start. `jobs` are those that it has now. All times are on the caller's clock."""

    def __init__(self, patience: Patience, jobs: Mapping[str, Ticket], now_s: float) -> None:
        self._patience = patience
        self._jobs = jobs
        self._loading = True
        self._turn: Ticket | None = None  # whose step was begun last
        self._in_step = False
        self._deadline_s: float | None = None  # of the next sign of life
        self._allowed_s = 0.0
        self._expect(now_s, patience.load_s)

    @property
    def loading(self) -> bool:
        return self._loading

    @property
    def stepping(self) -> Ticket | None:
        """Whose step it is."""
        return self._turn if self._in_step else None

    @property
    def guilty(self) -> frozenset[str]:
        """The jobs that a death now must be put down to: whose step it is, else those being written, else the last."""
        if self._in_step and self._turn is not None:
            return frozenset({self._turn.id})
        if written := frozenset(job.id for job in self._jobs.values() if job.drawn_s is not None):
            return written
        # between two steps: the last one's job, if the worker still has it
        return frozenset(job_id for job_id, job in self._jobs.items() if job is self._turn)

    def loading_goes_on(self, now_s: float) -> None:
        self._expect(now_s, self._patience.load_s)

    def ready(self, now_s: float) -> None:
        self._loading = False
        self._expect_next_step(now_s)

    def sent(self, now_s: float) -> None:
        """The worker was given a job, which is among `jobs` already."""
        if not self._loading and not self._in_step:
            self._expect_next_step(now_s)

    def heard(self, message: JobMessage, job: Ticket, now_s: float) -> None:
        """The worker said something about a job; one that it has no more is not among `jobs` now."""
        if isinstance(message, StepBegins):
            self._turn, self._in_step = job, True
            allowed_s = self._patience.step_s + EXPECTED_TIMES * job.step_s
            if message.first:
                allowed_s += self._patience.step_s
            self._expect(now_s, allowed_s)
        elif isinstance(message, StepDone) and message.done < message.total:  # after the last one it decodes
            self._in_step = False
            self._expect_next_step(now_s)
        elif isinstance(message, Drawn) or leaves_worker(message):
            job.drawn_s = now_s if isinstance(message, Drawn) else None
            if not self._in_step or self._turn is job:
                self._in_step = False
                self._expect_next_step(now_s)

    def overdue(self, now_s: float) -> str | None:
        """Why the worker must be ended, if it must."""
        if self._deadline_s is not None and now_s > self._deadline_s:
            doing = "while loading" if self._loading else "in a step"
            return f"it hung {doing} for more than {self._allowed_s:.0f} s and was ended"
        written_s = (job.drawn_s for job in self._jobs.values() if job.drawn_s is not None)
        if any(now_s - since_s > self._patience.file_s for since_s in written_s):
            return f"it hung while writing a picture for more than {self._patience.file_s:.0f} s and was ended"
        return None

    def postpone(self, by_s: float) -> None:
        """Nobody could listen for so long."""
        if self._deadline_s is not None:
            self._deadline_s += by_s
        for job in self._jobs.values():
            if job.drawn_s is not None:
                job.drawn_s += by_s

    def _expect_next_step(self, now_s: float) -> None:
        if any(job.drawn_s is None for job in self._jobs.values()):  # it should go on with one at once
            self._expect(now_s, self._patience.step_s)
        else:
            self._deadline_s = None

    def _expect(self, now_s: float, within_s: float) -> None:
        self._allowed_s = within_s
        self._deadline_s = now_s + within_s
