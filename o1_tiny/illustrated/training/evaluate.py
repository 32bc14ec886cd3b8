"""`python3 -m o1_tiny.illustrated.training.evaluate`: how often a checkpoint draws what was asked."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from hidream_studio.model.patches import patchify
from o1_tiny.illustrated.captions import Asked, caption
from o1_tiny.illustrated.edits import KINDS, Edit, draw_edit
from o1_tiny.illustrated.judge import Judge, Seen, SeenThing, look
from o1_tiny.illustrated.paint import paint
from o1_tiny.illustrated.places import painted
from o1_tiny.illustrated.scene import SHAPES, Scene, draw_scene
from o1_tiny.illustrated.training.judging import FILE, load_judge
from o1_tiny.illustrated.training.recipe import Mode, editing
from o1_tiny.illustrated.training.sampling import Sampler, to_uint8

HELD_OUT_SEED = 77_000_001
RECIPES: dict[str, dict[str, Any]] = {
    "default": {"grid": (16, 16), "steps": 50, "guidance": 2.0}, "quick": {"grid": (8, 8), "steps": 24,
        "guidance": 1.0},
    "wide": {"grid": (12, 20), "steps": 50, "guidance": 2.0}, "tall": {"grid": (20, 12), "steps": 50, "guidance": 2.0},
}  # fmt: skip
PROMPTS = (
    "a woman with a red umbrella in a rainy neon street at night", "a lighthouse on a cliff at sunset, calm sea",
    "a cosy village under snowy mountains at night, full moon", "a yellow balloon over misty hills at dawn",
    "a red sailing boat on a lake at dawn, mirrored in the water", "a blue windmill on green hills on a sunny day",
    "a white house with a red roof by a mountain lake at sunset",
        "a castle with blue roofs in front of snowy mountains at dusk",
    "a cactus on the left in the desert at sunset, sun in the center", "a desert with pyramids at night, crescent moon",
    "an orange cat in a snowy street at night", "a man in a black coat in a foggy street at dusk",
    'a pink neon sign that says "CAFE" in a rainy street at night',
        'a woman in a yellow dress and a cyan neon sign that says "OK" in a neon street at night',
    "a pine forest in thick fog at dawn", "a small cottage with a red roof in a snowy forest at night",
    "a city skyline by the river at night, full moon", "a lighthouse with a beam of light at night, starry sky",
    "a sailing boat with a white sail on the left on the sea at sunset, sun on the right", "a red rocket on the moon",
    "a purple and yellow hot air balloon over snowy mountains by day", "a red windmill in a field of flowers by day",
    'a white sign that says "TEA" on a red background', "a palm tree on a tropical island at sunset",
)  # fmt: skip


def _classes() -> dict[str, Callable[[Scene], bool]]:
    def kinds(scene: Scene) -> list[str]:
        return [thing.kind for thing in scene.things]

    people = ("woman", "man", "cat")
    return {
        "place": lambda scene: not scene.things and not scene.sign and scene.place != "poster",
        "one thing": lambda scene: (
            len(scene.things) == 1 and not scene.sign and kinds(scene)[0] not in (*people, *SHAPES)
        ),
        "someone": lambda scene: len(scene.things) == 1 and not scene.sign and kinds(scene)[0] in people,
        "two things": lambda scene: len(set(kinds(scene))) == 2 and not scene.sign and scene.place != "poster",
        "two of a kind": lambda scene: (
            len(scene.things) == 2 and len(set(kinds(scene))) == 1 and scene.place != "poster"
        ),
        "sign of 1 to 3": lambda scene: scene.sign is not None and len(scene.sign.text) < 4,
        "sign of 4": lambda scene: scene.sign is not None and len(scene.sign.text) == 4,
    }


def prompts(name: str, count: int) -> list[Asked]:
    """Held-out prompts of a class; always the same ones."""
    random, wanted, found = Random(f"{HELD_OUT_SEED} {name}"), _classes()[name], []
    while len(found) < count:
        scene = draw_scene(random)
        if wanted(scene):
            found.append(caption(scene, random))
    return found


def verdict(asked: Asked, seen: Seen) -> dict[str, bool]:
    """For everything that was asked whether it is there; for what was left open nothing."""
    found: dict[str, bool] = {"place": seen.place == asked.place}
    if asked.time:
        found["time"] = seen.time == asked.time
    if asked.weather:
        found["weather"] = seen.weather == asked.weather
    if asked.orb:
        found["position of sun or moon"] = seen.orb == asked.orb
    for said in asked.things:
        same = [thing for thing in seen.things if thing.kind == said.kind]
        found["things"] = found.get("things", True) and len(same) >= said.count
        if not same:
            continue
        asked_color = not said.color or any(thing.color == said.color for thing in same)
        second = said.second
        asked_second = not second or any(_second(thing, second) for thing in same)
        if said.color or second:
            found["colors"] = found.get("colors", True) and asked_color and asked_second
        if said.slots:
            found["positions"] = found.get("positions", True) and any(thing.slot in said.slots for thing in same)
    usual = Counter(said.kind for said in asked.things for _ in range(said.count))
    found["nothing doubled"] = all(
        times <= max(usual[kind], 1) for kind, times in Counter(thing.kind for thing in seen.things).items()
    )
    if asked.sign:
        found["letters"] = seen.sign == asked.sign
        if asked.sign_color:
            found["sign's color"] = seen.sign_color == asked.sign_color
        if asked.sign_slot:
            found["sign's position"] = seen.sign_slot == asked.sign_slot
    return found


def _second(thing: SeenThing, wanted: str) -> bool:
    if wanted == "any":
        return bool(thing.second)
    if thing.kind == "balloon":
        return True  # its stripe is mixed from both colours: the judge is not asked
    return thing.second == ("" if wanted == "none" else wanted)


def shares(verdicts: Iterable[dict[str, bool]]) -> dict[str, Any]:
    good, of = Counter(), Counter()  # type: ignore[var-annotated]
    for found in verdicts:
        for name, right in {**found, "everything": all(found.values())}.items():
            good[name] += right
            of[name] += 1
    return {name: {"right": round(good[name] / of[name], 3), "of": of[name]} for name in of}


def true_pictures(scenes: list[Scene], grid: tuple[int, int], device: torch.device) -> Tensor:  # (B, 3, H, W)
    """The scenes themselves, by the kernel where there is one."""
    from o1_tiny.illustrated.batch import draw_patches
    from o1_tiny.illustrated.parts import FIELDS, MAX_PARTS

    rows, cols = grid
    if device.type != "cuda":
        pixels = [paint(canvas.rows, canvas.water, cols * 32, rows * 32)[0] for canvas in map(painted, scenes)]
        return torch.stack([torch.from_numpy(picture).permute(2, 0, 1) * 2 - 1 for picture in pixels])
    parts, counts = torch.zeros(len(scenes), MAX_PARTS, FIELDS), torch.zeros(len(scenes), dtype=torch.int32)
    waters = torch.zeros(len(scenes), 4)
    for index, canvas in enumerate(map(painted, scenes)):
        parts[index, : len(canvas.rows)] = torch.tensor(canvas.rows)
        counts[index], waters[index] = len(canvas.rows), torch.tensor(canvas.water)
    from hidream_studio.model.patches import unpatchify

    patches, _ = draw_patches(
        *(store.to(device) for store in (parts, counts, waters)), torch.arange(len(scenes), device=device), rows, cols
    )
    return unpatchify(patches, rows, cols)


def ssim(a: Tensor, b: Tensor) -> Tensor:  # (B, 3, H, W) in [-1, 1] → (B, H, W)
    """Structural similarity (Wang et al. 2004), windows of 7 × 7, of values in 0 to 1."""
    a, b = (a + 1) / 2, (b + 1) / 2

    def mean(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 7, 1, 3, count_include_pad=False)

    ma, mb = mean(a), mean(b)
    va, vb, cov = mean(a * a) - ma * ma, mean(b * b) - mb * mb, mean(a * b) - ma * mb
    one, two = 0.01**2, 0.03**2
    return ((2 * ma * mb + one) * (2 * cov + two) / ((ma * ma + mb * mb + one) * (va + vb + two))).mean(dim=1)


@dataclass(frozen=True)
class EditVerdict:
    changed: bool  # what was asked for
    kept: bool  # the rest: by the judge, and by likeness outside of the change
    likeness: float


def edit_verdicts(
    edits: list[Edit], after: Tensor, drawn: Tensor, seen: list[Seen], true: list[Seen]
) -> list[EditVerdict]:
    """`after` are the true pictures of what was asked for, `true` is what the judge says of them."""
    similar = ssim(after, drawn)
    found = []
    for index, (edit, own, wanted) in enumerate(zip(edits, seen, true, strict=True)):
        likeness = float(similar[index].mean())
        changed, kept = _compared(edit, own, wanted)
        if edit.kind not in ("time", "weather", "two"):
            kept = kept and likeness >= 0.9
        found.append(EditVerdict(changed, kept, likeness))
    return found


def _compared(edit: Edit, own: Seen, wanted: Seen) -> tuple[bool, bool]:
    """Whether the judge sees what was asked, and the rest, as in the true picture."""
    same_things, same_sign = (
        set(own.things) == set(wanted.things),
        (own.sign, own.sign_color, own.sign_slot) == (wanted.sign, wanted.sign_color, wanted.sign_slot),
    )
    time, weather, orb = own.time == wanted.time, own.weather == wanted.weather, own.orb == wanted.orb
    place = own.place == wanted.place
    kinds = {(thing.kind, thing.slot) for thing in own.things} == {(thing.kind, thing.slot) for thing in wanted.things}
    if edit.kind == "time":
        return time, place and weather and kinds and own.sign == wanted.sign
    if edit.kind == "weather":
        return weather, place and time and kinds and own.sign == wanted.sign
    if edit.kind == "sign":
        return own.sign == wanted.sign, place and time and weather and same_things
    return same_things and same_sign and orb, place and time and weather


def sheet(pictures: Tensor, columns: int, path: Path, side: int = 256) -> None:
    """A contact sheet; each picture `side` px wide."""
    every = to_uint8(pictures)
    high = round(side * every.shape[1] / every.shape[2])
    rows = -(-len(every) // columns)
    canvas = Image.new("RGB", (columns * (side + 4), rows * (high + 4)), "white")
    for index, pixels in enumerate(every):
        small = Image.fromarray(pixels).resize((side, high), Image.Resampling.LANCZOS)
        canvas.paste(small, (index % columns * (side + 4), index // columns * (high + 4)))
    canvas.save(path, quality=88)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python3 -m o1_tiny.illustrated.training.evaluate", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--judge", type=Path, required=True, help=f"folder with {FILE}")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=64, help="prompts of each class, and edits of each kind")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--recipes", nargs="*", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--classes", nargs="*", default=list(_classes()))
    parser.add_argument("--edits", nargs="*", default=list(KINDS))
    parser.add_argument("--steps", type=int, help="other than the recipes'")
    parser.add_argument("--guidance", type=float, help="other than the recipes'")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sampler, judge = Sampler(options.checkpoint, device), load_judge(options.judge / FILE, device)
    begin, report = time.monotonic(), {"drawn": {}, "true": {}, "edits": {}, "count": options.count}  # type: ignore[var-annotated]
    for name in options.classes:
        asked = prompts(name, options.count)
        for recipe in options.recipes:
            pictures = _drawn(sampler, asked, recipe, options)
            seen = _seen(judge, pictures, options.batch)
            report["drawn"].setdefault(recipe, {})[name] = shares(
                verdict(one, own) for one, own in zip(asked, seen, strict=True)
            )
            print(
                f"[{time.monotonic() - begin:5.1f} s] {recipe}, {name}: {_line(report['drawn'][recipe][name])}",
                flush=True,
            )
    for kind in options.edits:
        report["edits"][kind] = _edits(sampler, judge, kind, options)
        print(f"[{time.monotonic() - begin:5.1f} s] edit {kind}: {report['edits'][kind]}", flush=True)
    report["seconds"] = round(time.monotonic() - begin, 1)
    (options.out / "evaluation.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    _sheets(sampler, options)
    return 0


def _settings(recipe: str, options: argparse.Namespace) -> dict[str, Any]:
    chosen = {key: value for key, value in RECIPES[recipe].items() if key != "grid"}
    return chosen | {
        key: value for key, value in (("steps", options.steps), ("guidance", options.guidance)) if value is not None
    }


def _drawn(sampler: Sampler, asked: list[Asked], recipe: str, options: argparse.Namespace) -> Tensor:
    mode, pictures = Mode(RECIPES[recipe]["grid"]), []
    for start in range(0, len(asked), options.batch):
        some = [one.prompt for one in asked[start : start + options.batch]]
        pictures.append(sampler.draw(some, mode, seed=start, **_settings(recipe, options)))
    return torch.cat(pictures)


def _seen(judge: Judge, pictures: Tensor, batch: int) -> list[Seen]:
    return [seen for some in pictures.split(batch) for seen in look(judge, some)]


def draw_edits(kind: str, count: int) -> list[Edit]:
    """Held-out edits of a kind; always the same ones."""
    random = Random(f"{HELD_OUT_SEED} edit {kind}")
    return [draw_edit(random, kind) for _ in range(count)]


def _edit_pictures(
    sampler: Sampler, edits: list[Edit], options: argparse.Namespace, grid: tuple[int, int] = (16, 16)
) -> Tensor:
    mode, drawn = editing(grid, len(edits[0].references)), []
    for start in range(0, len(edits), options.batch):
        some = edits[start : start + options.batch]
        references = [
            patchify(true_pictures([edit.references[number] for edit in some], grid, sampler.device))
            for number in range(len(mode.references))
        ]
        drawn.append(
            sampler.draw([edit.prompt for edit in some], mode, references, seed=start, **_settings("default", options))
        )
    return torch.cat(drawn)


def _edits(sampler: Sampler, judge: Judge, kind: str, options: argparse.Namespace) -> dict[str, float]:
    edits = draw_edits(kind, options.count)
    after = true_pictures([edit.after for edit in edits], (16, 16), sampler.device)
    drawn = _edit_pictures(sampler, edits, options)
    found = edit_verdicts(edits, after, drawn, _seen(judge, drawn, options.batch), _seen(judge, after, options.batch))
    count = len(found)
    return {
        "changed": round(sum(one.changed for one in found) / count, 3),
            "kept": round(sum(one.kept for one in found) / count, 3),
        "likeness": round(sum(one.likeness for one in found) / count, 4), "of": count,
    }  # fmt: skip


def _sheets(sampler: Sampler, options: argparse.Namespace) -> None:
    every = [Asked(prompt) for prompt in PROMPTS]
    for recipe in options.recipes:
        sheet(_drawn(sampler, every, recipe, options), 6, options.out / f"sheet_{recipe}.webp")
    rows = []
    for kind in options.edits:
        edits = draw_edits(kind, 4)
        drawn, first = (
            _edit_pictures(sampler, edits, options),
            true_pictures([edit.references[0] for edit in edits], (16, 16), sampler.device),
        )
        rows += [picture for pair in zip(first, drawn, strict=True) for picture in pair]
    if rows:
        sheet(torch.stack(rows), 8, options.out / "sheet_edits.webp", 192)
        (options.out / "edits.txt").write_text(
            "\n".join(f"{kind}: " + " | ".join(edit.prompt for edit in draw_edits(kind, 4)) for kind in options.edits)
            + "\n",
            encoding="utf-8",
        )


def _line(found: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value['right']:.2f}" for name, value in found.items())


if __name__ == "__main__":
    sys.exit(main())
