"""Whose step is next, among the jobs that a worker holds. Pure: time is passed in, nothing is drawn here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hidream_studio.job.job import Job
from hidream_studio.job.request import Lane

FINAL_WAITS_AT_MOST_S = 30.0  # of uninterrupted drafts; then one step of a final goes before the next draft's
STATE_VALUES_PER_PIXEL = 3 * 5  # three channels; z, its solver's history and the step's own tensors
BYTES_PER_VALUE = 4  # float32


def state_bytes(job: Job) -> int:
    """About what a begun job keeps in memory between its steps."""
    return job.width * job.height * STATE_VALUES_PER_PIXEL * BYTES_PER_VALUE


@dataclass(frozen=True)
class Contender:
    """A held job, as far as its turn is concerned."""

    job_id: str
    lane: Lane
    order: float  # smaller goes first in its lane; below 0 it goes before all
    begun: bool
    state_bytes: int

    @property
    def key(self) -> tuple[bool, bool, float]:
        return self.order >= 0, self.lane != "draft", self.order


class Turns:
    """Drafts before finals, in the order of their coming; a job moved to the front before all.

    A final moves again after at most `final_waits_s` of steps that were not its lane's. Begun jobs together keep at
    most `max_state_bytes`: beyond that a new one does not begin, unless nothing else was begun.
    """

    def __init__(self, *, max_state_bytes: int, final_waits_s: float = FINAL_WAITS_AT_MOST_S) -> None:
        self._max_state_bytes = max_state_bytes
        self._final_waits_s = final_waits_s
        self._final_waits_since: float | None = None  # s, on the caller's clock; None: no final waits

    def choose(self, held: Iterable[Contender], now_s: float) -> str | None:
        """The id of the job whose step is next; None when nothing is held."""
        contenders = sorted(held, key=lambda contender: contender.key)
        able = self._able(contenders)
        if not able:
            return None
        finals = [contender for contender in able if contender.lane == "final"]
        if not finals:
            self._final_waits_since = None
            return able[0].job_id
        if self._final_waits_since is None:
            self._final_waits_since = now_s
        first = able[0]
        if first.lane == "draft" and now_s - self._final_waits_since >= self._final_waits_s:
            first = finals[0]
        if first.lane == "final":
            self._final_waits_since = now_s
        return first.job_id

    def _able(self, contenders: list[Contender]) -> list[Contender]:
        kept_bytes = sum(contender.state_bytes for contender in contenders if contender.begun)
        return [
            contender
            for contender in contenders
            if contender.begun or kept_bytes == 0 or kept_bytes + contender.state_bytes <= self._max_state_bytes
        ]
