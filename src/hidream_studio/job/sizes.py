"""Which size is rendered for the one that was asked. Pure arithmetic; nothing is corrected without saying so."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hidream_studio.errors import RequestError
from hidream_studio.job.adjustment import Adjustment
from hidream_studio.job.profiles import ModelProfile

PATCH_PX = 32  # upstream models/pipeline.py PATCH_SIZE
PATCH_VALUES = 3 * PATCH_PX * PATCH_PX  # channel, row in patch, column in patch
MIN_SIDE_PX = 256
MAX_AREA_PX = 4_300_000  # about the largest of upstream's buckets
MAX_ASKED_SIDE_PX = 65_536  # beyond this a number is a mistake, also where it would be snapped

_SIZE = re.compile(r"\s*([0-9]{1,9})\s*[xX×*]\s*([0-9]{1,9})\s*")


@dataclass(frozen=True)
class ResolvedSize:
    width: int
    height: int
    adjustments: tuple[Adjustment, ...]


def parse_size(text: str) -> tuple[int, int]:
    """`512x768` as (512, 768), px. Raises RequestError for anything else."""
    sides = read_size(text)
    if sides is None:
        raise RequestError(f"size is {text[:40]!r}; write it as 512x768", field="size")
    return sides


def nearest_patch_multiple(side_px: int) -> int:
    """The nearest multiple of 32, ties up."""
    return (side_px + PATCH_PX // 2) // PATCH_PX * PATCH_PX


def read_size(text: str) -> tuple[int, int] | None:
    """`512x768`, `512 × 768` as (512, 768), px; None for what is no size. Its limits are checked where it is drawn."""
    sides = _SIZE.fullmatch(text)
    return None if sides is None else (int(sides[1]), int(sides[2]))


def drawable(width: float, height: float) -> tuple[int, int]:
    """The nearest size, px, that can be drawn freely: multiples of 32, no side too short, no area too large."""
    sides = [max(MIN_SIDE_PX, nearest_patch_multiple(round(side))) for side in (width, height)]
    while sides[0] * sides[1] > MAX_AREA_PX:
        sides[sides.index(max(sides))] -= PATCH_PX
    return sides[0], sides[1]


def closest_bucket(width: int, height: int, buckets: tuple[tuple[int, int], ...]) -> tuple[int, int]:
    """The bucket with the smallest absolute difference of width/height, first of equals (upstream models/utils.py)."""
    ratio = width / height
    return min(buckets, key=lambda bucket: abs(bucket[0] / bucket[1] - ratio))


def covering_box(width: int, height: int, new_width: int, new_height: int) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) in px: the middle of a width × height picture that has the shape of the new size."""
    kept_width = min(float(width), height * new_width / new_height)
    kept_height = min(float(height), width * new_height / new_width)
    left, top = (width - kept_width) / 2, (height - kept_height) / 2
    return left, top, left + kept_width, top + kept_height


def resolve_size(width: int, height: int, *, snap: bool, profile: ModelProfile) -> ResolvedSize:
    """The size that is rendered for `width` × `height`, in px, and what was changed on the way and why.

    Raises
    ------
    RequestError
        when a side is outside its limits; names the field and the limit.
    """
    for field, side in (("width", width), ("height", height)):
        if not 1 <= side <= MAX_ASKED_SIDE_PX:
            raise RequestError(
                f"{field} is {side}; it must be between 1 and {MAX_ASKED_SIDE_PX} px",
                field=field, limit=[1, MAX_ASKED_SIDE_PX],
            )  # fmt: skip
    if snap:
        used = closest_bucket(width, height, profile.buckets)
        why = f"snapped to {profile.name}'s size of the closest aspect ratio; snap_resolution=false draws it as asked"
        return ResolvedSize(*used, _size_adjustments((width, height), used, why))
    used = (nearest_patch_multiple(width), nearest_patch_multiple(height))
    _check_free_size((width, height), used)
    adjustments = _size_adjustments((width, height), used, f"rounded to the nearest multiple of {PATCH_PX} px")
    return ResolvedSize(*used, adjustments + _trained_range_warning(*used, profile))


def kept_aspect(
    asked: tuple[int, int], reference: tuple[int, int], used: tuple[int, int], profile: ModelProfile
) -> ResolvedSize:
    """The size of an edit that keeps its reference's aspect ratio, see `references.kept_size`. Raises RequestError."""
    told = f"{reference[0]}×{reference[1]}"
    if min(used) < MIN_SIDE_PX:
        raise RequestError(
            f"references.0 is {told} px: with its aspect ratio the picture would be {used[0]}×{used[1]} px, and a side "
            f"must be at least {MIN_SIDE_PX} px; keep_aspect=false draws {asked[0]}×{asked[1]}",
            field="keep_aspect", limit=MIN_SIDE_PX,
        )  # fmt: skip
    _check_free_size(asked, used)
    why = f"keeps the aspect ratio of the reference, {told} px; keep_aspect=false draws the size that is asked for"
    return ResolvedSize(*used, _size_adjustments(asked, used, why) + _trained_range_warning(*used, profile))


def _check_free_size(asked: tuple[int, int], used: tuple[int, int]) -> None:
    for field, asked_side, side in zip(("width", "height"), asked, used, strict=True):
        if side < MIN_SIDE_PX:
            raise RequestError(
                f"{field} is {asked_side}, rounded to {side} px; it must be at least {MIN_SIDE_PX} px",
                field=field, limit=MIN_SIDE_PX,
            )  # fmt: skip
    width, height = used
    if width * height > MAX_AREA_PX:
        raise RequestError(
            f"width × height is {width}×{height} = {width * height:,} px; it must be at most {MAX_AREA_PX:,} px",
            field="width" if width >= height else "height", limit=MAX_AREA_PX,
        )  # fmt: skip


def _size_adjustments(asked: tuple[int, int], used: tuple[int, int], why: str) -> tuple[Adjustment, ...]:
    return tuple(
        Adjustment(field=field, asked=asked_side, used=used_side, why=why)
        for field, asked_side, used_side in zip(("width", "height"), asked, used, strict=True)
        if asked_side != used_side
    )


def _trained_range_warning(width: int, height: int, profile: ModelProfile) -> tuple[Adjustment, ...]:
    (low_side, high_side), (low_area, high_area) = profile.trained_sides, profile.trained_area
    inside = (
        low_side <= min(width, height) and max(width, height) <= high_side and low_area <= width * height <= high_area
    )
    if inside:
        return ()
    size = f"{width}x{height}"
    why = (
        f"drawn as asked, but {profile.name} was trained on sides of {low_side} to {high_side} px and "
        f"{low_area:,} to {high_area:,} px in all: expect weaker pictures"
    )
    return (Adjustment(field="size", asked=size, used=size, why=why),)
