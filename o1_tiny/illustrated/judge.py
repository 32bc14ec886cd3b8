"""A small network that says what a picture shows, trained on true scenes alone. Knows no prompts.

It answers with logits, laid out as `answers.SPANS` says.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from o1_tiny.illustrated.answers import (
    COLOR_NAMES,
    LABELS,
    PLACE_NAMES,
    SLOT_NAMES,
    SPANS,
    THINGS,
    UNTOLD,
    Seen,
    SeenThing,
)  # fmt: skip
from o1_tiny.illustrated.letters import ADVANCE, CHARACTERS
from o1_tiny.illustrated.palette import TIMES, WEATHERS
from o1_tiny.illustrated.scene import KINDS, MOST_LETTERS, SLOTS

SIDE = 256  # pixels of the shorter side of what it looks at
LOGITS = sum(count * values for count, values in SPANS.values())
GENERAL = sum(SPANS[name][1] for name in ("place", "time", "weather", "orb", "sign"))  # the first ones
COLUMNS = (-0.05, 0.0, 0.05)  # where a slot's things are looked for, away from its middle; posters' stand a bit aside
START = 4  # px that become one place at once
READ_EVERY = 8  # px, of a picture reduced to SIDE


class Judge(nn.Module):
    """Convolutions to a thirty-second of the size and, with what they saw of the whole, back to an eighth.

    Three heads. One over all of an 8 × 8 grid, whatever the picture's shape. One that looks for every kind of thing in
    the columns of each slot: what a thing looks like is learnt once for all slots. And a reader with one look for each
    letter of a sign: weights over the places of a fine grid and one that says that there is no such letter, and one
    alphabet for all looks and places.
    """

    columns: Tensor

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        wide = 2 * width
        self.start = _convolved(3 * START**2, width, 3, 1, 1)
        self.stages = nn.ModuleList(
            nn.Sequential(*(_Rest(a * width) for _ in range(depth)), *down)
            for a, depth, down in (
                (1, 1, [_convolved(width, 2 * width, 3, 2, 1)]),
                (2, 2, []),
                (3, 2, []),
                (4, 2, []),
            )
        )
        self.downs = nn.ModuleList(_convolved(a * width, (a + 1) * width, 3, 2, 1) for a in (2, 3))
        self.across = nn.ModuleList(nn.Conv2d(a * width, wide, 1) for a in (2, 3, 4))
        self.squeeze = nn.Conv2d(4 * width, width, 1)
        self.head = nn.Sequential(nn.Linear(width * 64 + 2 * wide, 6 * width), nn.SiLU(), nn.Linear(6 * width, GENERAL))
        columns = [x + away for x in SLOTS.values() for away in COLUMNS]
        self.register_buffer("columns", torch.tensor(columns), persistent=False)
        self.finder = _convolved(wide, wide, 3, 1, 1)
        self.kinds = nn.Linear(wide, len(KINDS))
        self.kind = nn.Parameter(torch.zeros(len(KINDS), wide))
        self.thing = nn.Linear(wide, wide)
        self.facts = nn.Linear(wide, 1 + 2 * len(COLOR_NAMES))
        nn.init.constant_(self.facts.bias[:1], -4.0)  # of all that might be there, little is
        self.reader = _convolved(wide, wide, 3, 1, 1)
        self.looks = nn.Conv2d(wide, MOST_LETTERS, 1)
        self.no_look = nn.Parameter(torch.zeros(MOST_LETTERS))
        self.no_letter = nn.Parameter(torch.zeros(wide))
        self.alphabet = nn.Linear(wide, 1 + len(CHARACTERS))
        self.board = nn.Linear(wide, len(COLOR_NAMES))

    def forward(self, pictures: Tensor) -> Tensor:  # (B, 3, H, W) in [-1, 1] → (B, LOGITS)
        return self.both(pictures)[0]

    def both(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, and where the letters are looked for: (B, LOGITS); (B, MOST_LETTERS, places + 1), logits."""
        x = F.pixel_unshuffle(looked_at(pictures), START).contiguous(memory_format=torch.channels_last)
        fine = self.stages[1](self.stages[0](self.start(x)))
        middle = self.stages[2](self.downs[0](fine))
        whole = self.stages[3](self.downs[1](middle))
        far = self.across[2](whole)
        half = self.across[1](middle) + F.interpolate(far, size=middle.shape[-2:], mode="nearest")
        read = self.across[0](fine) + F.interpolate(half, size=fine.shape[-2:], mode="nearest")
        found, read = self.finder(half), self.reader(read)
        squeezed = F.interpolate(self.squeeze(whole), size=(8, 8), mode="bilinear", align_corners=False)
        means = [found.mean(dim=(2, 3)), read.mean(dim=(2, 3))]
        general = self.head(torch.cat((squeezed.flatten(1), *means), dim=1))
        letters, board, looks = self._read(read)
        return torch.cat((general, self._things(found), board, letters), dim=1).float(), looks

    def _things(self, found: Tensor) -> Tensor:  # (B, C, rows, cols) → (B, logits of there, color and second)
        B, C, rows, cols = found.shape
        at = torch.arange(cols, device=found.device)[:, None] - (self.columns * cols - 0.5)
        columns = torch.relu(1 - at.abs()).to(found.dtype)  # (cols, slots * COLUMNS): between two columns, some of both
        strips = (found @ columns).view(B, C, rows, len(SLOT_NAMES), -1).permute(0, 3, 2, 4, 1).flatten(2, 3)
        scores = self.kinds(strips).float().mT  # (B, slots, kinds, places)
        weights = scores.softmax(dim=-1)
        seen = self.thing(weights.to(strips.dtype) @ strips) + self.kind
        facts = self.facts(F.silu(seen)).transpose(1, 2).flatten(1, 2)  # (B, THINGS, values)
        sure = (weights * scores).sum(dim=-1).transpose(1, 2).flatten(1) + facts[..., 0]
        there = torch.stack((torch.zeros_like(sure), sure), dim=-1)
        first, second = facts[..., 1:].chunk(2, dim=-1)
        return torch.cat([part.flatten(1) for part in (there, first, second)], dim=1)

    def _read(self, read: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # (B, C, rows, cols)
        B, C = read.shape[:2]
        looks = torch.cat((self.looks(read).flatten(2).float(), self.no_look.float().expand(B, -1)[..., None]), dim=2)
        values = torch.cat((read.flatten(2).mT, self.no_letter.to(read.dtype).expand(B, 1, C)), dim=1)
        seen = looks.softmax(dim=-1).to(read.dtype) @ values
        return self.alphabet(seen).flatten(1), self.board(seen[:, 0]), looks


def _convolved(before: int, after: int, size: int, stride: int, pad: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(before, after, size, stride, pad, bias=False), nn.BatchNorm2d(after), nn.SiLU())


class _Rest(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            _convolved(width, width, 3, 1, 1), nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x + self.inner(x))


def looked_at(pictures: Tensor) -> Tensor:
    """Pictures reduced to what the judge was trained on: the shorter side 256 px, the longer a multiple of 32."""
    short = min(pictures.shape[-2:])
    size = [round(side * SIDE / short / 32) * 32 for side in pictures.shape[-2:]]
    if size == list(pictures.shape[-2:]):
        return pictures
    if size == [side // 2 for side in pictures.shape[-2:]]:
        return F.avg_pool2d(pictures, 2)
    return F.interpolate(pictures, size=size, mode="bilinear", antialias=short > SIDE)


def loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """Cross-entropy over everything that a picture shows, summed over its questions; wanted (B, LABELS)."""
    total = logits.new_zeros(())
    for _, part, answers in spans(logits, wanted):
        total = total + F.cross_entropy(
            part.flatten(0, 1), answers.flatten().long(), ignore_index=UNTOLD, reduction="sum"
        )
    return total / len(logits)


def looking_loss(
    looks: Tensor,  # (B, MOST_LETTERS, rows * cols + 1)
    signs: Tensor,  # (B, 4): x, y as shares of width and height, y offset and grid unit as shares of the shorter side
    wanted: Tensor,  # (B, LABELS)
    height: int,
    width: int,  # of the pictures, px
) -> Tensor:
    """Cross-entropy over where each letter is: at its middle, or nowhere."""
    places, short = looks.shape[2] - 1, min(height, width)
    size = [round(side * SIDE / short / 32) * 32 // READ_EVERY for side in (height, width)]
    rows, cols = size
    assert rows * cols == places
    there = wanted[:, -MOST_LETTERS:] > 0
    number = torch.arange(MOST_LETTERS, device=looks.device)
    away = (number - (there.sum(dim=1, keepdim=True) - 1) / 2) * ADVANCE * signs[:, 3:]
    x = (signs[:, :1] + away * short / width).clamp(0, 0.999) * cols
    y = (signs[:, 1:2] + signs[:, 2:3] * short / height).clamp(0, 0.999) * rows
    middle = (y.long() * cols + x.long()).where(there, places)
    return F.cross_entropy(looks.flatten(0, 1), middle.flatten(), reduction="sum") / len(looks)


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
