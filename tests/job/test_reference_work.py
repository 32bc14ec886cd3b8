"""What pictures as input add to a picture's work: near the figures that were counted for upstream's own forward."""

from __future__ import annotations

import pytest

from hidream_studio.job.workload import SHAPE_8B, Workload, forward_flop


@pytest.mark.parametrize(
    ("references", "vision", "times"),  # the forward's cost, of one from words alone
    [(4096, 146, 2.4), (2 * 2304, 2 * 146, 2.6), (4 * 1024, 4 * 146, 2.4), (10 * 256, 10 * 66, 1.9)],
)
def test_references_make_a_forward_dearer(references: int, vision: int, times: float) -> None:
    words = forward_flop(SHAPE_8B, 4096, 60)
    assert forward_flop(SHAPE_8B, 4096, 60 + vision, references) / words == pytest.approx(times, rel=0.08)


def test_the_last_layer_answers_for_the_target_alone() -> None:
    edit = forward_flop(SHAPE_8B, 4096, 206, 4096)
    as_one_picture = forward_flop(SHAPE_8B, 8192, 206)
    assert 0.97 < edit / as_one_picture < 0.99


def test_both_branches_of_a_step_see_the_references() -> None:
    guided = Workload(4096, 1, 206, 158, 4096).steps_flop(SHAPE_8B)
    alone = Workload(4096, 1, 206, None, 4096).steps_flop(SHAPE_8B)
    assert 1.9 < guided / alone < 2
