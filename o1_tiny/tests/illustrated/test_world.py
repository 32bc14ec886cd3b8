"""Scenes, captions and edits of the illustrated world, and that both painters agree."""

from __future__ import annotations

import re
from dataclasses import fields
from random import Random

import numpy as np
import pytest

from o1_tiny.illustrated.answers import LABELS, UNTOLD, labels
from o1_tiny.illustrated.captions import caption
from o1_tiny.illustrated.edits import KINDS as EDITS
from o1_tiny.illustrated.edits import draw_edit
from o1_tiny.illustrated.letters import CHARACTERS
from o1_tiny.illustrated.paint import paint
from o1_tiny.illustrated.parts import FIELDS, MAX_PARTS
from o1_tiny.illustrated.places import HOW_PLACES, painted
from o1_tiny.illustrated.scene import DRESSES, KINDS, PLACES, SHAPES, Scene, Sign, Thing, draw_scene
from o1_tiny.illustrated.things import HOW
from o1_tiny.illustrated.training.words import WORDS


def scenes(count: int, seed: int = 0) -> list[Scene]:
    random = Random(seed)
    return [draw_scene(random) for _ in range(count)]


def test_every_place_and_every_thing_can_be_painted() -> None:
    assert set(HOW_PLACES) == set(PLACES)
    assert set(HOW) == set(KINDS) - set(SHAPES)
    assert {kind for _, kinds in PLACES.values() for kind in kinds} <= {*DRESSES, "sign"}


def test_no_scene_has_more_parts_than_are_painted() -> None:
    longest = max((painted(scene) for scene in scenes(150)), key=lambda canvas: len(canvas.rows))
    assert len(longest.rows) <= MAX_PARTS
    assert {len(row) for row in longest.rows} == {FIELDS}
    assert np.isfinite(np.array(longest.rows)).all()


def test_the_widest_sign_in_the_fullest_street_fits() -> None:
    things = (Thing("woman", "red", "blue", "left"), Thing("man", "black", "red", "right"))
    street = Scene("street", "night", "snowy", True, things, Sign("B883", "pink", True, "center", False), variant=1)
    assert len(painted(street).rows) <= MAX_PARTS


def test_the_same_scene_looks_the_same_twice() -> None:
    scene = scenes(1, seed=4)[0]
    first, second = painted(scene), painted(scene)
    assert first.rows == second.rows and first.water == second.water


def test_pixels_stay_between_0_and_1_in_any_shape() -> None:
    for scene, (width, height) in zip(scenes(4, seed=2), ((64, 64), (96, 64), (64, 96), (64, 64)), strict=True):
        canvas = painted(scene)
        pixels, care = paint(canvas.rows, canvas.water, width, height)
        assert pixels.shape == (height, width, 3) and care.shape == (height, width)
        assert 0 <= pixels.min() and pixels.max() <= 1 and np.isfinite(pixels).all()


def test_a_thing_of_another_colour_changes_pixels_where_it_stands_only() -> None:
    hills = Scene("hills", things=(Thing("house", "red", "brown", "left"),))
    blue = Scene("hills", things=(Thing("house", "blue", "brown", "left"),))
    a, b = (paint(painted(scene).rows, painted(scene).water, 128, 128)[0] for scene in (hills, blue))
    changed = np.abs(a - b).max(axis=2) > 0.05
    assert changed[:, :64].any() and not changed[:, 64:].any()


def test_the_kernel_paints_what_numpy_paints() -> None:
    """Two parts of each kind, mirrored in water: an interpreted kernel is slow."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("triton")
    from o1_tiny.illustrated import kernel
    from o1_tiny.illustrated.batch import draw_patches

    things = (Thing("boat", "red", "white", "left"),)
    canvases = [painted(Scene("lake", "day", "rainy", things=things)), painted(Scene("street", "night", "snowy"))]
    rows = [row for canvas in canvases for row in canvas.rows]
    some = [row for kind in range(1, 10) for row in [row for row in rows if row[0] == kind][:2]]
    assert {row[0] for row in some} == set(range(1, 10))
    parts = torch.zeros(1, MAX_PARTS, FIELDS)
    parts[0, : len(some)] = torch.tensor(some)
    stores = parts, torch.tensor([len(some)], dtype=torch.int32), torch.tensor([canvases[0].water])
    index = torch.zeros(1, dtype=torch.long)
    ours, care = draw_patches(*stores, index, 1, 2)
    theirs, their_care = kernel.paint_patches(*stores, index, 1, 2)
    assert (ours - theirs).abs().max() < 2e-5
    assert (care - their_care).abs().max() < 1e-4


def test_captions_and_edits_use_only_words_that_the_tokenizer_has() -> None:
    random = Random(1)
    prompts = [caption(scene, random).prompt for scene in scenes(300, seed=1)]
    prompts += [draw_edit(random, kind).prompt for kind in EDITS for _ in range(20)]
    used = {word for prompt in prompts for word in re.findall(r"[a-z]+", re.sub(r'"[^"]*"', "", prompt.lower()))}
    assert used <= {*WORDS, *(letter for letter in "abcdefghijklmnopqrstuvwxyz")}, used - set(WORDS)


def test_a_caption_says_only_what_its_scene_shows() -> None:
    random = Random(6)
    for scene in scenes(200, seed=6):
        asked = caption(scene, random)
        assert asked.place == scene.place
        assert asked.time in ("", scene.time) and asked.weather in ("", scene.weather) and asked.orb in ("", scene.orb)
        for said in asked.things:
            same = [thing for thing in scene.things if thing.kind == said.kind]
            assert len(same) >= said.count
            assert said.color in ("", *(thing.color for thing in same))
            assert set(said.slots) <= {thing.slot for thing in same}
        assert asked.sign == (scene.sign.text if scene.sign else "")


@pytest.mark.parametrize("kind", EDITS)
def test_an_edit_changes_what_its_kind_says_and_keeps_the_rest(kind: str) -> None:
    random, may_change = Random(9), {
        "time": {"time", "sign", "crescent"}, "weather": {"weather", "snow", "orb", "crescent"},
        "color": {"things", "sign"},
        "add": {"things", "sign"}, "remove": {"things", "sign", "orb", "crescent"}, "move": {"things", "sign", "orb"},
        "sign": {"sign"},
    }  # fmt: skip
    for _ in range(20):
        edit = draw_edit(random, kind)
        assert edit.kind == kind and edit.after not in edit.references
        if kind == "two":
            thing, land = edit.references
            assert edit.after.place == land.place and edit.after.things[0].kind == thing.things[0].kind
            continue
        before = edit.references[0]
        changed = {
            field.name for field in fields(Scene) if getattr(before, field.name) != getattr(edit.after, field.name)
        }
        assert changed <= may_change[kind], edit.prompt


def test_labels_are_whole_and_follow_the_scene() -> None:
    scene = Scene(
        "street", "night", things=(Thing("cat", "black", "", "right"),), sign=Sign("OK", "cyan", True, "center", True)
    )
    found = labels(scene)
    assert len(found) == LABELS
    assert found[-4:] == [1 + CHARACTERS.index("O"), 1 + CHARACTERS.index("K"), 0, 0]
    assert labels(Scene("poster", ground="blue"))[1] == UNTOLD
