"""Sizes of pictures as the model sees them: upstream's, and a sentence where upstream crashes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hidream_studio.errors import CheckpointError, RequestError
from hidream_studio.job.layout import boxes_in_px
from hidream_studio.job.profiles import HIDREAM_O1_IMAGE
from hidream_studio.job.references import (
    MAX_REFERENCES,
    PictureProcessor,
    dev_sampler,
    fit,
    kept_side,
    kept_size,
    patch_side,
    prepare_sizes,
    reference_tokens,
    vision_side,
    vision_size,
    vision_tokens,
)

GOLDEN = Path(__file__).parents[1] / "data" / "golden_ref"
CONFIG = json.loads((GOLDEN / "checkpoint" / "preprocessor_config.json").read_text(encoding="utf-8"))
PROCESSOR = PictureProcessor.from_json(CONFIG)


@pytest.mark.parametrize(
    ("count", "side", "tokens", "small", "seen"),
    [(1, 2048, 4096, 384, 144), (2, 1536, 2304, 384, 144), (3, 1024, 1024, 384, 144), (4, 1024, 1024, 384, 144),
     (5, 768, 576, 288, 81), (8, 768, 576, 288, 81), (9, 512, 256, 192, 64), (20, 512, 256, 192, 64)],
)  # fmt: skip
def test_the_number_of_pictures_decides_their_sizes(count: int, side: int, tokens: int, small: int, seen: int) -> None:
    assert (patch_side(count, 2048, 1024), vision_side(count)) == (side, small)
    plans = prepare_sizes([(500, 500)] * count, 2048, 2048)
    assert reference_tokens(plans) == count * tokens
    assert vision_tokens(plans, PROCESSOR) == count * (seen + 2)  # a start and an end each


def test_a_side_is_the_root_of_an_area() -> None:
    assert fit((3000, 2000), 2048).size == (2496, 1664)
    assert fit((300, 200), 2048).size == (2496, 1664)  # small pictures grow


@pytest.mark.parametrize(("size", "small"), [((640, 640), (384, 384)), ((2496, 1664), (448, 288))])
def test_the_towers_picture_is_squeezed_into_whole_tokens(size: tuple[int, int], small: tuple[int, int]) -> None:
    assert vision_size(size, 384) == small


def test_a_large_picture_is_halved_first() -> None:
    assert fit((9000, 6001), 1024).halved == ((4500, 3000), (2250, 1500))
    assert fit((2047, 2047), 1024).halved == ()


@pytest.mark.parametrize(
    ("size", "seen"), [((192, 192), (256, 256)), ((224, 128), (352, 224)), ((288, 288), (288, 288)),
                       ((8000, 8000), (4096, 4096))],
)  # fmt: skip
def test_the_processor_enlarges_what_is_too_small(size: tuple[int, int], seen: tuple[int, int]) -> None:
    assert PROCESSOR.seen_size(size) == seen


def test_the_processor_is_read_in_both_spellings() -> None:
    old = {key: value for key, value in CONFIG.items() if key != "size"}
    old |= {"min_pixels": 65536, "max_pixels": 16777216}
    assert PictureProcessor.from_json(old) == PROCESSOR
    for key in ("size", "image_mean", "patch_size", "merge_size"):
        with pytest.raises(CheckpointError, match=key):
            PictureProcessor.from_json({name: value for name, value in CONFIG.items() if name != key})


def test_a_kept_aspect_ratio_decides_the_size_once() -> None:
    side = kept_side(1234, 999, snap=True, profile=HIDREAM_O1_IMAGE)
    assert side == 2048
    assert kept_side(1024, 1024, snap=False, profile=HIDREAM_O1_IMAGE) == 1024
    width, height = kept_size((3000, 2000), side)
    (plan,) = prepare_sizes([(3000, 2000)], width, height, kept_side=side)
    assert plan.size == (width, height)


@pytest.mark.parametrize(
    ("sizes", "arguments", "field"),
    [
        ([(64, 64)], {"kept_side": 512, "layout": True}, "layout"),
        ([(64, 64)] * 2, {"kept_side": 512}, "keep_aspect"),
        ([(64, 48)], {"kept_side": 512}, "keep_aspect"),
        ([], {"layout": True}, "layout"),
        ([(64, 64)] * (MAX_REFERENCES + 1), {}, "references"),
    ],
)
def test_what_upstream_leaves_out_without_a_word_is_refused(sizes: list, arguments: dict, field: str) -> None:
    with pytest.raises(RequestError) as caught:
        prepare_sizes(sizes, 512, 512, **arguments)
    assert caught.value.field == field


def test_a_picture_beside_a_layout_is_fitted_twice() -> None:
    plans = prepare_sizes([(64, 64), (900, 120)], 256, 192, layout=True)
    assert [len(plan.fittings) for plan in plans] == [2, 2, 1]


@pytest.mark.parametrize(("count", "ratio"), [(1, 144), (4, 144), (5, 81), (8, 81), (9, 36)])
def test_an_elongated_picture_is_refused_with_its_limit(count: int, ratio: int) -> None:
    sizes = [(100, 100)] * (count - 1) + [(100_000, 40)]
    with pytest.raises(RequestError, match="too elongated") as caught:
        prepare_sizes(sizes, 2048, 2048)
    assert (caught.value.field, caught.value.limit) == (f"references.{count - 1}", ratio)


def test_the_dev_recipe_edits_with_flow_match_and_composes_with_flash() -> None:
    assert [dev_sampler(count) for count in (0, 1, 2, 9)] == ["flash", "flow_match", "flash", "flash"]


SIDES = st.integers(1, 20_000)
OUTPUTS = st.sampled_from([(256, 256), (1024, 1024), (2048, 2048), (3104, 1312), (1440, 2560)])


@settings(max_examples=200, deadline=None)
@given(SIDES, SIDES, OUTPUTS, st.integers(1, MAX_REFERENCES), st.booleans())
def test_every_picture_gets_a_size_or_a_sentence(
    width: int, height: int, output: tuple[int, int], count: int, layout: bool
) -> None:
    try:
        plans = prepare_sizes([(width, height)] * count, *output, layout=layout)
    except RequestError as error:
        assert error.field is not None
        assert isinstance(error.limit, int)
        assert max(width, height) / min(width, height) > 3  # nothing ordinary is refused
        return
    side = patch_side(count + layout, *output)
    for plan in plans:
        assert all(px > 0 and px % 32 == 0 for px in (*plan.size, *plan.vision))
        assert plan.size[0] * plan.size[1] <= side * side
        scaled, (new_width, new_height) = plan.fittings[-1].scaled, plan.size
        assert scaled[0] >= new_width
        assert scaled[1] >= new_height  # what is cropped was there
        assert all(px % 32 == 0 for px in PROCESSOR.seen_size(plan.vision))


@pytest.mark.parametrize(
    ("layout", "field"),
    [([], "layout"), ([[0, 1, 0, 1]] * 3, "layout"), ([0.1, 0.15, 0.2, 0.36], "layout.0"), ([[0, 1, 0]], "layout.0"),
     ([[0, 1, 0, 1], [0, 1.5, 0, 1]], "layout.1"), ([[0.5, 0.5, 0, 1]], "layout.0"), ([[0, 1, -0.1, 1]], "layout.0"),
     ([[0, float("nan"), 0, 1]], "layout.0"), ([[0, "1", 0, 1]], "layout.0"), ([[1, 1, 0, 1]], "layout.0")],
)  # fmt: skip
def test_a_wrong_box_is_named(layout: list, field: str) -> None:
    with pytest.raises(RequestError) as caught:
        boxes_in_px(layout, 512, 512, references=2)
    assert caught.value.field == field


def test_boxes_may_be_drawn_from_any_corner() -> None:
    (one,) = boxes_in_px([[0.75, 0.25, 0.5, 0.1]], 512, 256, references=1)
    assert (one.left, one.top, one.right, one.bottom) == (128, 26, 384, 128)


def test_pictures_are_prepared_without_torch() -> None:
    code = (
        "import sys, hidream_studio.image.references, hidream_studio.job.references; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
