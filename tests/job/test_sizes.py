"""Sizes: upstream's table, free sizes, and their limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hidream_studio.errors import RequestError
from hidream_studio.job.profiles import HIDREAM_O1_IMAGE, UPSTREAM_BUCKETS, profile_by_id
from hidream_studio.job.sizes import (
    MAX_AREA_PX,
    MAX_ASKED_SIDE_PX,
    MIN_SIDE_PX,
    covering_box,
    drawable,
    nearest_patch_multiple,
    read_size,
    resolve_size,
)  # fmt: skip


def resolve(width: int, height: int, *, snap: bool) -> tuple[int, int]:
    size = resolve_size(width, height, snap=snap, profile=HIDREAM_O1_IMAGE)
    return size.width, size.height


@pytest.mark.parametrize(
    ("asked", "drawn"),
    [
        ((512, 512), (2048, 2048)),
        ((1024, 1024), (2048, 2048)),
        ((1280, 720), (2560, 1440)),
        ((720, 1280), (1440, 2560)),
        ((1024, 768), (2304, 1728)),
        ((2496, 1664), (2496, 1664)),
        ((1312, 3104), (1312, 3104)),
        ((65536, 1), (3104, 1312)),
    ],
)
def test_snapping_gives_upstreams_table(asked: tuple[int, int], drawn: tuple[int, int]) -> None:
    assert resolve(*asked, snap=True) == drawn


@pytest.mark.parametrize("bucket", UPSTREAM_BUCKETS)
def test_a_bucket_snaps_to_itself_and_says_nothing(bucket: tuple[int, int]) -> None:
    size = resolve_size(*bucket, snap=True, profile=HIDREAM_O1_IMAGE)
    assert ((size.width, size.height), size.adjustments) == (bucket, ())


def test_a_free_size_is_rounded_to_the_nearest_multiple_of_32_and_says_so() -> None:
    size = resolve_size(1000, 1000, snap=False, profile=HIDREAM_O1_IMAGE)
    assert (size.width, size.height) == (992, 992)
    told = {(a.field, a.asked, a.used) for a in size.adjustments if a.asked != a.used}
    assert told == {("width", 1000, 992), ("height", 1000, 992)}


def test_ties_round_up() -> None:
    assert nearest_patch_multiple(1040) == 1056
    assert nearest_patch_multiple(1039) == 1024


def test_sides_are_checked_after_rounding() -> None:
    assert resolve(240, 256, snap=False) == (256, 256)
    with pytest.raises(RequestError, match=r"height is 239.*at least 256") as caught:
        resolve(256, 239, snap=False)
    assert (caught.value.field, caught.value.limit) == ("height", MIN_SIDE_PX)


def test_the_area_has_a_limit_that_is_named() -> None:
    assert resolve(2048, 2080, snap=False) == (2048, 2080)
    with pytest.raises(RequestError, match="4,300,000") as caught:
        resolve(2112, 2048, snap=False)
    assert caught.value.limit == MAX_AREA_PX


@pytest.mark.parametrize("side", [0, -5, 10**9])
@pytest.mark.parametrize("snap", [True, False])
def test_absurd_sides_are_refused_by_name(side: int, snap: bool) -> None:
    with pytest.raises(RequestError) as caught:
        resolve(1024, side, snap=snap)
    assert caught.value.field == "height"


def test_a_size_outside_the_trained_range_is_drawn_with_a_warning() -> None:
    (warning,) = resolve_size(256, 256, snap=False, profile=HIDREAM_O1_IMAGE).adjustments
    assert warning.field == "size" and warning.asked == warning.used == "256x256"
    assert "trained" in warning.why


@given(st.integers(1, 65536), st.integers(1, 65536), st.booleans(), st.sampled_from(["hidream-o1-image", "o1-tiny"]))
def test_every_size_is_either_refused_or_drawable(width: int, height: int, snap: bool, profile_id: str) -> None:
    profile = profile_by_id(profile_id)
    try:
        size = resolve_size(width, height, snap=snap, profile=profile)
    except RequestError as error:
        assert error.field in {"width", "height"} and error.limit is not None
        return
    assert size.width % 32 == size.height % 32 == 0
    assert size.width * size.height <= MAX_AREA_PX
    if snap:
        assert (size.width, size.height) in profile.buckets
    else:
        assert min(size.width, size.height) >= MIN_SIDE_PX
        assert abs(size.width - width) <= 16 and abs(size.height - height) <= 16


@given(st.integers(1, MAX_ASKED_SIDE_PX), st.integers(1, MAX_ASKED_SIDE_PX), st.sampled_from("xX×*"), st.booleans())
def test_a_size_is_read_however_it_is_written(width: int, height: int, between: str, spaced: bool) -> None:
    between = f" {between} " if spaced else between
    assert read_size(f"{width}{between}{height}") == (width, height)


@pytest.mark.parametrize("text", ["", "512", "512x", "x512", "-512x512", "512x512x512", "5.5x4", "٣٢x32", "1e3x1e3"])
def test_what_is_no_size_is_not_read_as_one(text: str) -> None:
    assert read_size(text) is None


@given(st.floats(1, 1e5), st.floats(1, 1e5))
def test_a_drawable_size_is_drawn_as_it_is(width: float, height: float) -> None:
    size = drawable(width, height)
    assert resolve(*size, snap=False) == size


_SIDES = st.integers(1, 4000)


@given(_SIDES, _SIDES, _SIDES, _SIDES)
def test_the_covering_box_is_the_largest_middle_part_of_the_new_shape(
    width: int, height: int, new_width: int, new_height: int
) -> None:
    left, top, right, bottom = covering_box(width, height, new_width, new_height)
    assert 0 <= left < right <= width and 0 <= top < bottom <= height
    assert (right - left) / (bottom - top) == pytest.approx(new_width / new_height)
    assert (left, top) == pytest.approx((width - right, height - bottom))
    assert min(left, top) == pytest.approx(0)
    if width * new_height == height * new_width:
        assert (left, top, right, bottom) == (0, 0, width, height)  # nothing is moved where nothing is cropped
