"""Names for jobs, pictures and sheets: short, safe in a URL, and in the order of their making. Keeps no state."""

from __future__ import annotations

import base64
import secrets
import time

ID_LENGTH = 26
_TIME_BYTES = 6  # 48 bits of Unix milliseconds: good until the year 10889
_RANDOM_BYTES = 10
_ALPHABET = frozenset("0123456789abcdefghijklmnopqrstuv")  # RFC 4648 base32hex, whose order is that of the bits


def new_id() -> str:
    """26 lower-case characters: 48 bits of time, then 80 random ones.

    Ids sort by the millisecond of their making; inside one millisecond the order is random (see `new_ids`).
    """
    milliseconds = time.time_ns() // 1_000_000
    raw = milliseconds.to_bytes(_TIME_BYTES, "big") + secrets.token_bytes(_RANDOM_BYTES)
    return base64.b32hexencode(raw).rstrip(b"=").decode("ascii").lower()


def new_ids(count: int) -> list[str]:
    """`count` ids, rising: the jobs of a sheet stay in its order."""
    return sorted(new_id() for _ in range(count))


def is_id(text: str) -> bool:
    """Whether `text` could be an id; asked before it becomes part of a path."""
    return len(text) == ID_LENGTH and _ALPHABET.issuperset(text)
