"""Contact sheets, and 100 % crops beside their reference with a map of the difference. Knows no HTML."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import uniform_filter

from hidream_studio.bench.folder import PICTURES, RunFolder, Sample
from hidream_studio.bench.losses import brought_to, first_pictures
from hidream_studio.bench.metrics import METRICS_BY_KEY, Luma, Pixels, luma
from hidream_studio.bench.report.tables import metric_value, seconds, size_text
from hidream_studio.bench.results import Results
from hidream_studio.bench.summary import Row
from hidream_studio.image.sheet import Cell, contact_sheet

CELL_SIDE_PX = 320
CROP_SIDE_PX = 256
DIFFERENCE_GAIN = 4  # a quarter of the full range is already white-hot
WEBP_QUALITY = 88  # of what the page holds; the files beside it are PNG
SHEET_CAPTION_METRICS = ("adherence", "ssim", "quarter_ssim")  # the first that was measured is written under a picture


@dataclass(frozen=True)
class Sheet:
    """All pictures of one prompt and seed."""

    prompt_index: int
    prompt: str
    seed: int
    file: str  # PNG, relative to the report
    webp: str  # data URL


@dataclass(frozen=True)
class Crop:
    """One place of one picture at 100 %, its reference, and how they differ."""

    label: str  # the setting
    note: str  # e.g. "enlarged 2.0×"
    reference: str  # data URLs
    picture: str
    difference: str


@dataclass(frozen=True)
class CropRow:
    """The crops of one prompt, all of one place."""

    prompt: str
    seed: int
    side_px: int
    crops: tuple[Crop, ...]


def write_sheets(results: Results, folder: RunFolder, out: Path) -> list[Sheet]:
    """One sheet for each prompt and seed under `out`/sheets: sizes down, variants across, seconds under each."""
    (out / "sheets").mkdir(exist_ok=True)
    pictures = first_pictures(folder.samples)
    sheets = []
    for prompt_index, prompt in enumerate(results.plan.wishes.prompts):
        for seed in results.plan.wishes.seeds:
            if not any((row.setting.id, prompt_index, seed) in pictures for row in results.rows):
                continue
            image = _sheet(results, folder, pictures, prompt_index, seed, f"{prompt.text} · seed {seed}")
            file = f"sheets/prompt{prompt_index + 1:02d}_seed{seed}.png"
            image.save(out / file, optimize=False, compress_level=6)
            sheets.append(Sheet(prompt_index, prompt.text, seed, file, _webp(image)))
    return sheets


def make_crops(results: Results, folder: RunFolder, *, prompts: int) -> list[CropRow]:
    """For the first so many prompts, at their first seed, where the reference has most detail."""
    pictures = first_pictures(folder.samples)
    by_id = {row.setting.id: row for row in results.rows}
    found = []
    for prompt_index, prompt in enumerate(results.plan.wishes.prompts[:prompts]):
        seed = results.plan.wishes.seeds[0]
        compared = [
            (row, by_id[row.setting.reference_id])
            for row in results.rows
            if row.setting.reference_id in by_id and row.setting.reference_id != row.setting.id
        ]
        crops, side = [], CROP_SIDE_PX
        for row, reference in compared:
            mine = pictures.get((row.setting.id, prompt_index, seed))
            theirs = pictures.get((reference.setting.id, prompt_index, seed))
            if mine is not None and theirs is not None:
                crop, side = _crop(folder, row, mine, theirs)
                crops.append(crop)
        if crops:
            found.append(CropRow(prompt.text, seed, side, tuple(crops)))
    return found


def busiest_place(grey: Luma, side_px: int) -> tuple[int, int]:
    """(left, top) of the square with the strongest edges, on a grid of 16 px."""
    gradient = np.abs(np.gradient(grey, axis=0)) + np.abs(np.gradient(grey, axis=1))
    means = uniform_filter(gradient, side_px, mode="constant")
    half = side_px // 2
    inside = means[half : grey.shape[0] - side_px + half + 1 : 16, half : grey.shape[1] - side_px + half + 1 : 16]
    row, column = np.unravel_index(int(np.argmax(inside)), inside.shape)
    return int(column) * 16, int(row) * 16


def difference_map(picture: Pixels, reference: Pixels) -> Pixels:
    """Mean absolute difference of the colours, black over red and yellow to white at a quarter of the range."""
    difference = np.abs(picture.astype(np.int16) - reference.astype(np.int16)).mean(axis=2) / 255
    heat = np.clip(difference * DIFFERENCE_GAIN, 0, 1)
    ramp: NDArray[np.float64] = np.stack([heat * 3, heat * 3 - 1, heat * 3 - 2], axis=2)
    return (np.clip(ramp, 0, 1) * 255).astype(np.uint8)


def _sheet(
    results: Results, folder: RunFolder, pictures: dict[tuple[str, int, int], Sample], prompt_index: int, seed: int,
    title: str,
) -> Image.Image:  # fmt: skip
    sizes = list(dict.fromkeys(row.rendered for row in results.rows))
    columns = sorted(
        {(r.setting.resolved.steps, r.setting.resolved.guidance_scale) for r in results.rows}, reverse=True
    )
    by_place = {
        (row.rendered, (row.setting.resolved.steps, row.setting.resolved.guidance_scale)): row for row in results.rows
    }
    values = {(loss.setting_id, loss.prompt_index, loss.seed): loss.values for loss in results.losses}
    grid = []
    for size in sizes:
        cells = []
        for column in columns:
            row = by_place.get((size, column))
            sample = pictures.get((row.setting.id, prompt_index, seed)) if row else None
            if row is None or sample is None:
                cells.append(Cell(None, "not measured"))
                continue
            caption = _caption(row, values.get((row.setting.id, prompt_index, seed), {}))
            cells.append(Cell(folder.path / PICTURES / sample.picture, caption))
        grid.append(cells)
    return contact_sheet(
        grid, row_labels=[size_text(size) for size in sizes],
        column_labels=[f"{steps} steps, guidance {guidance:g}" for steps, guidance in columns],
        title=title, cell_side_px=CELL_SIDE_PX,
    )  # fmt: skip


def _caption(row: Row, values: dict[str, float]) -> str:
    parts = [f"{seconds(row.time.median_s)} s"]
    if row.setting.is_reference:
        parts.append("reference")
    for key in SHEET_CAPTION_METRICS:
        if key in values:
            parts.append(f"{METRICS_BY_KEY[key].label} {metric_value(METRICS_BY_KEY[key], values[key])}")
            break
    return " · ".join(parts)


def _crop(folder: RunFolder, row: Row, mine: Sample, theirs: Sample) -> tuple[Crop, int]:
    reference = folder.pixels(theirs)
    size = (theirs.width, theirs.height)
    picture = brought_to(folder.pixels(mine), size)
    side = min(CROP_SIDE_PX, *size)
    left, top = busiest_place(luma(reference), side)
    window = (slice(top, top + side), slice(left, left + side))
    scale = theirs.width / mine.width
    note = "" if scale == 1 else f"{'enlarged' if scale > 1 else 'reduced'} {max(scale, 1 / scale):.2g}×"
    crop = Crop(
        label=row.label,
        note=note,
        reference=_webp(Image.fromarray(reference[window])),
        picture=_webp(Image.fromarray(picture[window])),
        difference=_webp(Image.fromarray(difference_map(picture[window], reference[window]))),
    )
    return crop, side


def _webp(image: Image.Image) -> str:
    out = io.BytesIO()
    image.save(out, "WEBP", quality=WEBP_QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode("ascii")
