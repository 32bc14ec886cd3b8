"""What a worker works on, and until when it must have said so. Pure: time is passed in, nothing is ended here."""

from __future__ import annotations

from dataclasses import dataclass

from hidream_studio.engine.messages import (
    Cancelled,
    Drawn,
    Failed,
    Finished,
    FromWorker,
    Returned,
    StepBegins,
    StepDone,
)

EXPECTED_TIMES = 5.0  # a step may take so many times what was expected of it, beside `Patience.step_s`


@dataclass(frozen=True)
class Patience:
    """How long the worker may be silent, in s, and how often it is started again."""

    step_s: float = 120.0  # for a step; twice that for a job's first, which also reads the prompt
    load_s: float = 900.0  # between two signs of life while loading
    file_s: float = 120.0  # from the last step to the file
    backoff_s: tuple[float, ...] = (0.5, 2.0, 8.0)  # before each restart in a row; then it stays down


class Watchdog:
    """Follows one worker process from its start. All times are on the caller's monotonic clock."""

    def __init__(self, patience: Patience, now_s: float) -> None:
        self._patience = patience
        self._loading = True
        self._expected_step_s: dict[str, float] = {}  # of the jobs that it holds
        self._stepping: str | None = None
        self._stepped_last: str | None = None
        self._writing_since_s: dict[str, float] = {}
        self._deadline_s: float | None = None  # of the next sign of life
        self._allowed_s = 0.0
        self._expect(now_s, patience.load_s)

    @property
    def loading(self) -> bool:
        return self._loading

    @property
    def guilty(self) -> frozenset[str]:
        """The jobs that a death now must be put down to: whose step it is, else those being written, else the last."""
        if self._stepping is not None:
            return frozenset({self._stepping})
        if self._writing_since_s:
            return frozenset(self._writing_since_s)
        # between two steps: the last one's job, if the worker still holds it
        return frozenset(job_id for job_id in self._expected_step_s if job_id == self._stepped_last)

    def loading_goes_on(self, now_s: float) -> None:
        self._expect(now_s, self._patience.load_s)

    def ready(self, now_s: float) -> None:
        self._loading = False
        self._expect_next_step(now_s)

    def sent(self, job_id: str, expected_step_s: float, now_s: float) -> None:
        """The worker was given a job."""
        self._expected_step_s[job_id] = expected_step_s
        if not self._loading and self._stepping is None:
            self._expect_next_step(now_s)

    def heard(self, message: FromWorker, now_s: float) -> None:
        """The worker said something about a job."""
        if isinstance(message, StepBegins):
            self._stepping = self._stepped_last = message.job_id
            patience = self._patience
            allowed_s = patience.step_s + EXPECTED_TIMES * self._expected_step_s.get(message.job_id, 0.0)
            if message.first:
                allowed_s += patience.step_s
            self._expect(now_s, allowed_s)
        elif isinstance(message, StepDone) and message.done < message.total:  # after the last one it decodes
            self._stepping = None
            self._expect_next_step(now_s)
        elif isinstance(message, (Drawn, Finished, Failed, Cancelled, Returned)):
            self._expected_step_s.pop(message.job_id, None)
            self._writing_since_s.pop(message.job_id, None)
            if isinstance(message, Drawn):
                self._writing_since_s[message.job_id] = now_s
            if self._stepping in (None, message.job_id):
                self._stepping = None
                self._expect_next_step(now_s)

    def overdue(self, now_s: float) -> str | None:
        """Why the worker must be ended, if it must."""
        if self._deadline_s is not None and now_s > self._deadline_s:
            doing = "while loading" if self._loading else "in a step"
            return f"it hung {doing} for more than {self._allowed_s:.0f} s and was ended"
        if any(now_s - since_s > self._patience.file_s for since_s in self._writing_since_s.values()):
            return f"it hung while writing a picture for more than {self._patience.file_s:.0f} s and was ended"
        return None

    def postpone(self, by_s: float) -> None:
        """Nobody could listen for so long."""
        if self._deadline_s is not None:
            self._deadline_s += by_s
        self._writing_since_s = {job_id: since_s + by_s for job_id, since_s in self._writing_since_s.items()}

    def _expect_next_step(self, now_s: float) -> None:
        if self._expected_step_s:  # it holds jobs: it should go on at once
            self._expect(now_s, self._patience.step_s)
        else:
            self._deadline_s = None

    def _expect(self, now_s: float, within_s: float) -> None:
        self._allowed_s = within_s
        self._deadline_s = now_s + within_s
