"""Boxes that say where each reference stands, as they are asked for and in pixels. Draws nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hidream_studio.errors import RequestError

Layout = Sequence[Sequence[float]]  # of each reference [x1, x2, y1, y2], 0 to 1: x first, as upstream has it


@dataclass(frozen=True)
class Box:
    """In px of the output; both ends belong to it."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def area(self) -> int:
        return (self.right - self.left) * (self.bottom - self.top)


def boxes_in_px(layout: Layout, width: int, height: int, references: int) -> tuple[Box, ...]:
    """The boxes on an output of that size (upstream models/utils.py parse_layout_bboxes); ends may come in any order.

    Raises
    ------
    RequestError
        naming the box, where one is no box, lies outside the picture, has no area, or belongs to no reference.
    """
    if not layout:
        raise RequestError("the layout has no box; leave it out, or draw one", field="layout", limit=1)
    boxes = tuple(_box(box, f"layout.{index}", width, height) for index, box in enumerate(layout))
    if len(boxes) > references:
        raise RequestError(
            f"the layout has {len(boxes)} boxes for {references} references; a box belongs to the reference of its "
            "number", field="layout", limit=references,
        )  # fmt: skip
    return boxes


def _box(box: Sequence[float], field: str, width: int, height: int) -> Box:
    if not isinstance(box, list | tuple) or len(box) != 4:
        raise RequestError(f"{field} is {box!r}; a box is [x1, x2, y1, y2], each 0 to 1", field=field, limit=4)
    for value in box:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise RequestError(
                f"{field} holds {value!r}; a box is [x1, x2, y1, y2], each 0 to 1 of the picture",
                field=field, limit=[0, 1],
            )  # fmt: skip
    left, right = _ends(box[0], box[1], width)
    top, bottom = _ends(box[2], box[3], height)
    if right <= left or bottom <= top:
        raise RequestError(
            f"{field} is {list(box)}, which has no area at {width}×{height} px; the order is [x1, x2, y1, y2]",
            field=field,
        )
    return Box(left, top, right, bottom)


def _ends(one: float, other: float, side: int) -> tuple[int, int]:
    low, high = sorted((one * side, other * side))
    return min(side - 1, round(low)), min(side - 1, round(high))


def thickest_outline(width: int, height: int) -> int:
    """Of the largest box, in px (upstream models/utils.py get_render_params)."""
    return int(math.sqrt(width * height) * 0.05)
