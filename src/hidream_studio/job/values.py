"""Frozen values as JSON, back from it, and from one another by the names of their fields. Knows none by name."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from hidream_studio.job.validation import request_error

Value = TypeVar("Value")
_ABSENT: Any = object()


def to_json(value: Any) -> Any:
    """A dataclass, and all that it holds, as JSON has it: dicts, lists, texts, numbers, None."""
    return _adapter(cast(Any, type(value))).dump_python(value, mode="json", warnings=False)


def from_json(kind: type[Value], plain: Any) -> Value:
    """The value of `to_json`. Absent fields have their default, and names that `kind` does not have are passed over.

    Raises
    ------
    ValueError
        naming the first field that is missing or holds what it cannot.
    """
    try:
        value: Value = _adapter(cast(Any, kind)).validate_python(plain)
    except ValidationError as error:
        raise ValueError(request_error(error.errors(include_url=False)).message) from None
    return value


def wrong_fields(kind: type, plain: Any) -> frozenset[str]:
    """The fields without which, or with whose values, `from_json` refuses."""
    try:
        _adapter(cast(Any, kind)).validate_python(plain)
    except ValidationError as error:
        return frozenset(str(one["loc"][0]) for one in error.errors() if one["loc"])
    return frozenset()


def shared_fields(kind: type, source: object) -> dict[str, Any]:
    """Of the fields of the dataclass `kind` those that `source` has too, by name."""
    found = {name: getattr(source, name, _ABSENT) for name in _field_names(kind)}
    return {name: value for name, value in found.items() if value is not _ABSENT}


@cache
def _field_names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind) if field.init)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
