"""One thing that was changed, or that deserves a warning, on the way from a request to a job."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Adjustment(BaseModel):
    """`asked` became `used`; equal values are a warning about a value that was kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    field: str
    asked: int | float | str | bool | None
    used: int | float | str | bool | None
    why: str
