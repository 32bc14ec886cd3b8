"""`python3 -m o1_tiny.illustrated.sheet`: true scenes side by side, to look at."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from random import Random

from PIL import Image

from o1_tiny.illustrated.paint import paint, to_uint8
from o1_tiny.illustrated.places import painted
from o1_tiny.illustrated.scene import PLACES, draw_scene

GAP = 4


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python3 -m o1_tiny.illustrated.sheet", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--place", choices=list(PLACES), help="one place only")
    parser.add_argument("--size", type=int, nargs=2, default=(256, 256), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--columns", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    (width, height), random = options.size, Random(options.seed)
    rows = -(-options.count // options.columns)
    canvas = Image.new("RGB", (options.columns * (width + GAP), rows * (height + GAP)), "white")
    for index in range(options.count):
        scene = painted(draw_scene(random, options.place or ""))
        picture = Image.fromarray(to_uint8(paint(scene.rows, scene.water, width, height)[0]))
        canvas.paste(picture, (index % options.columns * (width + GAP), index // options.columns * (height + GAP)))
    canvas.save(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
