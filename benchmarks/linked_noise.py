"""Is a final the picture that its draft promised? Measured on the embedded model, for each way to get from one to it.

    python benchmarks/linked_noise.py [--count 64] [--out FOLDER] [--draft-steps 24] [--final-steps 36]

Draws many prompts at once with the studio's own model and sampler; finds things by the adherence check. The table goes
to stdout, with `--out` also to linked_noise.json (with every prompt's values) and linked_noise.png (a contact sheet).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from hidream_studio.bench.machine import describe_machine
from hidream_studio.bench.metrics import detail_energy, luma, psnr_db, reduced, ssim
from hidream_studio.job.profiles import Sampler, read_profile
from hidream_studio.settings import EMBEDDED_CHECKPOINT
from o1_tiny.adherence import Found, check, color_names
from o1_tiny.world.captions import Asked
from o1_tiny.world.prompts import PromptClass, held_out

if TYPE_CHECKING:
    from torch import Tensor

    from hidream_studio.job.request import Noise
    from hidream_studio.sampler.denoise import Predict

Pixels = npt.NDArray[np.uint8]  # (H, W, 3)

PROFILE = read_profile(EMBEDDED_CHECKPOINT / "profile.json")
RECIPE, QUICK = PROFILE.recipes["full"], PROFILE.preset("quick")

CLASSES: tuple[PromptClass, ...] = ("one", "two", "three", "texture", "sign")
POOL = 4000  # held-out prompts of a class, of which few leave everything open
FIRST_SEED, OTHER_SEED = 20_000, 50_000  # of the first prompt; each next one has the next
SAME_PLACE = 0.08  # of the side: how far a thing may move, by its centre
SAME_RADIUS = 1.3  # how much larger or smaller it may become
SAME_COLORS = 0.8  # share of all pixels whose colour must keep its name
MAX_BATCH_TOKENS = 40_960  # of pictures drawn at once, on each branch of guidance
THUMB_PX = 120


@dataclass(frozen=True)
class Look:
    """How one set of pictures is drawn, one for each prompt."""

    side: int  # px
    steps: int
    noise: Noise = "linked"
    noise_scale: float = RECIPE.noise_scale
    shift: float = RECIPE.shift
    guidance_scale: float = RECIPE.guidance_scale
    other_seed: bool = False
    strength: float | None = None  # keeps the composition of the linked draft; 0 is that draft, enlarged

    def __str__(self) -> str:
        kept = self.strength is not None
        told = [
            (kept, f"keep {self.strength}"), (self.other_seed, "fresh noise" if kept else "other seed"),
            (self.noise == "upstream", "plain noise"), (self.shift != RECIPE.shift, f"shift {self.shift:g}"),
            (self.noise_scale != RECIPE.noise_scale, f"scale {self.noise_scale:g}"),
        ]  # fmt: skip
        return ", ".join([f"{self.side} px", *(words for true, words in told if true)])


@dataclass(frozen=True)
class Pair:
    """A final beside the picture that it should resemble."""

    name: str
    draft: Look
    final: Look


def pairs(
    side: int, draft_steps: int, final_steps: int, noise_scale: float, draft_guidance: float, final_guidance: float
) -> list[Pair]:
    """Everything that is compared. At the full size, which is a bucket, linked noise is upstream's."""
    draft = Look(side // 2, draft_steps, noise_scale=noise_scale, guidance_scale=draft_guidance)
    final = Look(side, final_steps, noise_scale=noise_scale, guidance_scale=final_guidance)
    kept = [(f"keep composition {s:g}", replace(final, strength=s)) for s in (0.0, 0.3, 0.5, 0.7, 0.85, 0.95)]
    fresh = replace(final, strength=0.85, other_seed=True)
    half_scale, half_shift = noise_scale / 2, RECIPE.shift / 2
    return [
        Pair("another seed, same size", final, replace(final, other_seed=True)),
        Pair("re-render, plain seeds", replace(draft, noise="upstream"), final),
        Pair("re-render, linked", draft, final),
        Pair(f"re-render, linked, draft's scale {half_scale:g}", replace(draft, noise_scale=half_scale), final),
        Pair(f"re-render, linked, draft's shift {half_shift:g}", replace(draft, shift=half_shift), final),
        *(Pair(name, draft, look) for name, look in kept),
        Pair("keep composition 0.85, fresh noise", draft, fresh),
    ]


def open_prompts(count: int) -> list[Asked]:
    """Held-out prompts, one class after the other, that leave places, relations and the background open."""
    each = -(-count // len(CLASSES))
    found = [list(islice(filter(_open, held_out(name, POOL)), each)) for name in CLASSES]
    return [found[index % len(CLASSES)][index // len(CLASSES)] for index in range(count)]


def _open(asked: Asked) -> bool:
    places = [thing.place for thing in asked.things] + ([asked.sign.place] if asked.sign else [])
    return asked.background is None and asked.relation is None and not any(places)


class Drawer:
    """The embedded model, many prompts at once: faster than a job at a time, and equal but for rounding."""

    def __init__(self, checkpoint: Path, prompts: Sequence[str], sampler: Sampler) -> None:
        import torch

        from hidream_studio.model.checkpoint import open_checkpoint
        from hidream_studio.model.tokens import UNCONDITIONAL_PROMPT, PromptTokenizer
        from hidream_studio.model.weights import load_model

        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        dtype = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        self._model = load_model(open_checkpoint(str(checkpoint)), self.device, dtype)
        tokenizer = PromptTokenizer(checkpoint)
        self._texts = [tokenizer.encode(prompt)[:-1] for prompt in prompts]
        self._empty = tokenizer.encode(UNCONDITIONAL_PROMPT)[:-1]
        self._sampler = sampler
        self._buckets = PROFILE.buckets
        self._noise: dict[tuple[int, int, Noise], Tensor] = {}

    def draw(self, look: Look, drafts: Sequence[Pixels] | None) -> list[Pixels]:
        """One picture of each prompt; `drafts` are those whose composition is kept."""
        batch = max(1, MAX_BATCH_TOKENS // (look.side // 32) ** 2)
        starts = range(0, len(self._texts), batch)
        return [picture for start in starts for picture in self._batch(look, drafts, slice(start, start + batch))]

    def _batch(self, look: Look, drafts: Sequence[Pixels] | None, which: slice) -> list[Pixels]:
        import torch

        from hidream_studio.model.patches import from_uint8, to_uint8
        from hidream_studio.sampler.denoise import denoise, make_solver
        from hidream_studio.sampler.schedules import make_schedule

        side, strength = look.side // 32, 1.0 if look.strength is None else look.strength
        schedule = make_schedule("full", look.steps, look.shift, start_sigma=strength)
        with torch.inference_mode():
            z = self._start_noise(look, which).to(self.device) * look.noise_scale
            if drafts is not None:
                kept = torch.cat([from_uint8(_enlarged(draft, look.side)) for draft in drafts[which]])
                z = torch.lerp(kept.to(self.device), z, strength)
            solver = make_solver(self._sampler, schedule, noise_scale=look.noise_scale, seed=0, like=z)
            predict = self._predictor(self._texts[which], side, guided=look.guidance_scale > 1)
            for state in denoise(predict, z, schedule, solver, look.guidance_scale):
                z = state.z
            return [to_uint8(one[None], side, side) for one in z]

    def _start_noise(self, look: Look, which: slice) -> Tensor:  # (B, N, 3072), N(0, 1)
        import torch

        from hidream_studio.model.patches import patchify
        from hidream_studio.sampler.noise import initial_noise

        first = OTHER_SEED if look.other_seed else FIRST_SEED
        keys = [(first + index, look.side, look.noise) for index in range(len(self._texts))[which]]
        for key in keys:
            if key not in self._noise:
                seed, side, mode = key
                self._noise[key] = patchify(initial_noise(seed, side, side, 1.0, mode, self._buckets))
        return torch.cat([self._noise[key] for key in keys])

    def _predictor(self, texts: list[list[int]], side: int, *, guided: bool) -> Predict:
        import torch
        import torch.nn.functional as F

        texts = [*texts, *([self._empty] * len(texts) if guided else [])]
        length = max(len(text) for text in texts)
        length += -(length + 1 + side * side) % 8  # keys a multiple of 8, as masked attention likes it
        ids = torch.stack([F.pad(torch.tensor(text), (0, length - len(text))) for text in texts]).to(self.device)
        lengths = torch.tensor([len(text) for text in texts], device=self.device)
        mask = torch.arange(length, device=self.device) < lengths[:, None]
        prefix = self._model.encode_text(ids)

        def predict(z: Tensor, t: Tensor) -> tuple[Tensor, ...]:
            both = z.repeat(2, 1, 1) if guided else z
            found = self._model(both, t.expand(len(both)), prefix, side, side, mask)
            return found.chunk(2) if guided else (found,)

        return predict


def _enlarged(draft: Pixels, side: int) -> Pixels:
    return np.asarray(Image.fromarray(draft).resize((side, side), Image.Resampling.LANCZOS))  # as the worker does


def judge(job: tuple[Asked, list[Pair], dict[Look, Pixels]]) -> list[dict[str, Any]]:
    """One prompt's pictures, pair by pair."""
    asked, compared, pictures = job
    verdicts = {look: check(picture, asked) for look, picture in pictures.items()}
    plain = next(pair.final for pair in compared if pair.final.strength is None and not pair.final.other_seed)
    plain_detail = max(detail_energy(luma(pictures[plain])), 1e-9)
    rows = []
    for pair in compared:
        draft, final = pictures[pair.draft], pictures[pair.final]
        things, found = verdicts[pair.draft].things, verdicts[pair.final].things
        side = min(pair.draft.side, pair.final.side // 2)
        small, small_draft = (reduced(picture, picture.shape[0] // side) for picture in (final, draft))
        moved = [_moved(one, other) for one, other in zip(things, found, strict=True)]
        names, draft_names = color_names(small), color_names(small_draft)
        in_place = all(move is not None and _is_still(*move) for move in moved)
        rows.append({
            "draft_shows_things": bool(things) and None not in things,
            "moved": moved,
            "same_places": in_place,
            "same_picture": in_place and float((names == draft_names).mean()) >= SAME_COLORS,
            "psnr_db": psnr_db(small, small_draft),
            "ssim": ssim(luma(small), luma(small_draft)),
            "detail": detail_energy(luma(final)) / plain_detail,
            "draft_right": verdicts[pair.draft].right,
            "right": verdicts[pair.final].right,
            "wrong": verdicts[pair.final].wrong,
        })  # fmt: skip
    return rows


def _moved(draft: Found | None, final: Found | None) -> tuple[float, float] | None:
    """How far a thing is from where it was, in sides, and by which factor it grew or shrank; None: not in both."""
    if draft is None or final is None:
        return None
    factor = max(draft.radius, final.radius) / min(draft.radius, final.radius)
    return max(abs(draft.x - final.x), abs(draft.y - final.y)), factor


def _is_still(moved: float, factor: float) -> bool:
    return moved <= SAME_PLACE and factor <= SAME_RADIUS


def summarise(pair: Pair, rows: list[dict[str, Any]], signs: list[bool]) -> dict[str, Any]:
    """A pair's figures over all prompts. Compositions are those of drafts that show all their things."""
    shown = [row for row in rows if row["draft_shows_things"]]
    things, texts = ([row for row, sign in zip(rows, signs, strict=True) if sign == which] for which in (False, True))
    return {
        "name": pair.name, "draft": asdict(pair.draft), "final": asdict(pair.final), "drafts_judged": len(shown),
        **{key: _share(shown, key) for key in ("same_places", "same_picture")},
        **{key: statistics.median(row[key] for row in rows) for key in ("psnr_db", "ssim", "detail")},
        "draft_right": _share(things, "draft_right"), "right": _share(things, "right"),
        "sign_right": _share(texts, "right"),
    }  # fmt: skip


def _share(rows: list[dict[str, Any]], key: str) -> float | None:
    return sum(row[key] for row in rows) / len(rows) if rows else None


COLUMNS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("same_places", "same places", "{:.2f}".format), ("same_picture", "and colours", "{:.2f}".format),
    ("drafts_judged", "of drafts", str), ("psnr_db", "PSNR, dB", "{:.1f}".format), ("ssim", "SSIM", "{:.2f}".format),
    ("detail", "fine detail", "{:.2f}".format), ("draft_right", "draft as asked", "{:.2f}".format),
    ("right", "final as asked", "{:.2f}".format), ("sign_right", "sign as asked", "{:.2f}".format),
)  # fmt: skip


def markdown(table: list[dict[str, Any]]) -> str:
    lines = ["| | " + " | ".join(title for _, title, _ in COLUMNS) + " |", "|---" + "|--:" * len(COLUMNS) + "|"]
    for row in table:
        cells = [word(row[key]) if row[key] is not None else "–" for key, _, word in COLUMNS]
        lines.append(f"| {row['name']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def contact_sheet(pictures: dict[Look, list[Pixels]], prompts: list[str]) -> Image.Image:
    """Prompts from top to bottom, looks from left to right, drafts first, in 256 colours."""
    head, line = 32, 15
    looks = sorted(pictures, key=lambda look: look.side)
    sheet = Image.new("RGB", (len(looks) * THUMB_PX, head + len(prompts) * (THUMB_PX + line)), "white")
    pen = ImageDraw.Draw(sheet)
    for column, look in enumerate(looks):
        pen.multiline_text((column * THUMB_PX + 3, 3), str(look).replace(", ", "\n", 1), fill="black", spacing=2)
        for row in range(len(prompts)):
            thumb = Image.fromarray(pictures[look][row]).resize((THUMB_PX - 4, THUMB_PX - 4), Image.Resampling.LANCZOS)
            sheet.paste(thumb, (column * THUMB_PX + 2, head + row * (THUMB_PX + line) + line))
    for row, prompt in enumerate(prompts):
        pen.text((3, head + row * (THUMB_PX + line) + 2), prompt, fill="black")
    return sheet.quantize(256, dither=Image.Dither.NONE)


def draw_all(drawer: Drawer, compared: list[Pair], say: Callable[[str], None]) -> dict[Look, list[Pixels]]:
    pictures: dict[Look, list[Pixels]] = {}
    for pair in compared:
        for look in (pair.draft, pair.final):
            if look not in pictures:
                drafts = None if look.strength is None else pictures[pair.draft]
                pictures[look] = drawer.draw(look, drafts)
                say(f"drawn: {look}")
    return pictures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=64, help="prompts")
    parser.add_argument("--checkpoint", type=Path, default=EMBEDDED_CHECKPOINT, help="of the embedded model's profile")
    parser.add_argument("--side", type=int, default=512, help="of the finals, px; drafts have half of it")
    parser.add_argument("--draft-steps", type=int, default=QUICK.steps)
    parser.add_argument("--final-steps", type=int, default=36)
    parser.add_argument("--noise-scale", type=float, default=RECIPE.noise_scale, help="of the noise to start from")
    parser.add_argument("--draft-guidance", type=float, default=QUICK.guidance_scale)
    parser.add_argument("--guidance", type=float, default=RECIPE.guidance_scale, help="of the finals")
    parser.add_argument("--sampler", choices=("unipc", "euler"), default=RECIPE.sampler)
    parser.add_argument("--processes", type=int, default=1, help="that judge pictures")
    parser.add_argument("--sheet", type=int, default=8, help="prompts on the contact sheet")
    parser.add_argument("--out", type=Path, help="folder of the JSON and the contact sheet")
    options = parser.parse_args()
    begun_s = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - begun_s:5.1f} s] {text}", file=sys.stderr, flush=True)

    prompts = open_prompts(options.count)
    compared = pairs(
        options.side, options.draft_steps, options.final_steps, options.noise_scale, options.draft_guidance,
        options.guidance,
    )  # fmt: skip
    drawer = Drawer(options.checkpoint, [asked.prompt for asked in prompts], options.sampler)
    say(f"model loaded onto {drawer.device}")
    pictures = draw_all(drawer, compared, say)
    jobs = [(asked, compared, {look: drawn[i] for look, drawn in pictures.items()}) for i, asked in enumerate(prompts)]
    if options.processes > 1:
        with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
            judged = pool.map(judge, jobs, chunksize=1)
    else:
        judged = [judge(job) for job in jobs]
    say("judged")
    signs = [asked.sign is not None for asked in prompts]
    table = [summarise(pair, [rows[i] for rows in judged], signs) for i, pair in enumerate(compared)]
    print(markdown(table))
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        settings = {key: value for key, value in vars(options).items() if not isinstance(value, Path)}
        each = [{"prompt": a.prompt, "pairs": rows} for a, rows in zip(prompts, judged, strict=True)]
        record = {"machine": describe_machine(), "settings": settings, "table": table, "prompts": each}
        (options.out / "linked_noise.json").write_text(json.dumps(record) + "\n", encoding="utf-8")
        sheet = contact_sheet(pictures, [asked.prompt for asked in prompts[: options.sheet]])
        sheet.save(options.out / "linked_noise.png", optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
