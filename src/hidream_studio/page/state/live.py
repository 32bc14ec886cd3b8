"""Live mode: one draft that is drawn anew as somebody types. Knows no regions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hidream_studio.errors import StudioError
from hidream_studio.job.request import GenerationRequest
from hidream_studio.page.state.guard import Guard
from hidream_studio.service.studio import Studio

QUIET_S = 0.4


class LiveDraft:
    """Draws what is wanted once nobody has typed for a moment, in place of the draft before."""

    def __init__(
        self,
        studio: Studio,
        wanted: Callable[[], GenerationRequest | None],
        *,
        on_queued: Callable[[str], None],
        on_replaced: Callable[[str], None],
        guard: Guard,
    ) -> None:
        self._studio = studio
        self._wanted = wanted  # None: nothing to draw; raises StudioError for a half-written number
        self._on_queued = on_queued
        self._on_replaced = on_replaced  # told before it is cancelled, so that it leaves no ghost
        self._guard = guard
        self._job: str | None = None
        self._task: asyncio.Task[None] | None = None  # waits for quiet
        self._redrawing: asyncio.Task[None] | None = None  # goes on whatever is typed

    def typed(self, *, live: bool) -> None:
        """Draw what was typed once it rests; with live mode off nothing more of it."""
        if self._task is not None:
            self._task.cancel()
        self._task = asyncio.create_task(self._redraw_after_quiet()) if live else None

    async def _redraw_after_quiet(self) -> None:
        await asyncio.sleep(QUIET_S)
        if self._redrawing is not None:  # a slow disk: until it is done nobody knows which draft to replace
            await asyncio.wait({self._redrawing})
        try:
            wanted = self._wanted()
        except StudioError:
            return  # the column says so already
        if wanted is not None:
            self._redrawing = asyncio.create_task(self._redraw(wanted))

    async def _redraw(self, wanted: GenerationRequest) -> None:
        with self._guard:
            earlier = self._job
            if earlier is not None:
                self._on_replaced(earlier)
            view = await self._studio.replace(wanted, lane="draft", replaces=earlier)
            self._job = view.id
            self._on_queued(view.id)
