"""A job as rows keep it, read whichever version wrote it. Changes nothing that is stored."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from hidream_studio.job.adjustment import Adjustment
from hidream_studio.job.job import Job
from hidream_studio.job.values import wrong_fields

JOB_SCHEMA = 1  # rises when a field changes its meaning; one that is added has a default, and changes no number
SCHEMA_KEY = "schema"  # absent: 1

_FIELDS = frozenset(field.name for field in fields(Job))
_REQUIRED = tuple(field.name for field in fields(Job) if field.default is MISSING)
_NOT_KNOWN, _NOT_WHOLE = "not known to this version", "not wholly understood by this version"
_MAX_SHOWN_CHARS = 80
# Stands where a row does not tell, or not so that it is understood. Each use of it is told.
_UNKNOWN: dict[str, Any] = Job(
    prompt="", negative_prompt=None, seed=0, width=256, height=256, steps=1, guidance_scale=1.0, recipe="full",
    sampler="unipc", shift=1.0, noise_scale=1.0, noise="upstream", profile="unknown", requested_width=256,
    requested_height=256, snap_resolution=False,
).to_dict()  # fmt: skip


@dataclass(frozen=True)
class StoredJob:
    """What a row says of a job, as far as this version understands it."""

    job: Job
    notes: tuple[Adjustment, ...] = ()  # what is not understood, one each
    unreadable: str | None = None  # why `job` is not what was drawn, and nothing may be made of it


def write_job(job: Job) -> dict[str, Any]:
    return {SCHEMA_KEY: JOB_SCHEMA, **job.to_dict()}


def read_job(stored: Any, known: Mapping[str, Any] | None = None) -> StoredJob:
    """The job of `write_job`, of this version, an older or a newer one.

    A name that is not known is left out, and told in `notes`. Where a value is missing or cannot be understood, one of
    `known`, else some value, stands for it; that is told too, and the job is `unreadable`.
    """
    values = dict(stored) if isinstance(stored, Mapping) else {}
    schema = values.pop(SCHEMA_KEY, 1)
    unreadable = None if isinstance(stored, Mapping) else "what is stored of its settings is damaged"
    if unreadable is None and (type(schema) is not int or schema > JOB_SCHEMA):
        unreadable = f"a newer HiDream Studio wrote its settings (schema {schema}; this one reads up to {JOB_SCHEMA})"
    try:
        job = Job.from_dict(values)
    except ValueError as error:
        unreadable = unreadable or f"its settings are not understood: {error}"
        wrong = wrong_fields(Job, values)
        understood = {name: value for name, value in values.items() if name not in wrong}
        job = Job.from_dict({**_UNKNOWN, **_taken(known or {}), **understood})
    return StoredJob(job, _notes(values, job), unreadable)


def not_known(adjustments: Iterable[Adjustment]) -> tuple[Adjustment, ...]:
    """Those that `read_job` made: a job that is made of this one lacks the same."""
    return tuple(one for one in adjustments if one.why in (_NOT_KNOWN, _NOT_WHOLE))


def _taken(known: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `known` that a job could have."""
    wrong = wrong_fields(Job, {**_UNKNOWN, **known})
    return {name: value for name, value in known.items() if name in _FIELDS - wrong}


def _notes(values: Mapping[str, Any], job: Job) -> tuple[Adjustment, ...]:
    """One for each value that did not come through whole: unknown names, also inside of nested values."""
    read = job.to_dict()
    notes = []
    for name, value in values.items():
        if name not in read:
            notes.append(Adjustment(field=name, asked=_shown(value), used=None, why=_NOT_KNOWN))
        elif read[name] != value:
            notes.append(Adjustment(field=name, asked=_shown(value), used=_shown(read[name]), why=_NOT_WHOLE))
    missing = (name for name in _REQUIRED if name not in values)
    notes += (Adjustment(field=name, asked=None, used=_shown(read[name]), why="not told") for name in missing)
    return tuple(notes)


def _shown(value: Any) -> int | float | str | bool | None:
    if value is None or isinstance(value, int | float | bool):
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MAX_SHOWN_CHARS else text[: _MAX_SHOWN_CHARS - 1] + "…"
