"""The picks outlive a reload: the tab they were made in keeps their keys. Stores nothing here, and draws nothing."""

from __future__ import annotations

import json
from typing import Any

from nicegui import ui
from nicegui.events import GenericEventArguments

from hidream_studio.page.state.session import Session

STORED_AS = "studio.picks"  # in sessionStorage: a tab's own, so that two tabs never pick for one another
TOLD_AS = "picks-kept"
MOST_KEPT = 1000

_TELL = (
    f"(() => {{ let kept = null; try {{ kept = sessionStorage.getItem('{STORED_AS}') }} catch {{}}"  # may be forbidden
    f" emitEvent('{TOLD_AS}', kept ?? '[]') }})()"
)


class KeptPicks:
    """Asks the tab once for what was picked before, then tells it of every change."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._client = ui.context.client
        self._kept: list[str] | None = None  # None: the tab has not told yet
        ui.on(TOLD_AS, self._told)
        self._client.on_connect(self._ask)
        session.on.marks.add(self._keep)

    def _ask(self) -> None:
        if self._kept is None:
            self._client.run_javascript(_TELL)

    def _told(self, event: GenericEventArguments) -> None:
        if self._kept is not None:
            return  # a second answer, after the line was cut: what stands here is newer
        session = self._session
        self._kept = keys_of(event.args)
        session.choice.picked = list(dict.fromkeys([*self._kept, *session.choice.picked]))
        if session.choice.picked:
            session.on.marks()

    def _keep(self) -> None:
        picked = self._session.choice.picked[-MOST_KEPT:]
        if self._kept is None or picked == self._kept:
            return
        self._kept = list(picked)
        stored = json.dumps(json.dumps(picked))
        self._client.run_javascript(f"try {{ sessionStorage.setItem('{STORED_AS}', {stored}) }} catch {{}}")


def keys_of(told: Any) -> list[str]:
    """The keys that a tab told, or none: what a browser keeps may be anything."""
    try:
        keys = json.loads(told)
    except (TypeError, ValueError):
        return []
    if not isinstance(keys, list) or len(keys) > MOST_KEPT:
        return []
    return [key for key in keys if isinstance(key, str) and key.isalnum() and len(key) <= 64]
