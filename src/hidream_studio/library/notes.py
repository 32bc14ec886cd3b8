"""Small things worth remembering: the page's settings, and what pictures cost."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from hidream_studio.errors import RequestError
from hidream_studio.job.clock import utc_now
from hidream_studio.library.database import Database
from hidream_studio.library.models import CostSampleRow, SettingRow

MAX_SETTING_CHARS = 1_000_000
COST_SAMPLES_KEPT = 20_000


class Notes:
    """Of one library. May be called from any thread; what was changed is on disk when a method returns."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def setting(self, key: str, default: Any = None) -> Any:
        with self._database.reading() as session:
            return _setting(session, key, default)

    def set_setting(self, key: str, value: Any) -> None:
        """Keeps a JSON value."""
        with self._database.writing() as session:
            _set_setting(session, key, value)

    def change_setting(self, key: str, change: Callable[[Any], Any]) -> None:
        """Keeps what `change` makes of the value that is stored, or of None; nobody else writes in between."""
        with self._database.writing() as session:
            _set_setting(session, key, change(_setting(session, key, None)))

    def add_cost_sample(self, sample: Mapping[str, Any]) -> None:
        """Keeps a `job.estimate.CostSample.to_dict()`; the oldest of very many go."""
        with self._database.writing() as session:
            session.execute(insert(CostSampleRow).values(created_at=utc_now(), **sample))
            newest = select(func.max(CostSampleRow.id)).scalar_subquery()
            session.execute(delete(CostSampleRow).where(CostSampleRow.id <= newest - COST_SAMPLES_KEPT))

    def cost_samples(self, limit: int = 2000) -> list[dict[str, Any]]:
        """The newest `limit` of them, the oldest of those first."""
        columns = [column for column in CostSampleRow.__table__.columns if column.name not in ("id", "created_at")]
        query = select(*columns).order_by(CostSampleRow.id.desc()).limit(limit)
        with self._database.reading() as session:
            return [dict(row) for row in reversed(session.execute(query).mappings().all())]


def _setting(session: Session, key: str, default: Any) -> Any:
    row = session.get(SettingRow, key)
    return default if row is None else json.loads(row.value)


def _set_setting(session: Session, key: str, value: Any) -> None:
    text = json.dumps(value, allow_nan=False)
    if len(text) > MAX_SETTING_CHARS:
        raise RequestError(
            f"setting {key} has {len(text):,} characters; at most {MAX_SETTING_CHARS:,} are kept",
            field=key, limit=MAX_SETTING_CHARS,
        )  # fmt: skip
    session.merge(SettingRow(key=key, value=text))
