"""`python3 -m o1_tiny.training.card`: the model card, from what was measured. Draws three pictures, timed here.

Knows the text (card.md beside it), the evaluation's files and the checkpoint; claims nothing that is not in them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from o1_tiny.training.evaluate import RECIPE, TABLE_CLASSES, TABLE_GUIDANCE, TABLE_SIDES, TABLE_STEPS
from o1_tiny.training.recipe import NOISE_SCALE
from o1_tiny.world.prompts import CLASSES

Row = dict[str, Any]
TEMPLATE = Path(__file__).with_name("card.md")
FULL_SIZE_PROMPTS = (
    'a red heart above a white sign that says "OK"',
    "a large yellow star in the center, dark blue background",
    "an orange circle, a cyan star and a green diamond from left to right on a light gray background",
)
SHEET_WIDTH_PX, SHEET_QUALITY = 1344, 82


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python3 -m o1_tiny.training.card", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="gets the card as README.md")
    parser.add_argument("--evaluation", type=Path, nargs="+", required=True, help="folders of training.evaluate")
    parser.add_argument("--history", required=True, help="how it was trained, as half a sentence")
    parser.add_argument("--pictures", type=Path, required=True, help="folder for the card's pictures")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    options.pictures.mkdir(parents=True, exist_ok=True)
    rows = [row for folder in options.evaluation for row in _rows(folder / "adherence.json")]
    for folder in options.evaluation:
        if (folder / "contact_sheet.png").exists():
            _sheet(folder / "contact_sheet.png", options.pictures / "contact_sheet.webp")
    link = Path(os.path.relpath(options.pictures, options.checkpoint)).as_posix()
    text = TEMPLATE.read_text(encoding="utf-8")
    for key, value in _values(options, rows, link).items():
        text = text.replace(key, value)
    (options.checkpoint / "README.md").write_text(text, encoding="utf-8")
    return 0


def _rows(path: Path) -> list[Row]:
    """With the device that each was drawn on, "cpu" or "cuda"."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return [{"device": found["device"], **row} for row in found["rows"]]


def _sheet(source: Path, target: Path) -> None:
    with Image.open(source) as sheet:
        size = (SHEET_WIDTH_PX, round(sheet.height * SHEET_WIDTH_PX / sheet.width))
        sheet.resize(size, Image.Resampling.LANCZOS).save(target, quality=SHEET_QUALITY, method=6)


def _values(options: argparse.Namespace, rows: list[Row], link: str) -> dict[str, str]:
    """What stands in the template, by its capitals; longer names first, as some are parts of others."""
    from hidream_studio.model.checkpoint import open_checkpoint

    checkpoint = open_checkpoint(str(options.checkpoint))
    config = checkpoint.config
    profile = json.loads((options.checkpoint / "profile.json").read_text(encoding="utf-8"))
    tokens = json.loads((options.checkpoint / "tokenizer_config.json").read_text(encoding="utf-8"))
    ids = {token["content"]: number for number, token in tokens["added_tokens_decoder"].items()}
    main_rows = [row for row in rows if row["plan"] == "main"]
    table_rows = [row for row in rows if row["plan"] == "table"]
    times, names = _draw_and_time(options, profile)
    return {
        "TABLE_NOISE": ", ".join(f"{scale:g}" for scale in sorted({_noise_scale(row) for row in table_rows})),
        "TABLE_COUNT": _counts(table_rows),
        "TABLE": "\n\n".join(_tables(table_rows)),
        "COUNT": str(max(row["count"]["one"] for row in main_rows)),
        "MAIN": _main_table(main_rows),
        "PICTURES": link,
        "THREE": "\n".join(f"![{p}]({link}/{name})" for p, name in zip(FULL_SIZE_PROMPTS, names, strict=True)),
        "EXAMPLES": "\n".join(f"- `{example}`" for example in profile["examples"]),
        "TIMES": times,
        "PARAMETERS": f"{checkpoint.nbytes / 2e6:.1f}",
        "HIDDEN": str(config.hidden_size), "LAYERS": str(config.layers), "BOTTLENECK": str(config.bottleneck),
        "VOCABULARY": str(config.vocab_size), "HISTORY": options.history, "TMS": ids["<|tms_token|>"],
    }  # fmt: skip


def _order(row: Row) -> tuple[Any, ...]:
    """The default recipe first, and of equal settings float32; then what differs from it more."""
    off = abs(_noise_scale(row) - RECIPE.noise_scale), abs(row["guidance"] - RECIPE.guidance_scale), row["guidance"]
    return -row["side"], -row["steps"], *off, row["sampler"], row["dtype"] != "float32", row["device"] == "cpu"


def _noise_scale(row: Row) -> float:
    return float(row.get("noise_scale", NOISE_SCALE))  # the oldest rows were drawn from training's, and do not say so


def _main_table(rows: list[Row]) -> str:
    lines = [
        "| size, steps, guidance, sampler, noise, computed in | " + " | ".join(CLASSES) + " |",
        "| --- |" + " ---: |" * len(CLASSES),
    ]
    most = max(row["count"]["one"] for row in rows)
    for row in sorted(rows, key=_order):
        name = f"{row['side']}², {row['steps']}, {row['guidance']:g}, {row['sampler']}"
        name += f", {_noise_scale(row):g}, {row['dtype']}" + (" (CPU)" if row["device"] == "cpu" else "")
        name += f", {row['count']['one']} prompts" if row["count"]["one"] < most else ""
        lines.append(
            f"| {name} | " + " | ".join(f"{row[which]:.0%}" if which in row else "–" for which in CLASSES) + " |"
        )
    return "\n".join(lines)


def _tables(rows: list[Row]) -> Iterator[str]:
    rows = sorted(rows, key=lambda row: row["count"]["one"])  # of two for one cell, the one from more prompts stays
    most = rows[-1]["count"]["one"] if rows else 0
    found = {(row["sampler"], row["side"], row["guidance"], row["steps"]): row for row in rows}
    for sampler, name in (("unipc", "UniPC"), ("euler", "Euler")):
        for side in TABLE_SIDES:
            lines = [f"**{name}, {side}²**\n", "| guidance | " + " | ".join(f"{n} steps" for n in TABLE_STEPS) + " |",
                     "| --- |" + " --- |" * len(TABLE_STEPS)]  # fmt: skip
            for guidance in TABLE_GUIDANCE:
                cells = [_cell(found.get((sampler, side, guidance, steps)), most) for steps in TABLE_STEPS]
                lines.append(f"| {guidance:g} | " + " | ".join(cells) + " |")
            yield "\n".join(lines)


def _cell(row: Row | None, most: int) -> str:
    if row is None:
        return "–"
    shares = " / ".join(f"{row[which] * 100:.0f}" for which in TABLE_CLASSES)
    return shares if row["count"]["one"] == most else f"*{shares}*"


def _counts(rows: list[Row]) -> str:
    """How many prompts a class the cells rest on."""
    counts = sorted({row["count"]["one"] for row in rows}, reverse=True)
    if not counts:
        return "none"
    most, *fewer = counts
    return f"{most}" + (f", in italics only {' or '.join(map(str, fewer))}" if fewer else "")


def _draw_and_time(options: argparse.Namespace, profile: Row) -> tuple[str, list[str]]:
    """One line of times a preset, and the names of three pictures at the default recipe."""
    from hidream_studio.engine.pipeline import Pipeline
    from hidream_studio.job.job import pin
    from hidream_studio.job.request import GenerationRequest

    pipeline = Pipeline.load(str(options.checkpoint), device="cpu", threads=options.threads)
    pipeline.warm_up()

    def drawn(prompt: str, preset: str) -> tuple[Any, float, float]:
        begin, spent = time.perf_counter(), time.process_time()
        rendering = pipeline.render(pin(GenerationRequest(prompt=prompt, seed=1, preset=preset), pipeline.profile).job)
        while True:
            try:
                next(rendering)
            except StopIteration as done:
                return done.value.pixels, time.perf_counter() - begin, time.process_time() - spent

    names = []
    for number, prompt in enumerate(FULL_SIZE_PROMPTS, start=1):
        names.append(f"full_size_{number}.png")
        Image.fromarray(drawn(prompt, "official")[0]).save(options.pictures / names[-1], optimize=True)
    lines = [f"{options.threads} threads of {_processor()}, float32, the best of three:", ""]
    for preset in profile["presets"]:
        runs = [drawn(FULL_SIZE_PROMPTS[0], preset["id"])[1:] for _ in range(3)]
        seconds, spent = min(seconds for seconds, _ in runs), min(spent for _, spent in runs)
        what = f"{preset['width']}², {preset['steps']} steps, guidance {preset['guidance_scale']:g}"
        lines.append(f"- {preset['name']} ({what}): {seconds:.1f} s; {spent:.1f} s of processor time")
    return "\n".join(lines), names


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return "an " + line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    sys.exit(main())
