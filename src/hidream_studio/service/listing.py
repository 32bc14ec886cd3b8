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
        found = {one.id: view_of(one) if one.state in ENDED else live.get(one.id) or view_of(one) for one in records}
        rows, last = len(records), records[-1].id if records else None
        for view in live.values():  # of those that the library has in another state still, or cannot write now
            in_page = (before is None or view.id < before) and (rows < limit or (last is not None and view.id > last))
            if in_page and sheet_id in (None, view.sheet_id):
                found.setdefault(view.id, view)
        page += [found[id_] for id_ in sorted(found, reverse=True) if states is None or found[id_].state in states]
        before = last
    return page[:limit]
