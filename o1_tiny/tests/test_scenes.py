"""Scenes keep the promises that their captions and the adherence check build on."""

from __future__ import annotations

from random import Random

from o1_tiny.world.scenes import MIN_TEXTURED_RADIUS, NARROW, TEXTURES, draw_scene


def test_only_things_with_room_for_it_have_a_texture():
    random = Random(6)
    things = [thing for _ in range(3000) for thing in draw_scene(random).things]
    textured = [thing for thing in things if thing.texture != "plain"]
    assert len(textured) > 300
    assert {"striped", "dotted"} == {thing.texture for thing in textured}
    assert all(thing.radius >= MIN_TEXTURED_RADIUS and thing.shape not in NARROW for thing in textured)


def test_things_among_three_or_beside_a_sign_are_plain():
    random = Random(9)
    scenes = [draw_scene(random, kind) for kind in ("three", "sign and thing") for _ in range(400)]
    crowded = [scene for scene in scenes if scene.kind == "three" or scene.layout in ("left of", "right of")]
    assert {thing.texture for scene in crowded for thing in scene.things} == {"plain"}
    assert {thing.texture for scene in scenes if scene not in crowded for thing in scene.things} == set(TEXTURES)


def test_sizes_and_places_come_from_short_lists():
    random = Random(8)
    scenes = [draw_scene(random) for _ in range(3000)]
    radii = {(thing.size, thing.radius) for scene in scenes for thing in scene.things}
    # one radius a size word, and less where there is no room for large things: in pairs, off the center
    assert radii == {("small", 0.115), ("medium", 0.15), ("large", 0.225), ("large", 0.3)}
    spots = {(item.x, item.y) for scene in scenes for item in (*scene.things, scene.sign) if item is not None}
    assert len(spots) == 9 + 8 + 2  # the places; rows, columns and corners of three; signs beside a thing
    assert all(16 * x % 1 == 16 * y % 1 == 0 for x, y in spots)  # whole patches at 512²
    assert len({sign.letter_height for scene in scenes if (sign := scene.sign)}) == 2


def test_nothing_leaves_the_picture():
    random = Random(7)
    for thing in (thing for _ in range(3000) for thing in draw_scene(random).things):
        assert thing.radius < thing.x < 1 - thing.radius
        assert thing.radius < thing.y < 1 - thing.radius
