"""Pictures made ready for the model: fitted, framed, made small for the vision tower. Knows nothing of tensors.

Pillow's BOX, BICUBIC and LANCZOS on 8 bits, because upstream's pixels are theirs: other resizers round differently.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from hidream_studio.job.layout import Box, Layout, boxes_in_px, thickest_outline
from hidream_studio.job.references import Fitting, prepare_sizes

Pixels = npt.NDArray[np.uint8]  # (H, W, 3)
Color = tuple[int, int, int]

# upstream models/utils.py DEFAULT_COLORS: of the boxes, the largest first
COLORS: tuple[Color, ...] = (
    (255, 0, 0), (0, 180, 0), (0, 0, 255), (204, 180, 0), (255, 0, 255), (0, 255, 255), (128, 0, 0), (0, 128, 0),
    (0, 0, 128), (128, 128, 0),
)  # fmt: skip
MOST_BOXES = 5  # upstream MAX_BOX: so many are drawn
THINNEST_PX = 5
FRAME_SHARE = 0.04  # of the root of a reference's area


@dataclass(frozen=True)
class PreparedPicture:
    """One picture as the model gets it."""

    pixels: Pixels  # sides are multiples of 32: cut into patches
    vision: Pixels  # for the vision tower


def prepare(
    pictures: Sequence[Image.Image],  # RGB
    width: int,  # px, of the output
    height: int,
    *,
    layout: Layout | None = None,
    kept_side: int | None = None,  # of an output that keeps its one picture's aspect ratio, see job.references
) -> tuple[PreparedPicture, ...]:
    """The pictures in their order, and with a layout its picture as the last.

    Raises
    ------
    RequestError
        see `job.references.prepare_sizes` and `job.layout.boxes_in_px`.
    """
    sizes = [picture.size for picture in pictures]
    plans = prepare_sizes(sizes, width, height, layout=layout is not None, kept_side=kept_side)
    boxes = None if layout is None else boxes_in_px(layout, width, height, len(pictures))
    every = [_fitted(picture, plan.fittings[0]) for picture, plan in zip(pictures, plans, strict=False)]
    if boxes is not None:
        drawn, colors = draw_layout(boxes, width, height)
        # upstream fits a framed picture once more, which may crop the frame
        every = [
            _fitted(_framed(picture, colors.get(index, COLORS[index % len(COLORS)])), plans[index].fittings[1])
            for index, picture in enumerate(every)
        ]
        every.append(_fitted(drawn, plans[-1].fittings[0]))
    return tuple(
        PreparedPicture(np.asarray(picture), np.asarray(picture.resize(plan.vision, Image.Resampling.LANCZOS)))
        for picture, plan in zip(every, plans, strict=True)
    )


def digest(pictures: Sequence[PreparedPicture]) -> str:
    """A name for what the model sees: equal for equal pixels in the same order, and for no others."""
    found = hashlib.sha256()
    for picture in pictures:
        for pixels in (picture.pixels, picture.vision):
            found.update(repr(pixels.shape).encode())
            found.update(np.ascontiguousarray(pixels).data)
    return found.hexdigest()


def draw_layout(boxes: Sequence[Box], width: int, height: int) -> tuple[Image.Image, dict[int, Color]]:
    """The boxes as outlines on black, the largest first, and the colours of those that were drawn, by their number."""
    picture = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(picture)
    thickest = thickest_outline(width, height)
    gap = max(1, thickest // MOST_BOXES)
    largest_first = sorted(range(len(boxes)), key=lambda index: boxes[index].area, reverse=True)[:MOST_BOXES]
    colors = {}
    for rank, index in enumerate(largest_first):
        box, colors[index] = boxes[index], COLORS[rank]
        thickness = max(thickest - rank * gap, THINNEST_PX)
        draw.rectangle((box.left, box.top, box.right, box.bottom), outline=COLORS[rank], width=thickness)
    return picture, colors


def _fitted(picture: Image.Image, fitting: Fitting) -> Image.Image:
    for size in fitting.halved:
        picture = picture.resize(size, Image.Resampling.BOX)
    (width, height), left, top = fitting.size, fitting.left, fitting.top
    return picture.resize(fitting.scaled, Image.Resampling.BICUBIC).crop((left, top, left + width, top + height))


def _framed(picture: Image.Image, color: Color) -> Image.Image:
    width, height = picture.size
    draw = ImageDraw.Draw(picture)
    for inset in range(int(math.sqrt(width * height) * FRAME_SHARE)):
        draw.rectangle((inset, inset, width - 1 - inset, height - 1 - inset), outline=color)
    return picture
