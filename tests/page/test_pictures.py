from __future__ import annotations

import pytest
from pydantic import ValidationError

from hidream_studio.errors import RequestError
from hidream_studio.job.job import pin
from hidream_studio.job.profiles import profile_by_id
from hidream_studio.job.references import MAX_REFERENCES
from hidream_studio.page.regions.pictures import _tile as tile
from hidream_studio.page.state.compose import first_state, plan, recalled, restored_state, stored_state, with_room
from hidream_studio.page.state.pictures import (
    Picture,
    added,
    asked_for,
    boxed,
    in_order,
    layout_of,
    missing_words,
    references_of,
    renamed,
    together,
    without,
)

TINY = profile_by_id("o1-tiny")
LEFT, RIGHT = (0.0, 0.5, 0.1, 0.9), (0.5, 1.0, 0.1, 0.9)


def picture(number: int, **values: object) -> Picture:
    made = {"upload_id": f"{number:064x}", "width": 640, "height": 480, "file_name": f"{number}.png"}
    return Picture.model_validate({**made, **values})


def column(*pictures: Picture, **values: object):
    return first_state(TINY).changed(prompt="a star", seed="1", count=1, pictures=pictures, **values)


def test_pictures_are_asked_for_in_their_order_with_the_names_that_somebody_gave_them():
    asked = asked_for((picture(2), picture(1, role="coat")), keep_aspect=True)
    assert asked == {"references": [{"upload_id": f"{2:064x}"}, {"upload_id": f"{1:064x}", "role": "coat"}]}
    assert asked_for((), keep_aspect=True) == {}


def test_a_single_picture_keeps_its_shape_unless_that_is_switched_off_or_a_box_says_where_it_stands():
    assert asked_for((picture(1),), keep_aspect=True)["keep_aspect"] is True
    assert asked_for((picture(1),), keep_aspect=False)["keep_aspect"] is False
    boxed_one = asked_for((picture(1, box=LEFT),), keep_aspect=True)
    assert (boxed_one["keep_aspect"], boxed_one["layout"]) == (False, (LEFT,))


def test_boxes_go_with_their_pictures_and_one_between_may_not_lack():
    pictures = boxed((picture(1), picture(2), picture(3)), [LEFT, None, None])
    assert layout_of(pictures) == (LEFT,)
    with pytest.raises(RequestError, match=r"picture 1 \(2.png\) has no box, but one after it has") as caught:
        layout_of(in_order(pictures, [1, 0, 2]))
    assert caught.value.field == "layout"


@pytest.mark.parametrize("size", [(640, 480), (300, 900), (512, 512), (4000, 700)])
def test_a_size_grows_until_the_pictures_aspect_ratio_fits_and_no_further(size):
    state = column(picture(1, width=size[0], height=size[1]))
    roomy = with_room(state, TINY)
    pinned = pin(plan(roomy, TINY, random_seed=0).single(), TINY, references=references_of(roomy.pictures)).job
    assert min(pinned.width, pinned.height) == 256
    assert with_room(roomy, TINY) == roomy
    assert (roomy == state) == (size[0] == size[1])


def test_a_size_stays_where_no_shape_is_kept_or_none_would_do():
    for state in (
        column(picture(1), picture(2)), column(picture(1), keep_aspect=False), column(picture(1), size="256, 512"),
        column(picture(1, width=9000, height=30)), column(picture(1), size="what"),
    ):  # fmt: skip
        assert with_room(state, TINY) == state


def test_what_is_no_order_of_them_changes_nothing():
    pictures = (picture(1), picture(2))
    assert in_order(pictures, [1, 0]) == (picture(2), picture(1))
    for wrong in ([0], [0, 0], [0, 1, 2], [-1, 0]):
        assert in_order(pictures, wrong) == pictures


def test_a_missing_picture_is_named_and_the_same_file_again_takes_its_place():
    pictures = (picture(1), picture(2, missing=True, role="coat", box=RIGHT))
    assert missing_words(pictures) == "Picture 2 (coat) is missing here: drop the file again."
    with pytest.raises(RequestError, match=r"picture 2 \(coat\) is missing here") as caught:
        plan(column(*pictures), TINY, random_seed=0)
    assert caught.value.field == "references"
    found = added(pictures, picture(2))
    assert found == (picture(1), picture(2, role="coat", box=RIGHT))
    assert missing_words(found) == ""


def test_of_a_picture_that_is_missing_the_dropped_file_shows_what_it_looked_like():
    lost, here = tile(picture(1, missing=True, tiny="UklGRg==")), tile(picture(1, tiny="UklGRg=="))
    assert (lost["thumb"], lost["title"]) == ("data:image/webp;base64,UklGRg==", "1.png · missing")
    assert here["thumb"].endswith(f"/{1:064x}/thumb")
    assert tile(picture(1, missing=True))["thumb"] is None
    with pytest.raises(ValidationError):
        picture(1, tiny='"><script>')


def test_the_same_picture_twice_and_one_too_many_are_refused_by_number():
    with pytest.raises(RequestError, match=r"picture 1 \(1.png\) is this very picture already"):
        added((picture(1),), picture(1))
    full = tuple(map(picture, range(MAX_REFERENCES)))
    with pytest.raises(RequestError) as caught:
        added(full, picture(MAX_REFERENCES))
    assert caught.value.limit == MAX_REFERENCES


def test_what_was_taken_out_comes_back_beside_what_came_since():
    before = (picture(1), picture(2))
    assert together(before, (picture(2), picture(3))) == (picture(1), picture(2), picture(3))
    assert len(together(tuple(map(picture, range(MAX_REFERENCES))), (picture(99),))) == MAX_REFERENCES


def test_a_name_is_kept_only_where_it_is_not_the_files_own():
    pictures = renamed((picture(1),), 0, "  the  coat ")
    assert pictures[0].name == "the coat"
    assert renamed(pictures, 0, "")[0].role is None
    assert renamed(pictures, 0, "1.png")[0].role is None
    assert without(pictures, 0) == ()


def test_pictures_survive_a_reload_of_the_page_and_a_wrong_hash_does_not():
    state = column(picture(1, box=LEFT), picture(2, role="coat"))
    assert restored_state(stored_state(state, TINY), TINY) == (state, ())
    with pytest.raises(ValidationError):
        picture(1, upload_id="../../etc/passwd")


@pytest.mark.parametrize("boxes", [(None, None), (LEFT, None), (LEFT, RIGHT)])
def test_a_recalled_job_asks_for_its_pictures_and_boxes_again(boxes):
    state = column(*(picture(number, box=box) for number, box in enumerate(boxes)))
    job = pin(plan(state, TINY, random_seed=0).single(), TINY, references=references_of(state.pictures)).job
    again = recalled(job, first_state(TINY), TINY)
    assert [(one.upload_id, one.box) for one in again.pictures] == [(one.upload_id, one.box) for one in state.pictures]
    assert pin(plan(again, TINY, random_seed=0).single(), TINY, references=references_of(again.pictures)).job == job
