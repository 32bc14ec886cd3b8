"""Pydantic's findings as one sentence that names the field and its limit. Knows nothing of HTTP."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from hidream_studio.errors import RequestError

Model = TypeVar("Model", bound=BaseModel)

MAX_SHOWN_CHARS = 60  # of a value or a field name that somebody sent
_PLACES = frozenset({"body", "query", "path", "header", "cookie"})  # FastAPI's first part of a location
_LIMITS = ("ge", "le", "gt", "lt", "min_length", "max_length", "expected")


def parse_request(model: type[Model], values: Mapping[str, Any]) -> Model:
    """`values` as a `model`.

    Raises
    ------
    RequestError
        naming the first field that does not fit, what it was and its limit.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise request_error(error.errors(include_url=False), known=model.model_fields) from None


def request_error(findings: Sequence[Mapping[str, Any]], *, known: Iterable[str] = ()) -> RequestError:
    """The first of Pydantic's or FastAPI's findings in words; `known` are names to suggest for a misspelt field."""
    finding = findings[0]
    # where broken JSON breaks is a place in the text, not a field
    field = "body" if finding["type"] == "json_invalid" else field_name(finding.get("loc", ()))
    context = finding.get("ctx") or {}
    limit = next((context[name] for name in _LIMITS if name in context), None)
    return RequestError(_sentence(finding, field, known), field=field, limit=limit)


def field_name(location: Iterable[int | str]) -> str:
    """`("body", "sizes", 0)` as `sizes.0`. Parts in angle brackets are tags of unions, not fields."""
    parts = [str(part) for part in location]
    if parts and parts[0] in _PLACES:
        parts = parts[1:]
    return _shown(".".join(part for part in parts if not part.startswith("<"))) or "body"


def _sentence(finding: Mapping[str, Any], field: str, known: Iterable[str]) -> str:
    kind, message = finding["type"], str(finding["msg"])
    if kind == "json_invalid":
        return f"the body is no JSON: {(finding.get('ctx') or {}).get('error', message)}"
    if kind == "missing":
        return "the body is missing" if field == "body" else f"{field} is missing"
    if kind == "extra_forbidden":
        close = difflib.get_close_matches(field, list(known), n=1)
        return f"{field} is unknown" + (f"; did you mean {close[0]}?" if close else "")
    said = message.removeprefix("Value error, ").removeprefix("Input should be ").removeprefix("Input ")
    if message.startswith("Input should be "):
        said = f"it should be {said}"
    said = re.sub(r"^(String|List|Tuple|Dictionary|Value) should ", "it should ", said).replace(" after validation", "")
    value = finding.get("input")
    if isinstance(value, (bool, int, float)) or (isinstance(value, str) and len(value) <= MAX_SHOWN_CHARS):
        return f"{field} is {_shown(repr(value))}: {said}"
    return f"{field}: {said}"


def _shown(text: str) -> str:
    """Short, and printable everywhere: lone surrogates and control characters escaped."""
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return safe if len(safe) <= MAX_SHOWN_CHARS else safe[:MAX_SHOWN_CHARS] + "…"
