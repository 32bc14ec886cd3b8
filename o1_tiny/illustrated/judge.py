"""A small network that says what a picture shows, trained on true scenes alone. Knows no prompts.

It answers with logits, laid out as `SPANS` says: place, time, weather, sun or moon, and for each kind of thing and each
of three slots whether it is there, and its two colours; for a sign where it is, its colour and up to four letters.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from o1_tiny.illustrated.letters import CHARACTERS
from o1_tiny.illustrated.palette import COLORS, TIMES, WEATHERS
from o1_tiny.illustrated.scene import KINDS, MOST_LETTERS, PLACES, SLOTS, Scene

SIDE = 256  # pixels of the shorter side of what it looks at
COLOR_NAMES, SLOT_NAMES, PLACE_NAMES = ("", *COLORS), tuple(SLOTS), tuple(PLACES)
UNTOLD = -1
THINGS = len(KINDS) * len(SLOT_NAMES)
SPANS = {  # answers, and of how many values each
    "place": (1, len(PLACE_NAMES)), "time": (1, len(TIMES)), "weather": (1, len(WEATHERS)), "orb": (1,
        1 + len(SLOT_NAMES)),
    "there": (THINGS, 2), "color": (THINGS, len(COLOR_NAMES)), "second": (THINGS, len(COLOR_NAMES)),
    "sign": (1, 1 + len(SLOT_NAMES)), "sign_color": (1, len(COLOR_NAMES)), "letters": (MOST_LETTERS,
        1 + len(CHARACTERS)),
}  # fmt: skip
LETTER_LOGITS = MOST_LETTERS * (1 + len(CHARACTERS))  # the last ones
LABELS = sum(count for count, _ in SPANS.values())
LOGITS = sum(count * values for count, values in SPANS.values())


def labels(scene: Scene) -> list[int]:
    """The right answers, (LABELS,); UNTOLD where a picture cannot show one."""
    told = scene.place not in ("poster", "space")
    found = [
        PLACE_NAMES.index(scene.place),
        TIMES.index(scene.time) if told else UNTOLD,
        WEATHERS.index(scene.weather) if told else UNTOLD,
    ]
    found.append(1 + SLOT_NAMES.index(scene.orb) if scene.orb else 0)
    there, first, second = [0] * THINGS, [UNTOLD] * THINGS, [UNTOLD] * THINGS
    for thing in scene.things:
        at = KINDS.index(thing.kind) * len(SLOT_NAMES) + SLOT_NAMES.index(thing.slot)
        there[at], first[at], second[at] = 1, COLOR_NAMES.index(thing.color), COLOR_NAMES.index(thing.second)
        if (thing.kind == "house" and scene.snow) or thing.kind == "balloon":
            second[at] = UNTOLD  # under snow, or mixed with the other colour
    found += there + first + second
    sign = scene.sign
    found.append(1 + SLOT_NAMES.index(sign.slot) if sign else 0)
    found.append(COLOR_NAMES.index(sign.color) if sign else UNTOLD)
    text = sign.text if sign else ""
    return found + [1 + CHARACTERS.index(text[index]) if index < len(text) else 0 for index in range(MOST_LETTERS)]


class Judge(nn.Module):
    """Convolutions; one layer over all of an 8 × 8 grid, whatever the picture's shape; a reader that looks for letters.

    The reader has one look for each letter of a sign: weights over the places of a finer grid, and one alphabet for all
    looks and places, so that what a letter is need not be learnt at each place anew.
    """

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.start = nn.Sequential(nn.Conv2d(3, width, 6, 2, 2), nn.GroupNorm(8, width), nn.SiLU())
        self.stages = nn.ModuleList(_stage(a * width, b * width) for a, b in ((1, 1), (1, 2), (2, 3), (3, 4)))
        self.squeeze = nn.Conv2d(4 * width, width, 1)
        self.head = nn.Sequential(
            nn.Linear(width * 64, 8 * width), nn.SiLU(), nn.Linear(8 * width, LOGITS - LETTER_LOGITS)
        )
        self.reader = nn.Sequential(nn.Conv2d(7 * width, 3 * width, 3, 1, 1), nn.GroupNorm(8, 3 * width), nn.SiLU())
        self.looks = nn.Conv2d(3 * width, MOST_LETTERS, 1)
        self.alphabet = nn.Linear(3 * width, 1 + len(CHARACTERS))

    def forward(self, pictures: Tensor) -> Tensor:  # (B, 3, H, W) in [-1, 1] → (B, LOGITS)
        x = self.start(looked_at(pictures))
        fine = x
        for stage in self.stages:
            fine, x = x, stage(x)
        whole = F.interpolate(self.squeeze(x), size=(8, 8), mode="bilinear", align_corners=False)
        read = self.reader(torch.cat((fine, F.interpolate(x, size=fine.shape[-2:], mode="nearest")), dim=1))
        weights = self.looks(read).flatten(2).float().softmax(dim=-1)  # (B, letters, places)
        letters = self.alphabet(weights.to(read.dtype) @ read.flatten(2).mT)
        return torch.cat((self.head(whole.flatten(1)), letters.flatten(1)), dim=1)


def _stage(before: int, after: int) -> nn.Module:
    """To half the size."""
    down = nn.Sequential(nn.Conv2d(before, after, 3, 2, 1), nn.GroupNorm(8, after), nn.SiLU())
    return nn.Sequential(_Rest(before), down, _Rest(after))


class _Rest(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(width, width, 3, 1, 1), nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, width, 3, 1, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.inner(x)
        return out


def looked_at(pictures: Tensor) -> Tensor:
    """Pictures reduced to what the judge was trained on: the shorter side 256 px."""
    short = min(pictures.shape[-2:])
    if short == SIDE:
        return pictures
    size = tuple(round(side * SIDE / short) for side in pictures.shape[-2:])
    return F.interpolate(pictures, size=size, mode="area" if short > SIDE else "bilinear")


def loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """Cross-entropy over everything that a picture shows; wanted (B, LABELS)."""
    total = logits.new_zeros(())
    for name, part, answers in spans(logits, wanted):
        known = answers != UNTOLD
        lost = F.cross_entropy(part.flatten(0, 1), answers.clamp(min=0).flatten(), reduction="none").view(answers.shape)
        total = total + (lost * known).sum() / known.sum().clamp(min=1) * (4.0 if name in ("there", "letters") else 1.0)
    return total


def spans(logits: Tensor, wanted: Tensor) -> list[tuple[str, Tensor, Tensor]]:
    """Name, logits (B, count, values) and answers (B, count) of each question."""
    found, at, label = [], 0, 0
    for name, (count, values) in SPANS.items():
        found.append(
            (
                name,
                logits[:, at : at + count * values].view(-1, count, values).float(),
                wanted[:, label : label + count],
            )
        )
        at, label = at + count * values, label + count
    return found


@torch.no_grad()
def right(logits: Tensor, wanted: Tensor) -> dict[str, tuple[int, int]]:
    """By question: how many answers are right, of how many; things and letters count as right or wrong as wholes."""
    found = {}
    for name, part, answers in spans(logits, wanted):
        known = answers != UNTOLD
        good = (part.argmax(dim=-1) == answers) | ~known
        if name in ("there", "letters"):
            some = answers.new_ones(len(answers), dtype=torch.bool)
            if name == "letters":
                some = (answers > 0).any(dim=1)
            good, known = good.all(dim=1), some
        found[name] = (int((good & known).sum()), int(known.sum()))
    return found


@dataclass(frozen=True)
class SeenThing:
    kind: str
    slot: str
    color: str
    second: str


@dataclass(frozen=True)
class Seen:
    """What the judge says of one picture."""

    place: str
    time: str
    weather: str
    orb: str  # a slot, or ""
    things: tuple[SeenThing, ...]
    sign: str  # its letters
    sign_slot: str
    sign_color: str
    sure: float = field(default=1.0)  # the least probability among place, time and weather


@torch.no_grad()
def look(judge: Judge, pictures: Tensor) -> list[Seen]:
    """`pictures` (B, 3, H, W) in [-1, 1]."""
    logits = judge(pictures)
    empty = torch.zeros(len(logits), LABELS, dtype=torch.long, device=logits.device)
    by_name = {name: part for name, part, _ in spans(logits, empty)}
    best = {name: part.argmax(dim=-1).tolist() for name, part in by_name.items()}
    sure = (
        torch.stack([by_name[name].softmax(-1).amax(-1).squeeze(1) for name in ("place", "time", "weather")])
        .amin(0)
        .tolist()
    )
    return [
        _seen({name: answers[index] for name, answers in best.items()}, sure[index]) for index in range(len(logits))
    ]


def _seen(best: dict[str, list[int]], sure: float) -> Seen:
    slots = ("", *SLOT_NAMES)
    things = tuple(
        SeenThing(KINDS[at // 3], SLOT_NAMES[at % 3], COLOR_NAMES[best["color"][at]], COLOR_NAMES[best["second"][at]])
        for at in range(THINGS)
        if best["there"][at]
    )
    letters = "".join(("", *CHARACTERS)[code] for code in best["letters"])
    sign = slots[best["sign"][0]]
    return Seen(
        PLACE_NAMES[best["place"][0]], TIMES[best["time"][0]], WEATHERS[best["weather"][0]], slots[best["orb"][0]],
        things, letters if sign else "", sign, COLOR_NAMES[best["sign_color"][0]] if sign else "", sure,
    )  # fmt: skip
