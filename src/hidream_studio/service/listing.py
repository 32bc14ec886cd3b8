"""A page of jobs, as the library has them, where the queue knows better. Knows no worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from hidream_studio.job.record import ENDED, JobView, State
from hidream_studio.library.library import Library
from hidream_studio.service.active import view_of
from hidream_studio.service.lineup import Lineup


async def listed(
    library: Library,
    lineup: Callable[[], Lineup],
    *,
    states: tuple[State, ...] | None,
    sheet_id: str | None,
    limit: int,
    before: str | None,
) -> list[JobView]:
    """Jobs, newest first, `before` a job's id; `limit` of them unless no more are left."""
    page: list[JobView] = []
    rows = limit
    while rows == limit > len(page):  # of those read, some are in another state by now
        live = {view.id: view for view in lineup().views()}
        read = partial(library.jobs, states=states, sheet_id=sheet_id, limit=limit, before=before)
        records = await asyncio.to_thread(read)
        live |= {view.id: view for view in lineup().views()}  # some were queued, or ended, meanwhile
        views = (view_of(one) if one.state in ENDED else live.get(one.id) or view_of(one) for one in records)
        page += [view for view in views if states is None or view.state in states]
        rows, before = len(records), records[-1].id if records else None
    return page[:limit]
