"""The time of day as every record keeps it. Durations are measured elsewhere, with a monotonic clock."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> str:
    """Now, as ISO 8601 in UTC with milliseconds: `2026-03-01T09:30:00.125Z`. Such texts sort by time."""
    return utc_text(datetime.now(UTC))


def utc_text(moment: datetime) -> str:
    """A moment in UTC in the same form."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
