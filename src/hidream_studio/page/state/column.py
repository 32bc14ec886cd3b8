"""The compose column of one page: typed, filled in, priced, and turned into jobs. Draws nothing."""

from __future__ import annotations

import secrets
from typing import Any

from hidream_studio.job.job import RANDOM_SEED_BITS
from hidream_studio.job.record import JobView
from hidream_studio.job.request import GenerationRequest
from hidream_studio.page.state.choice import Choice
from hidream_studio.page.state.compose import (
    PLACEHOLDER_PROMPT,
    ComposeState,
    Plan,
    first_state,
    plan,
    restored_state,
    stored_state,
)
from hidream_studio.page.state.guard import Guard
from hidream_studio.page.state.live import LiveDraft
from hidream_studio.page.state.remembered import Remembered
from hidream_studio.page.state.shown import Shown
from hidream_studio.page.state.signals import PageSignals
from hidream_studio.page.state.versions import version_of_job
from hidream_studio.service.studio import Studio
from hidream_studio.service.views import SheetEstimate


class Column:
    def __init__(
        self, studio: Studio, shown: Shown, choice: Choice, remembered: Remembered, on: PageSignals, guard: Guard
    ) -> None:
        self.state: ComposeState = first_state(studio.profile)
        self.next_seed = secrets.randbits(RANDOM_SEED_BITS)
        self._studio = studio
        self._shown = shown
        self._remembered = remembered
        self._on = on
        self._live = LiveDraft(
            studio, self._live_request, on_queued=choice.select, on_replaced=shown.replaced.add, guard=guard
        )

    def restore(self, stored: Any) -> None:
        """As it was left, and what of that cannot be read is told; nothing is redrawn."""
        self.state, unread = restored_state(stored, self._studio.profile)
        self._remembered.complain(unread)

    def type(self, **changes: Any) -> None:
        """Somebody changed the column by hand."""
        self.state = self.state.changed(**changes)
        self._changed()

    def write(self, state: ComposeState) -> None:
        """The column is filled in from elsewhere: a preset, a recall, a dropped file."""
        self.state = state
        self._on.compose()
        self._changed()

    def _changed(self) -> None:
        self._on.typed()
        self._remembered.keep_column_soon(lambda: stored_state(self.state, self._studio.profile))
        self._live.typed(live=self.state.live)

    def plan(self, *, for_price: bool = False, keep_aspect: bool | None = None) -> Plan:
        """What Generate would queue; with `keep_aspect` as if that were chosen. Raises RequestError."""
        return plan(
            self.state if keep_aspect is None else self.state.changed(keep_aspect=keep_aspect),
            self._studio.profile,
            random_seed=self.next_seed,
            prompt=PLACEHOLDER_PROMPT if for_price else None,
        )

    def price(self, wanted: Plan) -> SheetEstimate:
        """What all of its pictures would cost. Raises RequestError, also where they are too many."""
        return self._studio.estimate_sheet(wanted.sheet())

    async def generate(self) -> None:
        wanted = self.plan()
        self.next_seed = secrets.randbits(RANDOM_SEED_BITS)
        self._shown.sweep_rejected()
        if wanted.pictures == 1:
            views: tuple[JobView, ...] = (await self._studio.submit(wanted.single()),)
        else:
            views = (await self._studio.submit_sheet(wanted.sheet())).jobs
        self._on.asked(self._shown.take_asked([version_of_job(view) for view in views]))

    async def generate_new_seeds(self) -> None:
        """The same again with seeds that nobody has seen."""
        self.next_seed = secrets.randbits(RANDOM_SEED_BITS)
        if self.state.seed:
            self.write(self.state.changed(seed=""))
        await self.generate()

    def _live_request(self) -> GenerationRequest | None:
        """What live mode draws: nothing without a prompt."""
        return self.plan().single() if self.state.prompt.strip() else None
