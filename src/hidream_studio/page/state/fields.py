"""What was typed into the compose column, read as numbers: one value, a list or a range. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import TypeVar

from hidream_studio.errors import RequestError
from hidream_studio.job.request import MAX_GUIDANCE, MAX_SEED, MAX_STEPS

T = TypeVar("T")

MAX_VALUES = 100  # in one list; a contact sheet with more is a slip of the finger

_RANGE = re.compile(r"^(\d+(?:\.\d+)?)\s*(?:\.\.|–|-)\s*(\d+(?:\.\d+)?)(?:\s*/\s*(\d+(?:\.\d+)?))?$")
_SIZE = re.compile(r"^(\d+)(?:\s*[x×*]\s*(\d+))?$", re.IGNORECASE)


def steps_of(text: str) -> tuple[int, ...]:
    """Steps: "24", "12, 24, 36" or "10..50/10". Empty: none were given."""
    return tuple(_whole(value, "steps", 1, MAX_STEPS) for value in _values(text, "steps"))


def guidance_of(text: str) -> tuple[float, ...]:
    """Guidance scales: "3", "1, 3, 5" or "1..5/0.5"."""
    return tuple(_bounded(value, "guidance", 0, MAX_GUIDANCE) for value in _values(text, "guidance"))


def seeds_of(text: str) -> tuple[int, ...]:
    """Seeds: "42", "1, 2, 3" or "1..8". Empty: random ones are wanted."""
    return tuple(_whole(value, "seed", 0, MAX_SEED) for value in _values(text, "seed", as_number=_exact))


def sizes_of(text: str) -> tuple[tuple[int, int], ...]:
    """Sizes in px: "256 × 256", "512" (a square), "256x256, 384x256"."""
    # a size holds spaces of its own ("256 × 256"), so only commas and semicolons part a list
    parts = [part.strip() for part in re.split(r"[,;\n]", text) if part.strip()]
    sizes = []
    for part in parts:
        match = _SIZE.match(part)
        if match is None:
            raise RequestError(f"size {part!r} is not read; write it as 1024 × 768, lists with commas", field="size")
        width = int(match[1])
        sizes.append((width, int(match[2]) if match[2] else width))
    return _limited(sizes, "size")


def _values(text: str, field: str, as_number: Callable[[str], float] = float) -> tuple[float, ...]:
    values: list[float] = []
    for part in re.split(r"[,;\n]", text):
        part = part.strip()
        if not part:
            continue
        match = _RANGE.match(part)
        if match is not None:
            values += _range(match, field, as_number)
            continue
        try:
            values += [as_number(word) for word in part.split()]
        except ValueError:
            raise RequestError(
                f"{field} {part!r} is not read; write 24, a list as 12, 24, 36 or a range as 10..50/10", field=field
            ) from None
    return _limited(values, field)


def _range(match: re.Match[str], field: str, as_number: Callable[[str], float]) -> list[float]:
    try:
        first, last = as_number(match[1]), as_number(match[2])
        step = as_number(match[3]) if match[3] else 1
    except ValueError:
        raise RequestError(f"{field} {match[0]!r} is not read", field=field) from None
    if step <= 0 or last < first:
        raise RequestError(f"{field} {match[0]!r} counts down; write the smaller value first", field=field)
    amount = int((last - first) / step + 1e-9) + 1
    if amount > MAX_VALUES:
        raise RequestError(
            f"{field} {match[0]!r} are {amount} values; there may be {MAX_VALUES}", field=field, limit=MAX_VALUES
        )
    return [first + index * step for index in range(amount)]


def _exact(text: str) -> int:
    """Seeds go beyond what a float holds exactly on its way through arithmetic, so they are read as integers."""
    return int(text)


def _whole(value: float, field: str, low: int, high: int) -> int:
    if value != int(value):
        raise RequestError(f"{field} is {value:g}; it must be a whole number", field=field)
    return int(_bounded(value, field, low, high))


def _bounded(value: float, field: str, low: float, high: float) -> float:
    if not low <= value <= high:
        raise RequestError(
            f"{field} is {_plain(value)}; it must be between {_plain(low)} and {_plain(high)}",
            field=field,
            limit=[low, high],
        )
    return value


def _plain(value: float) -> str:
    """0 and not 0.0; a seed with all of its digits."""
    return f"{int(value) if value == value and abs(value) != math.inf and value == int(value) else value:,}"


def _limited(values: Iterable[T], field: str) -> tuple[T, ...]:
    unique = tuple(dict.fromkeys(values))
    if len(unique) > MAX_VALUES:
        raise RequestError(
            f"{field} lists {len(unique)} values; there may be {MAX_VALUES}", field=field, limit=MAX_VALUES
        )
    return unique
