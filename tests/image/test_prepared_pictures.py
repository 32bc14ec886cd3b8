"""Pictures made ready for the model are upstream's, pixel for pixel."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hidream_studio.image.references import digest, prepare

GOLDEN = Path(__file__).parents[1] / "data" / "golden_ref"
CASES = json.loads((GOLDEN / "cases.json").read_text(encoding="utf-8"))


def pictures(*files: str) -> list[Image.Image]:
    return [Image.open(GOLDEN / "pictures" / file).convert("RGB") for file in files]


@pytest.mark.parametrize("name", sorted(CASES))
def test_prepared_pictures_are_upstreams(name: str) -> None:
    case = CASES[name]
    kept_side = case["keep_aspect_size"] if case.get("keep_original_aspect") else None
    prepared = prepare(pictures(*case["references"]), *case["output"], layout=case.get("layout"), kept_side=kept_side)
    assert len(prepared) == len(list((GOLDEN / name).glob("ref_*.png")))
    for index, picture in enumerate(prepared):
        for kind, found in (("ref", picture.pixels), ("vision", picture.vision)):
            assert np.array_equal(found, np.asarray(Image.open(GOLDEN / name / f"{kind}_{index}.png")))


def test_preparing_changes_no_picture_that_was_given() -> None:
    given = pictures("face.png", "long.png")
    before = [np.array(picture) for picture in given]
    prepare(given, 256, 192, layout=[[0.1, 0.5, 0.1, 0.5]])
    assert all(np.array_equal(picture, old) for picture, old in zip(given, before, strict=True))


def test_six_boxes_draw_the_five_largest() -> None:
    boxes = [[0.1 * i, 0.1 * i + 0.09 + 0.01 * i, 0.1, 0.9] for i in range(6)]
    layout = prepare(pictures(*["face.png"] * 6), 512, 512, layout=boxes)[-1]
    assert layout.pixels[:, :16].max() == 0  # the smallest, on the left, is not there


def test_a_digest_tells_pixels_and_order_apart() -> None:
    one, two = prepare(pictures("face.png", "hat.png"), 256, 256)
    again = prepare(pictures("face.png", "hat.png"), 256, 256)
    assert digest([one, two]) == digest(again)
    assert len({digest(some) for some in ([one], [two], [one, two], [two, one])}) == 4
