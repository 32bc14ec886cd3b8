"""A job on its way through the scheduler: its place, and the one stage that it is at. Knows not what is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from hidream_studio.engine.turns import in_front, turn_key
from hidream_studio.job.request import Lane

Stage = Literal["waiting", "held", "begun", "drawn", "storing", "ended"]

NEXT: Mapping[Stage, tuple[Stage, ...]] = {
    "waiting": ("held", "ended"),
    "held": ("begun", "waiting", "ended"),  # a worker has it, or is being given it
    "begun": ("drawn", "waiting", "ended"),  # its first step is taken
    "drawn": ("storing", "waiting", "ended"),  # its place in the worker is free; the worker encodes the picture
    "storing": ("ended",),  # the picture is here, and the library writes it
    "ended": (),
}


@dataclass(eq=False)
class Ticket:
    """One object from the queueing of a job to its end: queue, supervisor and watchdog keep this, and no copy."""

    id: str
    lane: Lane
    order: float  # see `engine.turns.turn_key`
    step_s: float = 0.0  # expected, of one step
    stage: Stage = "waiting"
    drawn_s: float | None = None  # since when its worker encodes the picture, on the loop's clock

    def enter(self, stage: Stage) -> None:
        """
        Raises
        ------
        ValueError
            when that stage does not follow this one.
        """
        if stage not in NEXT[self.stage]:
            raise ValueError(f"job {self.id} cannot be {stage} after it was {self.stage}")
        if stage == "waiting":
            self.drawn_s = None
        self.stage = stage

    @property
    def key(self) -> tuple[bool, bool, float]:
        return turn_key(self.lane, self.order)

    @property
    def in_front(self) -> bool:
        return in_front(self.order)

    @property
    def not_begun(self) -> bool:
        return self.stage in ("waiting", "held")

    @property
    def in_worker(self) -> bool:
        """Whether it takes a place in one."""
        return self.stage in ("held", "begun")

    @property
    def in_line(self) -> bool:
        """Whether steps of it are still to be taken."""
        return self.not_begun or self.stage == "begun"
