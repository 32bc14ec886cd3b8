"""The check of o1-tiny's pictures is neither too strict nor too kind: small faults pass, real ones are seen."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from o1_tiny.adherence import check
from o1_tiny.sight.colors import color_names, look, opened
from o1_tiny.sight.signs import read_signs
from o1_tiny.sight.textures import texture_of
from o1_tiny.sight.things import find, silhouette
from o1_tiny.world.captions import Asked, AskedSign, AskedThing
from o1_tiny.world.palette import PALETTE, PALETTE_NAMES
from o1_tiny.world.prompts import judged_scene
from o1_tiny.world.render import render
from o1_tiny.world.scenes import (
    PATTERNS,
    PLACES,
    RADII,
    TEXTURES,
    Background,
    Scene,
    Sign,
    Texture,
    Thing,
    letter_height,
)
from o1_tiny.world.shapes import SHAPES

Pixels = npt.NDArray[np.uint8]

GREEN = Background("plain", "light green", "light green")
STAR = Thing("star", "purple", "plain", "medium", RADII["medium"], 0.5, 0.5, "center")


def alone(thing: Thing, background: Background = GREEN, *more: Thing) -> Scene:
    return Scene("one", background, (thing, *more), None, "free")


def asked_for(thing: Thing, background: Background | None = GREEN) -> Asked:
    said = AskedThing(thing.shape, thing.color, thing.texture, thing.size, thing.place)
    return Asked("", (said,), None, None, background)


def warped(picture: Pixels, cells: int, px: float) -> Pixels:
    """The picture with every point moved by up to `px`, smoothly over about a side's 1 / `cells`."""
    height, width, _ = picture.shape
    rng = np.random.default_rng(cells)
    down, across = (
        ndimage.zoom(rng.uniform(-px, px, (cells, cells)), (height / cells, width / cells), order=3) for _ in range(2)
    )
    row, column = np.mgrid[:height, :width].astype(np.float32)
    moved = [
        ndimage.map_coordinates(picture[..., band].astype(np.float32), [row + down, column + across], order=1,
                                mode="nearest") for band in range(3)
    ]  # fmt: skip
    return np.stack(moved, axis=-1).round().astype(np.uint8)


def levels(values: npt.NDArray[np.floating]) -> Pixels:
    return values.round().clip(0, 255).astype(np.uint8)


FAINT_FAULTS = {
    "blur": lambda picture: levels(ndimage.gaussian_filter(picture.astype(np.float32), (1.4, 1.4, 0))),
    "noise": lambda picture: levels(picture + np.random.default_rng(0).uniform(-6, 6, picture.shape)),
    "shift of colour": lambda picture: levels(picture + np.array([6.0, -5.0, 4.0])),
    "warp": lambda picture: warped(picture, 5, 3.5),
    "wobbling edges": lambda picture: warped(picture, 24, 2.5),
}


@pytest.mark.parametrize("fault", FAINT_FAULTS)
@pytest.mark.parametrize("which", ["two", "three", "texture", "sign"])
def test_what_an_eye_would_call_right_passes(which, fault):
    random = Random(f"faint {which}")
    drawn = [found for found in (judged_scene(which, random) for _ in range(20)) if found is not None][:3]
    wrong = [check(FAINT_FAULTS[fault](render(scene, 256, 256)), asked).wrong for scene, asked in drawn]
    assert wrong == [()] * len(drawn)


@pytest.mark.parametrize("size", [(256, 256), (384, 384), (512, 512), (608, 416)])
def test_a_thing_is_found_where_it_was_drawn_in_every_size(size):
    thing = replace(STAR, x=0.3, y=0.6, place=None)
    found = check(render(alone(thing), *size), asked_for(thing)).things[0]
    assert found is not None and found.iou > 0.9
    assert abs(found.x - 0.3) < 0.01 and abs(found.y - 0.6) < 0.01 and abs(found.radius - RADII["medium"]) < 0.008


@pytest.mark.parametrize("shape", SHAPES)
def test_every_other_shape_is_told_from_the_asked_one(shape):
    picture = render(alone(replace(STAR, shape=shape, radius=RADII["small"], size="small")), 256, 256)
    for other in SHAPES:
        asked = asked_for(replace(STAR, shape=other, size="small"))
        assert check(picture, asked).right == (other == shape), other


@pytest.mark.parametrize("drawn", TEXTURES)
@pytest.mark.parametrize("shape", ["triangle", "square", "heart", "circle"])
def test_textures_are_told_apart(shape, drawn):
    picture = render(alone(replace(STAR, shape=shape, texture=drawn)), 256, 256)
    for texture in TEXTURES:
        verdict = check(picture, asked_for(replace(STAR, shape=shape, texture=texture)))
        assert verdict.right == (texture == drawn), (texture, verdict.wrong)


@pytest.mark.parametrize("color", ["purple", "black", "red"])
@pytest.mark.parametrize("texture", ["striped", "dotted"])
def test_a_smeared_texture_is_none(texture: Texture, color: str):
    thing = replace(STAR, color=color, shape="circle", radius=0.25, texture=texture, size="large")
    picture = render(alone(thing), 256, 256)
    view = look(picture)
    fit = find(view, thing.color, textured=True)[0][0]
    assert texture_of(view, fit, thing.color) == texture
    mixed = picture.copy()
    inside = silhouette(view, fit)
    mixed[inside] = np.random.default_rng(1).permutation(mixed[inside])
    grainy, even = (levels(ndimage.gaussian_filter(mixed.astype(np.float32), (blur, blur, 0))) for blur in (1.5, 3))
    assert texture_of(look(grainy), fit, thing.color) == "smeared"
    assert texture_of(look(even), fit, thing.color) in ("smeared", "plain")  # a seventh of ink, all over, is a tint
    for smeared in (grainy, even):
        assert not check(smeared, asked_for(thing)).right


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("said", [True, False])
def test_an_extra_thing_is_seen_on_every_background_said_or_not(pattern, said):
    background = Background(pattern, "light green", "light green" if pattern == "plain" else "gray")
    asked = asked_for(STAR, background if said else None)
    assert check(render(alone(STAR, background), 256, 256), asked).wrong == ()
    for shape in ("star", "moon", "ring"):
        extra = Thing(shape, "black", "plain", "small", RADII["small"], 0.18, 0.2)
        verdict = check(render(alone(STAR, background, extra), 256, 256), asked)
        assert any("something else" in why for why in verdict.wrong), shape


@pytest.mark.parametrize("pattern", PATTERNS)
def test_another_background_is_seen(pattern):
    def of(pattern):
        return Background(pattern, "light green", "light green" if pattern == "plain" else "brown")

    for other in PATTERNS:
        assert check(render(alone(STAR, of(other)), 256, 256), asked_for(STAR, of(pattern))).right == (other == pattern)


def test_a_color_near_the_asked_one_is_another_color():
    brown = replace(STAR, color="brown")
    for color in ("dark orange", "dark yellow", "dark red", "black"):
        assert not check(render(alone(replace(STAR, color=color)), 256, 256), asked_for(brown)).right, color
    picture = render(alone(STAR, Background("plain", "light yellow", "light yellow")), 256, 256)
    assert not check(picture, asked_for(STAR, Background("plain", "light orange", "light orange"))).right


@pytest.mark.parametrize(("asked", "drawn"), [("small", 0.15), ("medium", 0.115), ("medium", 0.225), ("large", 0.15)])
def test_a_thing_of_another_size_is_wrong(asked, drawn):
    verdict = check(render(alone(replace(STAR, radius=drawn)), 256, 256), asked_for(replace(STAR, size=asked)))
    assert any(f"not {asked}" in why for why in verdict.wrong)


def signed(text: str, ink: str = "black", *, beside: bool = False) -> Pixels:
    sign = Sign(text, "white", ink, letter_height(len(text), beside=beside), 0.5, 0.5)
    return render(Scene("sign", GREEN, (), sign, "free"), 256, 256)


@pytest.mark.parametrize(("asked", "drawn"), ["B8", "8B", "G6", "6G", "O0", "0O", "OQ", "S5", "I1", "1I", "Z2", "RP"])
def test_letters_that_look_alike_are_told_apart(asked, drawn):
    for text, right in ((asked, True), (drawn, False), (f"A{drawn}T", False)):
        hoped = f"A{asked}T" if len(text) > 1 else asked
        said = Asked("", (), AskedSign(hoped, "white", None, None), None, GREEN)
        for beside in (False, True):  # there three letters are smaller
            assert check(signed(text, beside=beside), said).right == right


def test_letters_in_another_ink_than_asked_are_wrong():
    asked = Asked("", (), AskedSign("HI", "white", "red", None), None, GREEN)
    assert check(signed("HI", "red"), asked).right
    assert any("not red" in why for why in check(signed("HI", "blue"), asked).wrong)


def test_a_sign_of_any_board_is_read_where_none_was_asked():
    reading = read_signs(look(signed("TEA")), None, None, "TEA")[0]
    assert (reading.board, reading.text) == ("white", "TEA")


def test_lines_thinner_than_asked_are_taken_out_of_a_mask():
    mask = np.zeros((40, 50), dtype=bool)
    mask[5:20, 5:20] = True
    mask[10:12] = True
    kept = opened(mask, 3)
    assert kept[5:20, 5:20].all() and kept.sum() == 15 * 15


def test_every_color_of_the_palette_has_its_own_name_also_a_little_off():
    colors = np.array([PALETTE[name] for name in PALETTE_NAMES])
    for off in ((0, 0, 0), (5, -5, 5), (-6, 4, -5)):
        names = color_names(levels(colors + np.array(off))[None])
        assert names[0].tolist() == list(range(len(PALETTE_NAMES)))


@pytest.mark.parametrize("radius", [0.115, 0.15, 0.225, 0.3])
def test_every_size_that_is_drawn_is_told(radius):
    said = {0.115: "small", 0.15: "medium"}.get(radius, "large")
    for shape in SHAPES:
        picture = render(alone(replace(STAR, shape=shape, radius=radius)), 256, 256)
        for size in ("small", "medium", "large"):
            asked = asked_for(replace(STAR, shape=shape, size=size))
            assert check(picture, asked).right == (size == said), (shape, size)


def test_halfway_between_two_places_is_at_neither():
    picture = render(alone(replace(STAR, x=0.375)), 256, 256)
    assert not any(check(picture, asked_for(replace(STAR, place=place))).right for place in ("left", "center"))


def test_a_thing_moved_to_another_place_is_wrong():
    for place, (x, y) in PLACES.items():
        moved = replace(STAR, x=x, y=y)
        assert check(render(alone(moved), 256, 256), asked_for(STAR)).right == (place == "center")
