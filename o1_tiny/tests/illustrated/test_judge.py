"""The judge and what it is trained on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch

from o1_tiny.illustrated.answers import LABELS, MOST_LETTERS, UNTOLD, labels
from o1_tiny.illustrated.judge import LOGITS, Judge, looked_at, looking_loss, loss, right, spans
from o1_tiny.illustrated.places import painted
from o1_tiny.illustrated.scene import Scene, Sign, Thing
from o1_tiny.illustrated.training.judging import load_judge, save_judge
from o1_tiny.illustrated.training.truths import SHARD, Pool, Rows, draw_true, empty_rows, fill

POSTER = Scene("poster", sign=Sign("OK", "red", False, "center", False), ground="blue")


def test_scenes_on_a_shelf_are_those_that_are_painted_and_asked_about() -> None:
    parts, counts, waters, wanted, signs = fill(empty_rows(5), Random(3))
    random = Random(3)
    for index in range(5):
        scene = draw_true(random)
        canvas = painted(scene)
        np.testing.assert_array_equal(parts[index, : counts[index]], np.array(canvas.rows, np.float32))
        np.testing.assert_array_equal(waters[index], np.array(canvas.water, np.float32))
        assert wanted[index].tolist() == labels(scene)
        assert signs[index].any() == bool(scene.sign)


def test_processes_that_draw_scenes_need_not_import_torch() -> None:
    code = "import sys, o1_tiny.illustrated.training.judging; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class Shelves:
    """Truths without processes: each shelf holds scenes with other parts."""

    def __init__(self) -> None:
        self.shelves: list[Rows] = [empty_rows(SHARD) for _ in range(3)]
        for number, rows in enumerate(self.shelves):
            rows[1][:] = number + 1
        self.full, self.given = [2, 1, 0], []

    def take(self, *, wait: bool = False) -> int | None:
        return self.full.pop() if self.full else None

    def give_back(self, number: int) -> None:
        self.given.append(number)


def test_new_scenes_take_the_place_of_the_oldest_and_shelves_go_back() -> None:
    shelves = Shelves()
    pool = Pool(shelves, 2 * SHARD, torch.device("cpu"))  # type: ignore[arg-type]
    assert pool.counts.view(2, SHARD)[:, 0].tolist() == [1, 2]
    pool.refresh(4)
    assert pool.counts.view(2, SHARD)[:, 0].tolist() == [3, 2] and shelves.given == [0, 1, 2]
    assert pool.seen == 3 * SHARD


def test_the_loss_is_0_for_right_answers_and_asks_nothing_that_is_untold() -> None:
    wanted = torch.tensor([labels(POSTER), labels(Scene("hills", things=(Thing("house", "red", "blue", "left"),)))])
    logits = torch.zeros(2, LOGITS)
    for _, part, answers in spans(logits, wanted):
        part.scatter_(2, answers.clamp(min=0)[..., None], 40.0)
    assert float(loss(logits, wanted)) < 1e-3
    assert all(good == of for good, of in right(logits, wanted).values())
    untold = torch.full((2, LABELS), UNTOLD)
    assert float(loss(logits, untold)) == 0


@pytest.mark.parametrize(("height", "width", "cells"), [(512, 512, (13, 19)), (384, 640, (23, 28))])
def test_letters_are_looked_for_at_their_middles(height: int, width: int, cells: tuple[int, int]) -> None:
    wanted, signs = torch.tensor([labels(POSTER)]), torch.tensor(painted(POSTER).letters)
    rows, cols = (side // 8 for side in looked_at(torch.zeros(1, 3, height, width)).shape[-2:])
    looks = torch.zeros(1, MOST_LETTERS, rows * cols + 1)
    for number, at in enumerate([16 * cols + cell for cell in cells] + [rows * cols] * 2):
        looks[0, number, at] = 40.0
    assert float(looking_loss(looks, signs, wanted, height, width)) < 1e-3


def test_a_kept_judge_is_small_and_says_the_same_of_any_shape(tmp_path: Path) -> None:
    torch.manual_seed(0)
    with torch.device("meta"):
        assert sum(value.numel() for value in Judge().state_dict().values()) * 2 < 10e6
    judge = Judge(8).eval()
    save_judge(judge, tmp_path / "judge.safetensors")
    kept = load_judge(tmp_path / "judge.safetensors", torch.device("cpu"))
    with torch.no_grad():
        for picture in (torch.rand(1, 3, 256, 256) * 2 - 1, torch.rand(1, 3, 96, 160) * 2 - 1):
            said = judge(picture)
            assert said.shape == (1, LOGITS)
            torch.testing.assert_close(kept(picture), said, rtol=0.02, atol=0.02)
