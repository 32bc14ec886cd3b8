"""Does a picture show what its prompt asks for? Knows o1-tiny's small world by its templates; needs no learned model.

What has one colour is grouped, and the asked shape must fit a group better than every other shape does; textures are
told by which pattern they correlate with, signs are read letter by letter. Whatever a prompt leaves out may be drawn in
any way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from o1_tiny.sight.background import MIN_BLOB_SHARE, MIN_MATCH, guess, largest_blob, main_color, matches
from o1_tiny.sight.colors import Mask, Pixels, View, color_names, is_color, look
from o1_tiny.sight.signs import Reading, read_signs
from o1_tiny.sight.textures import texture_of
from o1_tiny.sight.things import Fit, find, silhouette
from o1_tiny.world.captions import Asked, AskedSign, AskedThing
from o1_tiny.world.scenes import PLACES, Background

__all__ = ["Found", "Pixels", "Verdict", "check", "color_names"]

MIN_IOU = 0.6  # of the asked shape, which must also fit as well as any other
IOU_SLACK = 0.01  # so much better may another shape fit: templates are moved in steps
MIN_RADIUS = 0.07  # of the short side; the smallest things have 0.115
PLACE_TOLERANCE = 0.12  # places are 0.25 apart; what is named in a row or a corner of three is 0.0625 off
SIZE_LIMITS = {"small": (0.0, 0.134), "medium": (0.131, 0.19), "large": (0.185, 1.0)}  # radii
MIN_RELATION, MAX_SLANT = 0.08, 0.8  # of two things: how far apart along their relation, and how much across it
RIM_PX = 4.0  # on the grid: around a thing nothing is said of the background


@dataclass(frozen=True)
class Found:
    """Something seen in the picture."""

    shape: str
    color: str
    texture: str  # also "smeared": none that has a name
    iou: float
    x: float  # of the width
    y: float  # of the height
    radius: float  # of the shorter side


@dataclass(frozen=True)
class Verdict:
    """What is wrong, in words; nothing wrong means that the picture shows what was asked."""

    wrong: tuple[str, ...]
    things: tuple[Found | None, ...]  # as asked, in order
    text: str | None  # what the sign reads

    @property
    def right(self) -> bool:
        return not self.wrong


def check(pixels: Pixels, asked: Asked) -> Verdict:
    """Compare a picture, (height, width, 3) in 0 to 255, with everything that its prompt says.

    Each thing is looked for by its own colour: of prompts for two things of one colour and shape most right pictures
    are rejected too, so `world.prompts` asks for none.
    """
    view = look(pixels)
    wrong: list[str] = []
    free = np.ones(view.names.shape, dtype=bool)  # what nothing that was asked for covers
    things = tuple(_thing(view, thing, free, wrong) for thing in asked.things)
    text, sign_at = None, None
    if asked.sign is not None:
        text, sign_at = _sign(view, asked.sign, free, wrong)
    _relation(asked.relation, things, sign_at, wrong)
    _surroundings(view, asked.background, free, wrong)
    return Verdict(tuple(wrong), things, text)


def _thing(view: View, asked: AskedThing, free: Mask, wrong: list[str]) -> Found | None:
    """The asked thing, if it is there; it is taken out of what is free."""
    what = f"{asked.color} {asked.shape}"
    seen = find(view, asked.color, textured=asked.texture != "plain")
    fit = max((_as_asked(fits, asked.shape, view.short) for fits in seen), key=_sureness, default=None)
    if fit is None:
        others = ", ".join(f"{fits[0].shape} {fits[0].iou:.2f}" for fits in seen[:4])
        wrong.append(f"no {what}" + (f", but in {asked.color}: {others}" if others else ""))
        return None
    rows, columns = view.names.shape
    texture = texture_of(view, fit, asked.color)
    found = Found(fit.shape, asked.color, texture, fit.iou, fit.x / columns, fit.y / rows, fit.radius / view.short)
    free &= ~silhouette(view, fit, RIM_PX + 0.06 * fit.radius)
    if texture != asked.texture:
        wrong.append(f"the {what} is {texture}, not {asked.texture}")
    if asked.place is not None and not _at(found.x, found.y, asked.place):
        wrong.append(f"the {what} is at ({found.x:.2f}, {found.y:.2f}), not {asked.place}")
    if asked.size is not None:
        low, high = SIZE_LIMITS[asked.size]
        if not low <= found.radius <= high:
            wrong.append(f"the {what} has radius {found.radius:.3f}: not {asked.size}")
    return found


def _as_asked(fits: list[Fit], shape: str, short: int) -> Fit | None:
    """The asked shape's fit, where no other shape fits better."""
    fit = next(one for one in fits if one.shape == shape)
    good = fit.iou >= max(MIN_IOU, fits[0].iou - IOU_SLACK) and fit.radius >= MIN_RADIUS * short
    return fit if good else None


def _sureness(fit: Fit | None) -> float:
    return fit.iou if fit is not None else -1.0


def _at(x: float, y: float, place: str) -> bool:
    center_x, center_y = PLACES[place]
    return abs(x - center_x) <= PLACE_TOLERANCE and abs(y - center_y) <= PLACE_TOLERANCE


def _sign(view: View, asked: AskedSign, free: Mask, wrong: list[str]) -> tuple[str | None, tuple[float, float] | None]:
    """What the sign says and where it stands, (x, y) of width and height."""
    readings = read_signs(view, asked.board, asked.ink, asked.text)
    readings = [reading for reading in readings if free[reading.box].mean() > 0.5]
    if not readings:
        wrong.append(f"no {asked.board or 'sign'} board")
        return None, None
    best: Reading = readings[0]
    rows, columns = best.box
    rim = round(RIM_PX)
    free[max(rows.start - rim, 0) : rows.stop + rim, max(columns.start - rim, 0) : columns.stop + rim] = False
    if best.text != asked.text:
        wrong.append(f"the {best.board} sign reads {best.text!r} ({best.score:.2f}), not {asked.text!r}")
    if asked.ink is not None and not best.in_ink:
        wrong.append(f"the letters are not {asked.ink}")
    x, y = best.middle[0] / free.shape[1], best.middle[1] / free.shape[0]
    if asked.place is not None and not _at(x, y, asked.place):
        wrong.append(f"the sign is at ({x:.2f}, {y:.2f}), not {asked.place}")
    return best.text, (x, y)


def _relation(
    relation: str | None, things: tuple[Found | None, ...], sign_at: tuple[float, float] | None, wrong: list[str]
) -> None:
    if relation is None or not things or things[0] is None:
        return
    second = things[1] if len(things) > 1 else None
    other = sign_at if second is None else (second.x, second.y)
    if other is None:
        return
    x, y = other[0] - things[0].x, other[1] - things[0].y
    along, across = {"left of": (x, y), "right of": (-x, y), "above": (y, x), "below": (-y, x)}[relation]
    if along < MIN_RELATION or abs(across) > MAX_SLANT * along:
        wrong.append(f"the first is not {relation} the second: ({x:.2f}, {y:.2f}) apart")


def _surroundings(view: View, asked: Background | None, free: Mask, wrong: list[str]) -> None:
    """The background where it was said; and that nothing stands out from it."""
    if not free.any():
        return
    if asked is not None:
        pattern, near = asked.pattern, matches(view, asked)
        share = float(near[free].mean())
        if share < MIN_MATCH[pattern]:
            wrong.append(f"the background is {share:.0%} {asked.color} {pattern}")
        elif pattern == "plain" and not is_color(levels := main_color(view, free), asked.color):
            wrong.append(f"the background is {levels}, not {asked.color}")
    else:
        guessed = guess(view, free)
        if guessed is None:
            return
        pattern, near = guessed
    share = largest_blob(view, free & ~near, pattern)
    if share > MIN_BLOB_SHARE:
        wrong.append(f"something else covers {share:.1%} of the picture")
