"""Wrong tokens, counted per address so that guessing is slow. Knows no rule of what is right; keeps constant memory.

Every address has ten guesses, and gets one more every six seconds. Nobody else is slowed down by them, and what shows
no token to guess at, such as a session's cookie, never is. The same wrong token twice is one guess: a program that was
left with an old one does not lock out its neighbours.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import Scope

GUESSES = 10
GUESS_EVERY_S = 6.0
ADDRESSES_KEPT = 4096  # the longest quiet is forgotten first
IPV6_NETWORK_BITS = 64  # what one subscriber has, and may change within


@dataclass
class _Past:
    spent: float  # guesses at the time `at_s`
    at_s: float
    last_wrong: bytes = b""  # digest


class Guesses:
    """One per door; `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._past: OrderedDict[str, _Past] = OrderedDict()

    def check(self, address: str, offered: str, accepts: Callable[[str], bool]) -> tuple[bool, int]:
        """Whether `offered` is right, and how many seconds to wait first: it is looked at only where that is 0."""
        past = self._past.get(address)
        digest = hashlib.sha256(offered.encode("utf-8", "surrogatepass")).digest()
        if past is None or past.last_wrong != digest:
            spent = 0.0 if past is None else self._spent_now(past)
            if spent > GUESSES - 1:
                return False, math.ceil((spent - (GUESSES - 1)) * GUESS_EVERY_S)
            if accepts(offered):
                return True, 0
            self._past[address] = _Past(spent + 1, self._clock(), digest)
        self._past.move_to_end(address)
        if len(self._past) > ADDRESSES_KEPT:
            self._past.popitem(last=False)
        return False, 0

    def _spent_now(self, past: _Past) -> float:
        return max(0.0, past.spent - (self._clock() - past.at_s) / GUESS_EVERY_S)


def address_of(scope: Scope) -> str:
    """Who calls; for IPv6 the network, within which one caller has any address."""
    host = scope["client"][0] if scope.get("client") else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return str(host)
    if address.version == 4:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), IPV6_NETWORK_BITS), strict=False))
