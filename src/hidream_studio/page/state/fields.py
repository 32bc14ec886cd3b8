"""What was typed into the compose column, read as numbers: one value, a list or a range. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TypeVar

from hidream_studio.errors import RequestError
from hidream_studio.job.loras import MAX_STRENGTH
from hidream_studio.job.request import MAX_GUIDANCE, MAX_SEED, MAX_STEPS
from hidream_studio.job.sizes import MAX_ASKED_SIDE_PX, read_size
from hidream_studio.page import words

T = TypeVar("T")

MAX_VALUES = 100  # in one list; a contact sheet with more is a slip of the finger

_RANGE = re.compile(r"^(\d+(?:\.\d+)?)\s*(?:\.\.|–|-)\s*(\d+(?:\.\d+)?)(?:\s*/\s*(\d+(?:\.\d+)?))?$")


def steps_of(text: str) -> tuple[int, ...]:
    """Steps: "24", "12, 24, 36" or "10..50/10". Empty: none were given."""
    return tuple(_whole(value, "steps") for value in _values(text, "steps", 1, MAX_STEPS))


def guidance_of(text: str) -> tuple[float, ...]:
    """Guidance scales: "3", "1, 3, 5" or "1..5/0.5"."""
    return _values(text, "guidance", 0, MAX_GUIDANCE)


def strengths_of(text: str) -> tuple[float, ...]:
    """Strengths of a LoRA: "0.8", "0, 0.5, 1" or "0..1/0.25"; below 0 as single values."""
    return _values(text, "strength", -MAX_STRENGTH, MAX_STRENGTH)


def seeds_of(text: str) -> tuple[int, ...]:
    """Seeds: "42", "1, 2, 3" or "1..8". Empty: random ones are wanted."""
    return tuple(_whole(value, "seed") for value in _values(text, "seed", 0, MAX_SEED, as_number=_exact))


def sizes_of(text: str) -> tuple[tuple[int, int], ...]:
    """Sizes in px: "256 × 256", "512" (a square), "256x256, 384x256"."""
    # a size holds spaces of its own ("256 × 256"), so only commas and semicolons part a list
    parts = [part.strip() for part in re.split(r"[,;\n]", text) if part.strip()]
    sizes = []
    for part in parts:
        sides = read_size(f"{part}x{part}" if part.isdecimal() else part)
        if sides is None:
            raise RequestError(
                f"size {_shown(part)} is not read; write it as 1024 × 768, lists with commas", field="size"
            )
        sizes.append((_side(sides[0]), _side(sides[1])))
    return _limited(sizes, "size")


def _side(side: int) -> int:
    """One side of a size, px, inside what can be asked for."""
    if not 1 <= side <= MAX_ASKED_SIDE_PX:
        raise RequestError(
            f"a side of {side} px cannot be asked for; sides are 1 to {MAX_ASKED_SIDE_PX:,} px",
            field="size", limit=[1, MAX_ASKED_SIDE_PX],
        )  # fmt: skip
    return side


def _values(
    text: str, field: str, low: float, high: float, as_number: Callable[[str], float] = float
) -> tuple[float, ...]:
    """Every number of `text`, each inside its limits, before anything is counted with it."""
    values: list[float] = []
    for part in re.split(r"[,;\n]", text):
        part = part.strip()
        if not part:
            continue
        match = _RANGE.match(part)
        try:
            numbers = [as_number(word) for word in (match.groups("1") if match is not None else part.split())]
        except ValueError:
            raise RequestError(
                f"{field} {_shown(part)} is not read; write 24, a list as 12, 24, 36 or a range as 10..50/10",
                field=field,
            ) from None
        if match is not None:
            first, last, step = numbers
            numbers = _range(_bounded(first, field, low, high), _bounded(last, field, low, high), step, part, field)
        values += [_bounded(number, field, low, high) for number in numbers]
    return _limited(values, field)


def _range(first: float, last: float, step: float, part: str, field: str) -> list[float]:
    if last < first:
        raise RequestError(f"{field} {_shown(part)} counts down; write the smaller value first", field=field)
    if step <= 0:
        raise RequestError(f"{field} {_shown(part)} would never end; its step must be more than 0", field=field)
    steps = (last - first) / step  # infinite where the step is next to nothing
    if steps >= MAX_VALUES:
        amount = f"{int(steps) + 1:,}" if steps < 1e9 else "far too many"
        raise RequestError(
            f"{field} {_shown(part)} are {amount} values; there may be {MAX_VALUES}", field=field, limit=MAX_VALUES
        )
    return [first + index * step for index in range(int(steps + 1e-9) + 1)]


def _exact(text: str) -> int:
    """Seeds go beyond what a float holds exactly on its way through arithmetic, so they are read as integers."""
    return int(text)


def _whole(value: float, field: str) -> int:
    if value != int(value):
        raise RequestError(f"{field} is {value:g}; it must be a whole number", field=field)
    return int(value)


def _bounded(value: float, field: str, low: float, high: float) -> float:
    if not low <= value <= high:
        raise RequestError(
            f"{field} is {_plain(value)}; it must be between {_plain(low)} and {_plain(high)}",
            field=field,
            limit=[low, high],
        )
    return value


def _shown(text: str) -> str:
    return repr(words.excerpt(text, 60))


def _plain(value: float) -> str:
    """0 and not 0.0; a seed with all of its digits."""
    if abs(value) >= 1e18 or value != value:
        return f"{float(value):g}" if not abs(value) >= 1e300 else "inf"
    return f"{int(value) if value == int(value) else value:,}"


def _limited(values: Iterable[T], field: str) -> tuple[T, ...]:
    unique = tuple(dict.fromkeys(values))
    if len(unique) > MAX_VALUES:
        raise RequestError(
            f"{field} lists {len(unique)} values; there may be {MAX_VALUES}", field=field, limit=MAX_VALUES
        )
    return unique
