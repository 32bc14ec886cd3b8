"""`python3 -m o1_tiny.training.evaluate`: how much of what prompts ask for does a checkpoint draw?

Samples in batches, judges in processes beside it. Uses the project's model and sampler; knows nothing of training.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hidream_studio.job.profiles import RecipeDefaults, read_profile
from hidream_studio.settings import EMBEDDED_CHECKPOINT
from o1_tiny.adherence import check
from o1_tiny.training.cleanness import PROMPTS as CIRCLES
from o1_tiny.training.cleanness import SMALL_THINGS, cleanness, halo
from o1_tiny.training.likeness import GROUPS, off, told
from o1_tiny.world.captions import Asked
from o1_tiny.world.prompts import CLASSES, PromptClass, held_out

if TYPE_CHECKING:
    from torch import Tensor

    from hidream_studio.model.transformer import O1Transformer

Pixels = npt.NDArray[np.uint8]

TABLE_STEPS = (4, 8, 12, 20, 28, 50)
TABLE_GUIDANCE = (1.0, 2.0, 3.0, 5.0, 7.0)
TABLE_SIDES = (256, 384, 512)
TABLE_CLASSES: tuple[PromptClass, ...] = ("one", "two", "three", "texture", "sign")
TABLE_COUNT = 48  # prompts a class
CHUNK_PICTURES = 20  # that one process judges at a time
PROFILE = read_profile(EMBEDDED_CHECKPOINT / "profile.json")
RECIPE = PROFILE.recipes["full"]
GUIDANCE = RECIPE.guidance_scale


@dataclass(frozen=True)
class Setting:
    side: int
    steps: int
    guidance: float
    sampler: str
    noise_scale: float = RECIPE.noise_scale  # of the noise to start from


class Sampler:
    """Draws many prompts at once with the project's model and sampler."""

    def __init__(self, folder: Path, device: str, *, float32: bool = False) -> None:
        import torch
        from tokenizers import Tokenizer

        from hidream_studio.model.checkpoint import open_checkpoint
        from hidream_studio.model.weights import load_model
        from o1_tiny.training.tokenizer import encode

        dtype = torch.bfloat16 if device == "cuda" and not float32 else torch.float32
        self.dtype = str(dtype).removeprefix("torch.")
        self.model: O1Transformer = load_model(open_checkpoint(str(folder)), device, dtype)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._encode = encode

    def draw(self, prompts: list[str], width: int, height: int, setting: Setting, seed: int) -> Tensor:
        """uint8 pictures, (B, height, width, 3). Noise is drawn on the device, so seeds differ from the studio's."""
        import torch

        from hidream_studio.model.patches import unpatchify
        from hidream_studio.sampler.denoise import denoise, make_solver
        from hidream_studio.sampler.schedules import full_schedule

        device, rows, cols = self.model.device, height // 32, width // 32
        generator = torch.Generator(device).manual_seed(seed)
        schedule = full_schedule(setting.steps, RECIPE.shift)
        with torch.inference_mode():
            z = torch.randn(len(prompts), rows * cols, 3072, generator=generator, device=device) * setting.noise_scale
            predict = self._predictor(prompts, rows, cols, guided=setting.guidance > 1)
            solver = make_solver(setting.sampler, schedule, noise_scale=setting.noise_scale, seed=seed, like=z)  # type: ignore[arg-type]
            for state in denoise(predict, z, schedule, solver, setting.guidance):
                z = state.z
            levels = ((unpatchify(z, rows, cols) + 1) * 127.5).clamp(0, 255).round().to(torch.uint8)
            return levels.permute(0, 2, 3, 1).contiguous()

    def _predictor(self, prompts: list[str], rows: int, cols: int, *, guided: bool) -> Any:
        import torch
        import torch.nn.functional as F

        texts = self._encode(self._tokenizer, [*prompts, *([" "] * len(prompts) if guided else [])])
        length = max(len(text) for text in texts)
        length += -(length + 1 + rows * cols) % 8  # keys a multiple of 8, as masked attention likes it
        ids = torch.stack([F.pad(torch.tensor(text), (0, length - len(text))) for text in texts]).to(self.model.device)
        lengths = torch.tensor([len(text) for text in texts]).to(self.model.device)
        mask = torch.arange(length, device=self.model.device) < lengths[:, None]
        prefix = self.model.encode_text(ids)

        def predict(z: Tensor, t: Tensor) -> tuple[Tensor, ...]:
            both = z.repeat(2, 1, 1) if guided else z
            found = self.model(both, t.expand(len(both)), prefix, rows, cols, mask)
            return found.chunk(2) if guided else (found,)

        return predict


def judge(pictures: Pixels, asked: list[Asked]) -> list[tuple[str, ...]]:
    """What is wrong with each picture."""
    return [check(picture, one).wrong for picture, one in zip(pictures, asked, strict=True)]


def _judge_shared(job: tuple[str, tuple[int, ...], int, list[Asked]]) -> list[tuple[str, ...]]:
    name, shape, start, asked = job
    memory = SharedMemory(name)
    try:
        pictures = np.ndarray(shape, dtype=np.uint8, buffer=memory.buf)[start : start + len(asked)].copy()
    finally:
        memory.close()
    return judge(pictures, asked)


class Judges:
    """Processes that judge pictures while the next ones are drawn."""

    def __init__(self, processes: int) -> None:
        os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # of each; read as they start
        self._pool = multiprocessing.get_context("spawn").Pool(processes)
        self._open: list[tuple[Any, list[Any], SharedMemory]] = []

    def give(self, label: Any, pictures: Pixels, asked: list[Asked]) -> None:
        memory = SharedMemory(create=True, size=pictures.nbytes)
        np.ndarray(pictures.shape, dtype=np.uint8, buffer=memory.buf)[:] = pictures
        jobs = [
            self._pool.apply_async(_judge_shared, ((memory.name, pictures.shape, i, asked[i : i + CHUNK_PICTURES]),))
            for i in range(0, len(asked), CHUNK_PICTURES)
        ]
        self._open.append((label, jobs, memory))

    def take(self, *, wait: bool) -> Iterator[tuple[Any, list[tuple[str, ...]]]]:
        """What is judged, in the order given; with `wait` all of it."""
        while self._open and (wait or all(job.ready() for job in self._open[0][1])):
            label, jobs, memory = self._open.pop(0)
            found = [wrong for job in jobs for wrong in job.get(120)]
            memory.close()
            memory.unlink()
            yield label, found

    @property
    def waiting(self) -> int:
        return len(self._open)

    def close(self) -> None:
        for _, _, memory in self._open:
            memory.close()
            memory.unlink()
        self._pool.terminate()


def measure(
    sampler: Sampler, judges: Judges, settings: list[Setting], prompts: dict[PromptClass, list[Asked]], deadline: float,
    say: Any, batch_tokens: int = 81_920,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Shares of prompts right in every checked respect, setting by setting, until the deadline (time.monotonic)."""
    asked = [one for ones in prompts.values() for one in ones]
    for setting in settings:
        if time.monotonic() > deadline:
            say(f"out of time before {setting}")
            break
        batch = max(1, batch_tokens // (setting.side // 32) ** 2)
        drawn = [
            sampler.draw([one.prompt for one in asked[i : i + batch]], setting.side, setting.side, setting, 7 + i).cpu()
            for i in range(0, len(asked), batch)
        ]
        judges.give(setting, np.concatenate([part.numpy() for part in drawn]), asked)
        while judges.waiting > 12:
            for label, wrong in judges.take(wait=False):
                yield _row(label, wrong, prompts)
            time.sleep(0.02)
        for label, wrong in judges.take(wait=False):
            yield _row(label, wrong, prompts)
    for label, wrong in judges.take(wait=True):
        yield _row(label, wrong, prompts)


def _row(setting: Setting, wrong: list[tuple[str, ...]], prompts: dict[PromptClass, list[Asked]]) -> dict[str, Any]:
    row: dict[str, Any] = asdict(setting)
    start = 0
    examples: list[str] = []
    for name, ones in prompts.items():
        part = wrong[start : start + len(ones)]
        row[name] = round(sum(not one for one in part) / len(ones), 4)
        examples += [f"{asked.prompt}: {'; '.join(one)}" for asked, one in zip(ones, part, strict=True) if one][:6]
        start += len(ones)
    return {**row, "wrong": examples}


def clean_row(sampler: Sampler, setting: Setting) -> dict[str, Any]:
    """How clean large circles on plain backgrounds are drawn, and what is around small things.

    Means over the circles and the small things that are there, and how many are.
    """
    circles, small = (
        sampler.draw(list(prompts), setting.side, setting.side, setting, 3).cpu().numpy()
        for prompts in (CIRCLES, SMALL_THINGS)
    )
    found = [asdict(one) for one in map(cleanness, circles) if one is not None]
    halos = [share for share in map(halo, small) if share is not None]
    means = {name: round(float(np.mean([one[name] for one in found])), 3) for name in (found[0] if found else ())}
    if halos:
        means["halo"] = round(float(np.mean(halos)), 5)
    counts = {"circles": len(found), "small_things": len(halos)}
    like = like_told(sampler, setting)
    return {"plan": "clean", "dtype": sampler.dtype, **asdict(setting), **counts, **means, "off": like}


def like_told(sampler: Sampler, setting: Setting) -> dict[str, float | int | None]:
    """Mean share of the pixels that are off the true picture, by group of scenes of which all is told.

    "elsewhere" counts those that show something else, which the means leave out.
    """
    scenes = told()
    pictures = sampler.draw([prompt for _, prompt, _ in scenes], setting.side, setting.side, setting, 5).cpu().numpy()
    shares = [off(picture, scene) for picture, (_, _, scene) in zip(pictures, scenes, strict=True)]
    means: dict[str, float | int | None] = {}
    for group in GROUPS:
        there = [share for share, (of, _, _) in zip(shares, scenes, strict=True) if of == group and share is not None]
        means[group] = round(float(np.mean(there)), 5) if there else None
    return {**means, "elsewhere": sum(share is None for share in shares)}


def table_settings() -> list[Setting]:
    """The whole degradation table, most wanted first: the default guidance first, 384² late, guidance 7 last."""
    every = [
        Setting(side, steps, guidance, sampler)
        for side in TABLE_SIDES for sampler in ("unipc", "euler")
        for guidance in TABLE_GUIDANCE for steps in TABLE_STEPS
    ]  # fmt: skip
    return sorted(every, key=lambda s: (s.guidance == 7.0, s.side == 384, s.guidance != GUIDANCE))


def main_settings(default: RecipeDefaults = RECIPE) -> list[Setting]:
    """The default recipe first, also at a draft's size and steps; the presets; what is near. None twice."""
    usual, scale = default.guidance_scale, default.noise_scale
    near = [
        *((usual, sampler, scale) for sampler in (default.sampler, "euler", "unipc")),
        *((guidance, "euler", scale) for guidance in (2.0, 3.0, 2.5, 1.5, 4.0)),
        *((guidance, "euler", other) for guidance in (2.0, 3.0) for other in (7.0, 8.0, 6.0)),
        *((guidance, "unipc", scale) for guidance in (2.0, 4.0)),
    ]
    found = [
        Setting(side, steps, guidance, sampler, other)
        for guidance, sampler, other in near for side, steps in ((512, 50), (256, 24))
    ]  # fmt: skip
    presets = [Setting(p.width, p.steps, p.guidance_scale, default.sampler, scale) for p in PROFILE.presets]
    return list(dict.fromkeys([*found[:4], *presets, *found[4:]]))


MAIN_SETTINGS = main_settings()
CLEAN_SETTINGS = [
    *(Setting(512, 50, guidance, "euler") for guidance in (1.0, 1.5, 2.0, 2.5, 3.0)),
    *(Setting(256, 24, guidance, "euler") for guidance in (1.0, 2.0, 3.0, 5.0)),
]


def contact_sheet(sampler: Sampler, setting: Setting, count: int, out: Path, thumb: int = 224) -> None:
    """`count` prompts of all classes with their pictures, 8 a row, as a PNG; the first eight also at full size."""
    from PIL import Image

    each = -(-count // len(CLASSES))
    mixed = [held_out(name, each, seed=5)[index] for index in range(each) for name in CLASSES][:count]
    prompts = [one.prompt for one in mixed]
    parts = [
        sampler.draw(prompts[i : i + 8], setting.side, setting.side, setting, 11 + i).cpu()
        for i in range(0, len(prompts), 8)
    ]
    pictures = np.concatenate([part.numpy() for part in parts])
    sheet = Image.new("RGB", (8 * thumb, -(-count // 8) * thumb))
    for index, picture in enumerate(pictures):
        small = Image.fromarray(picture).resize((thumb - 4, thumb - 4), Image.Resampling.LANCZOS)
        sheet.paste(small, (index % 8 * thumb + 2, index // 8 * thumb + 2))
    sheet.save(out / "contact_sheet.png")
    full = Image.new("RGB", (4 * setting.side, 2 * setting.side))
    for index, picture in enumerate(pictures[:8]):
        full.paste(Image.fromarray(picture), (index % 4 * setting.side, index // 4 * setting.side))
    full.save(out / "full_size.png")
    (out / "contact_sheet.txt").write_text("\n".join(prompts) + "\n", encoding="utf-8")


def outlines(sampler: Sampler, setting: Setting, out: Path) -> None:
    """What cleanness is measured on, at full size as a PNG: four large circles, four small things."""
    from PIL import Image

    prompts = [*CIRCLES[:4], *SMALL_THINGS[:4]]
    pictures = sampler.draw(prompts, setting.side, setting.side, setting, 3).cpu().numpy()
    Image.fromarray(np.concatenate([np.concatenate(row, axis=1) for row in (pictures[:4], pictures[4:])])).save(
        out / "outlines.png"
    )


def main(arguments: list[str] | None = None) -> int:
    begin = time.monotonic()
    options = _options(arguments)
    options.out.mkdir(parents=True, exist_ok=True)

    def say(text: str) -> None:
        print(f"[{time.monotonic() - begin:6.1f} s] {text}", file=sys.stderr, flush=True)

    judges = Judges(options.processes)
    try:
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
        sampler = Sampler(options.checkpoint, device, float32=options.float32)
        if options.sheet:
            recipe = Setting(options.sheet_side, RECIPE.steps, RECIPE.guidance_scale, RECIPE.sampler)
            contact_sheet(sampler, recipe, options.sheet, options.out)
            outlines(sampler, recipe, options.out)
            say("contact sheet drawn")
        deadline = begin + options.seconds
        first = options.settings > 0 and options.part.startswith("1/")  # the part that measures cleanness, too
        rows = [clean_row(sampler, setting) for setting in CLEAN_SETTINGS] if first else []
        for row in rows:
            say(json.dumps(row))
        _save(options.out / "adherence.json", rows, device)
        for name, settings, prompts in _plans(options):
            for row in measure(sampler, judges, settings, prompts, deadline, say):
                counts = {key: len(ones) for key, ones in prompts.items()}
                rows.append({"plan": name, "dtype": sampler.dtype, "count": counts, **row})
                say(json.dumps({key: value for key, value in row.items() if key != "wrong"}))
                _save(options.out / "adherence.json", rows, device)
    finally:
        judges.close()
    return 0


def _plans(options: argparse.Namespace) -> Iterator[tuple[str, list[Setting], dict[PromptClass, list[Asked]]]]:
    part, parts = (int(number) for number in options.part.split("/"))
    main = MAIN_SETTINGS[: options.settings][part - 1 :: parts]
    yield "main", main, {name: held_out(name, options.count) for name in CLASSES}
    if options.table:
        table = table_settings()[part - 1 :: parts]
        yield "table", table, {name: held_out(name, options.table_count) for name in TABLE_CLASSES}


def _save(path: Path, rows: list[dict[str, Any]], device: str) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps({"device": device, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m o1_tiny.training.evaluate", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=128, help="prompts a class at the main settings")
    parser.add_argument(
        "--settings", type=int, default=len(MAIN_SETTINGS), help="how many of the main settings; 0: cleanness neither"
    )
    parser.add_argument("--table", action="store_true", help="the whole degradation table too")
    parser.add_argument("--table-count", type=int, default=TABLE_COUNT, help="prompts a class in the table")
    parser.add_argument("--part", default="1/1", help="2/3: every third setting from the second on, to share the work")
    parser.add_argument("--seconds", type=float, default=600.0, help="no new setting is begun after so long")
    parser.add_argument("--processes", type=int, default=14, help="that judge")
    parser.add_argument("--float32", action="store_true", help="on a GPU too, as the studio runs it")
    parser.add_argument("--sheet", type=int, default=48, help="prompts on the contact sheet; 0: none")
    parser.add_argument("--sheet-side", type=int, default=512)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
