"""GET /api/events: what happens, as server-sent events whose ids a reconnect goes on from."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent

from hidream_studio.server.state import StudioOfApp

router = APIRouter(prefix="/api", tags=["queue"])

RECONNECT_MS = 1000


# Not in the OpenAPI document: the answer never ends, which it cannot say and no tool that reads it expects.
@router.get("/events", response_class=EventSourceResponse, include_in_schema=False)
async def events(
    studio: StudioOfApp,
    after: Annotated[int | None, Query(ge=0, le=2**63 - 1)] = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Events from now on, or all after the one that a browser names when it reconnects (or `?after=`)."""
    start = _sequence(last_event_id) if last_event_id is not None else after
    coming = studio.subscribe(start)  # before the client hears that it is connected, and does what it waits to hear of
    yield ServerSentEvent(comment="HiDream Studio", retry=RECONNECT_MS)
    async for event in coming:
        yield ServerSentEvent(data=event.data, event=event.type, id=str(event.seq))


def _sequence(last_event_id: str) -> int:
    """0, which is too old to be continued and so brings everything, where it is no number of ours."""
    valid = last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) < 20
    return int(last_event_id) if valid else 0
