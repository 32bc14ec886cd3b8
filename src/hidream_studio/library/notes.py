"""Small things worth remembering: the page's settings, and what pictures cost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from hidream_studio.errors import RequestError
from hidream_studio.job.clock import utc_now
from hidream_studio.library.models import CostSampleRow, SettingRow

MAX_SETTING_CHARS = 1_000_000
COST_SAMPLES_KEPT = 20_000


def setting(session: Session, key: str, default: Any) -> Any:
    row = session.get(SettingRow, key)
    return default if row is None else json.loads(row.value)


def set_setting(session: Session, key: str, value: Any) -> None:
    text = json.dumps(value, allow_nan=False)
    if len(text) > MAX_SETTING_CHARS:
        raise RequestError(
            f"setting {key} has {len(text):,} characters; at most {MAX_SETTING_CHARS:,} are kept",
            field=key, limit=MAX_SETTING_CHARS,
        )  # fmt: skip
    session.merge(SettingRow(key=key, value=text))


def add_cost_sample(session: Session, sample: Mapping[str, Any]) -> None:
    session.execute(insert(CostSampleRow).values(created_at=utc_now(), **sample))
    newest = select(func.max(CostSampleRow.id)).scalar_subquery()
    session.execute(delete(CostSampleRow).where(CostSampleRow.id <= newest - COST_SAMPLES_KEPT))


def cost_samples(session: Session, limit: int) -> list[dict[str, Any]]:
    columns = [column for column in CostSampleRow.__table__.columns if column.name not in ("id", "created_at")]
    query = select(*columns).order_by(CostSampleRow.id.desc()).limit(limit)
    return [dict(row) for row in reversed(session.execute(query).mappings().all())]
