"""What a reader found in a text of another program, by the names of a request, and what of it cannot be used."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

MAX_SHOWN_CHARS = 40  # of a value that somebody else wrote
_MAX_NAMED_KEYS = 8
_SAMPLERS = {"unipc": "unipc", "euler": "euler"}


class Found:
    """Collects; checks no limits, which `metadata` does for all readers."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.notes: list[str] = []  # one sentence each
        self._unused: list[str] = []

    def text(self, field: str, value: object) -> None:
        """A prompt; of an empty one nothing is said."""
        if isinstance(value, str) and value.strip():
            self.values[field] = value

    def number(self, field: str, kind: type[int] | type[float], name: str, value: object) -> None:
        """A number, also where it was written as text; `name` is what the text calls it."""
        try:
            if isinstance(value, bool) or not isinstance(value, int | float | str):
                raise ValueError
            number = kind(value)
            if isinstance(value, float) and number != value:
                raise ValueError
        except (ValueError, OverflowError):
            self.notes.append(f"{name} {shown(value)} is no number")
        else:
            self.values[field] = number

    def size(self, name: str, width: object, height: object) -> None:
        """The size that was drawn, in px."""
        sides = [str(width), str(height)]
        if all(side.isdecimal() and len(side) <= 6 for side in sides):
            self.values |= {"width": int(sides[0]), "height": int(sides[1]), "snap_resolution": False}
        else:
            self.notes.append(f"{name} {shown('x'.join(sides))} is no size")

    def sampler(self, value: object) -> None:
        name = re.sub(r"[^a-z]", "", str(value).lower())
        if name in _SAMPLERS:
            self.values["sampler"] = _SAMPLERS[name]
        elif name == "flash":
            self.values["recipe"] = "dev"
        else:
            self.notes.append(f"sampler {shown(value)} is not one of ours, so the profile's own is used")

    def unused(self, keys: Iterable[str]) -> None:
        """Names of what was there and says something of the picture that cannot be used here."""
        self._unused += [key[:MAX_SHOWN_CHARS] for key in keys]

    def sentences(self) -> tuple[str, ...]:
        named = ", ".join(self._unused[:_MAX_NAMED_KEYS])
        more = len(self._unused) - _MAX_NAMED_KEYS
        unused = [f"not used: {named}{f' and {more} more' if more > 0 else ''}"] if named else []
        return (*self.notes, *unused)


def shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= MAX_SHOWN_CHARS else text[: MAX_SHOWN_CHARS - 1] + "…"
