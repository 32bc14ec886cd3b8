"""Where the studio's benchmark meets this folder: a prompt's demands, judged. Knows no run and no report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from o1_tiny.adherence import Pixels, check
from o1_tiny.world.captions import Asked, AskedSign, AskedThing
from o1_tiny.world.scenes import Background


def judge(pixels: Pixels, demands: Mapping[str, Any]) -> tuple[str, ...]:
    """What a picture, (height, width, 3) in 0 to 255, gets wrong, in words; the entry point `o1-tiny`."""
    return check(pixels, asked_of(demands)).wrong


def asked_of(demands: Mapping[str, Any]) -> Asked:
    """The demands of one prompt as they stand in `checkpoints/o1-tiny/prompts.json`."""
    sign, background = demands["sign"], demands["background"]
    return Asked(
        prompt="",  # nothing is judged by its words
        things=tuple(AskedThing(**thing) for thing in demands["things"]),
        sign=None if sign is None else AskedSign(**sign),
        relation=demands["relation"],
        background=None if background is None else Background(**background),
    )
