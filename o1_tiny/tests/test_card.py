"""The model card says what was measured, and how much it rests on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from o1_tiny.training.card import _counts, _main_table, _rows, _tables
from o1_tiny.training.evaluate import RECIPE
from o1_tiny.world.prompts import CLASSES

SCALE, GUIDANCE = f"{RECIPE.noise_scale:g}", f"{RECIPE.guidance_scale:g}"


def row(*, count: int = 64, share: float = 0.5, dtype: str = "bfloat16", **setting: Any) -> dict[str, Any]:
    given = {"device": "cuda", "side": 512, "steps": 50, "guidance": RECIPE.guidance_scale, "sampler": "euler"}
    given |= {"noise_scale": RECIPE.noise_scale, "dtype": dtype, "count": dict.fromkeys(CLASSES, count), **setting}
    return {**given, **dict.fromkeys(CLASSES, share)}


def test_the_default_recipe_as_a_cpu_computes_it_comes_first():
    rows = [row(noise_scale=6.0), row(guidance=4.0), row(side=256, steps=24), row(), row(dtype="float32"),
            row(sampler="unipc", dtype="float32")]  # fmt: skip
    assert _main_table(rows).splitlines()[2].startswith(f"| 512², 50, {GUIDANCE}, euler, {SCALE}, float32 |")


def test_what_a_cpu_drew_says_so(tmp_path: Path):
    found = {"device": "cpu", "rows": [row(dtype="float32")]}
    del found["rows"][0]["device"]  # it stands once in the file, for all
    (tmp_path / "adherence.json").write_text(json.dumps(found), encoding="utf-8")
    table = _main_table([*_rows(tmp_path / "adherence.json"), row(dtype="float32")])
    assert [line.split("|")[1].strip() for line in table.splitlines()[2:]] == [
        f"512², 50, {GUIDANCE}, euler, {SCALE}, float32", f"512², 50, {GUIDANCE}, euler, {SCALE}, float32 (CPU)"
    ]  # fmt: skip


def test_a_line_of_fewer_prompts_says_how_many():
    table = _main_table([row(count=128), row(count=64, guidance=4.0)])
    assert table.splitlines()[3].startswith(f"| 512², 50, 4, euler, {SCALE}, bfloat16, 64 prompts |")


def test_a_class_that_was_not_judged_has_no_figure():
    partly = row()
    del partly["center"]
    assert _main_table([partly]).splitlines()[2].endswith("| 50% | – |")


def test_a_cell_rests_on_the_most_prompts_and_fewer_show():
    rows = [row(count=24, share=0.75), row(count=2, share=1.0), row(count=2, share=0.5, guidance=5.0)]
    table = next(text for text in _tables(rows) if text.startswith("**Euler, 512²**"))
    assert f"| {GUIDANCE} | – | – | – | – | – | 75 / 75 / 75 / 75 / 75 |" in table
    assert "| 5 | – | – | – | – | – | *50 / 50 / 50 / 50 / 50* |" in table
    assert _counts(rows) == "24, in italics only 2"
    assert _counts([]) == "none"
