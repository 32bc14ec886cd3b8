"""`python3 -m o1_tiny.illustrated.check`: on a GPU, that the kernel paints what NumPy paints, and how fast."""

from __future__ import annotations

import sys
import time
from random import Random

import torch

from o1_tiny.illustrated.batch import draw_patches
from o1_tiny.illustrated.parts import FIELDS, MAX_PARTS
from o1_tiny.illustrated.places import painted
from o1_tiny.illustrated.scene import PLACES, draw_scene

ALLOWED = 0.02  # of 2: a GPU's sines differ a little, and a window's light may flip at its edge
SHARE = 1e-4  # of the pixels that may differ by more


def main() -> int:
    random, worst = Random(11), 0.0
    canvases = [painted(draw_scene(random, place)) for place in PLACES for _ in range(3)]
    parts, counts = torch.zeros(len(canvases), MAX_PARTS, FIELDS), torch.zeros(len(canvases), dtype=torch.int32)
    waters = torch.zeros(len(canvases), 4)
    for index, canvas in enumerate(canvases):
        parts[index, : len(canvas.rows)] = torch.tensor(canvas.rows)
        counts[index], waters[index] = len(canvas.rows), torch.tensor(canvas.water)
    stores, every = (parts, counts, waters), torch.arange(len(canvases))
    on_gpu = tuple(store.cuda() for store in stores)
    for rows, cols in ((8, 8), (16, 16), (6, 10), (20, 12)):
        ours, care = draw_patches(*stores, every, rows, cols)
        theirs, their_care = draw_patches(*on_gpu, every.cuda(), rows, cols)
        apart = (ours - theirs.cpu()).abs()
        share = float((apart > ALLOWED).float().mean())
        worst = max(worst, share)
        print(f"{cols * 32}x{rows * 32}: apart by {float(apart.max()):.2e}, {share:.1e} of them by over {ALLOWED}; "
              f"care by {float((care - their_care.cpu()).abs().max()):.1e}")  # fmt: skip
    many = torch.randint(len(canvases), (64,), device="cuda")
    for _ in range(2):
        torch.cuda.synchronize()
        start = time.monotonic()
        for _ in range(10):
            draw_patches(*on_gpu, many, 16, 16)
        torch.cuda.synchronize()
    print(f"64 pictures of 512x512 in {(time.monotonic() - start) * 100:.2f} ms")
    start = time.monotonic()
    for _ in range(100):
        painted(draw_scene(random))
    print(f"a scene in {(time.monotonic() - start) * 10:.2f} ms of one CPU core")
    print("the kernel paints what NumPy paints" if worst <= SHARE else "THE KERNEL PAINTS SOMETHING ELSE")
    return int(worst > SHARE)


if __name__ == "__main__":
    sys.exit(main())
