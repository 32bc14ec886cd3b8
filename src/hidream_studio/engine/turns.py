"""Whose turn it is: the one rule of order, for jobs that wait and for the steps of those that a worker holds.

Pure: time is passed in, nothing is drawn here. No torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hidream_studio.job.job import Job
from hidream_studio.job.request import Lane

FINAL_WAITS_AT_MOST_S = 30.0  # of uninterrupted drafts; then one step of a final goes before the next draft's
STATE_VALUES_PER_PIXEL = 3 * 5  # three channels; z, its solver's history and the step's own tensors
BYTES_PER_VALUE = 4  # float32


def in_front(order: float) -> bool:
    """Whether a job was moved to the front: orders rise from 1 as jobs come, and fall from -1 as they are moved."""
    return order < 0


def turn_key(lane: Lane, order: float) -> tuple[bool, bool, float]:
    """Smaller goes first: what was moved to the front, the last moved before the others; then drafts, then finals.

    Inside a lane, first come, first served. `Turns` makes the one exception: a final that has waited long.
    """
    return not in_front(order), lane != "draft", order


def state_bytes(job: Job) -> int:
    """About what a begun job keeps in memory between its steps, beside its prompts."""
    return job.width * job.height * STATE_VALUES_PER_PIXEL * BYTES_PER_VALUE


@dataclass(frozen=True)
class Contender:
    """A held job, as far as its turn is concerned."""

    job_id: str
    lane: Lane
    order: float  # see `turn_key`
    begun: bool
    state_bytes: int
    text_bytes: Mapping[int, int] = field(default_factory=dict)  # by prompt: what is shared counts once


class Turns:
    """By `turn_key`, except that a final moves again after at most `final_waits_s` of steps that were not its lane's.

    Begun jobs and all prompts that are kept take at most `max_state_bytes` together: beyond that a new one does not
    begin, unless nothing else was begun.
    """

    def __init__(self, *, max_state_bytes: int, final_waits_s: float = FINAL_WAITS_AT_MOST_S) -> None:
        self._max_state_bytes = max_state_bytes
        self._final_waits_s = final_waits_s
        self._final_waits_since: float | None = None  # s, on the caller's clock; None: no final waits

    def choose(
        self, held: Iterable[Contender], now_s: float, *, kept_text_bytes: Mapping[int, int] | None = None
    ) -> str | None:
        """The id of the job whose step is next; None when nothing is held. Prompts may be kept beside those held."""
        contenders = sorted(held, key=lambda contender: turn_key(contender.lane, contender.order))
        able = self._able(contenders, kept_text_bytes or {})
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

    def _able(self, contenders: list[Contender], kept_text_bytes: Mapping[int, int]) -> list[Contender]:
        begun = [contender for contender in contenders if contender.begun]
        if not begun:
            return contenders
        texts = dict(kept_text_bytes)
        for contender in begun:
            texts |= contender.text_bytes
        room = self._max_state_bytes - sum(contender.state_bytes for contender in begun) - sum(texts.values())
        return [contender for contender in contenders if contender.begun or _new_bytes(contender, texts) <= room]


def _new_bytes(contender: Contender, texts: Mapping[int, int]) -> int:
    """What beginning it takes, where `texts` are kept already."""
    return contender.state_bytes + sum(nbytes for key, nbytes in contender.text_bytes.items() if key not in texts)
