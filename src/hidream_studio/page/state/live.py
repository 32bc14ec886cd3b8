"""Live mode: one draft that is drawn anew as somebody types. Knows no regions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hidream_studio.errors import StudioError
from hidream_studio.job.request import GenerationRequest
from hidream_studio.service.studio import Studio

QUIET_S = 0.4


class LiveDraft:
    """Draws what is wanted once nobody has typed for a moment, in place of the draft before."""

    def __init__(
        self, studio: Studio, wanted: Callable[[], GenerationRequest | None], on_queued: Callable[[str], None]
    ) -> None:
        self._studio = studio
        self._wanted = wanted  # None: nothing to draw; raises StudioError for a half-written number
        self._on_queued = on_queued
        self._job: str | None = None
        self._replaced: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    def typed(self, *, live: bool) -> None:
        """Draw what was typed once it rests; with live mode off nothing more of it."""
        if self._task is not None:
            self._task.cancel()
        self._task = asyncio.create_task(self._redraw_after_quiet()) if live else None

    def has_replaced(self, job_id: str) -> bool:
        """Whether a later draft took that one's place, so that it leaves no ghost."""
        return job_id in self._replaced

    async def _redraw_after_quiet(self) -> None:
        await asyncio.sleep(QUIET_S)
        try:
            wanted = self._wanted()
            if wanted is not None:
                await asyncio.shield(self._redraw(wanted))  # a key that comes in between waits for the next round
        except StudioError:
            return  # the column says so already

    async def _redraw(self, wanted: GenerationRequest) -> None:
        earlier = self._job
        if earlier is not None:
            self._replaced.add(earlier)
        view = await self._studio.replace(wanted, lane="draft", replaces=earlier)
        self._job = view.id
        self._on_queued(view.id)
