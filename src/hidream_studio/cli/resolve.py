"""`hidream-studio resolve`: the size that would be rendered, on the first line, then why. Loads no model."""

from __future__ import annotations

import argparse

from hidream_studio.job.profiles import HIDREAM_O1_IMAGE, profile_by_id
from hidream_studio.job.sizes import parse_size, resolve_size


def run(arguments: argparse.Namespace) -> int:
    profile = profile_by_id(arguments.profile or HIDREAM_O1_IMAGE.id)
    width, height = parse_size(arguments.size)
    size = resolve_size(width, height, snap=not arguments.no_snap, profile=profile)
    print(f"{size.width}x{size.height}")
    if not size.adjustments:
        print("as asked")
    for why in dict.fromkeys(adjustment.why for adjustment in size.adjustments):
        print(why)
    return 0
