"""Every picture against its reference: which is compared with which, at what size. The metrics live next door."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from PIL import Image

from hidream_studio.bench.checks import Judges
from hidream_studio.bench.folder import RunFolder, Sample
from hidream_studio.bench.metrics import METRICS_BY_KEY, Pixels, compare, seam_ratio
from hidream_studio.bench.plan import Asked, Plan
from hidream_studio.bench.suites import Prompt


@dataclass(frozen=True)
class PictureLoss:
    """What one picture lost; `values` by metric, only those that could be measured."""

    setting_id: str
    prompt_index: int
    prompt_class: str
    seed: int
    values: dict[str, float]
    resized: bool  # brought to the reference's size before
    wrong: tuple[str, ...] = ()  # the prompt's demands that it does not meet, where a program can tell


def measure_losses(
    plan: Plan,
    folder: RunFolder,
    judges: Judges,
    *,
    on_done: Callable[[], None] = lambda: None,
    threads: int | None = None,
) -> list[PictureLoss]:
    """One entry for each setting, prompt and seed that was drawn; in the plan's order."""
    pictures = first_pictures(folder.samples)
    jobs = [
        (setting.id, setting.reference_id, prompt_index, seed)
        for prompt_index in range(len(plan.wishes.prompts))
        for seed in plan.wishes.seeds
        for setting in plan.settings
        if (setting.id, prompt_index, seed) in pictures
    ]

    def one(job: tuple[str, str | None, int, int]) -> PictureLoss:
        setting_id, reference_id, prompt_index, seed = job
        prompt = plan.wishes.prompts[prompt_index]
        sample = pictures[setting_id, prompt_index, seed]
        reference = pictures.get((reference_id or "", prompt_index, seed))
        has_other = reference is not None and reference_id != setting_id
        loss = _loss(folder, sample, reference if has_other else None, prompt, judges)
        on_done()
        return loss

    with ThreadPoolExecutor(threads or min(os.cpu_count() or 1, 8)) as pool:
        return list(pool.map(one, jobs))


def first_pictures(samples: Iterable[Sample]) -> dict[tuple[str, int, int], Sample]:
    """The kept picture of each setting, prompt and seed: that of the earliest repeat."""
    pictures: dict[tuple[str, int, int], Sample] = {}
    for sample in sorted(samples, key=lambda sample: sample.repeat):
        pictures.setdefault((sample.setting_id, sample.prompt_index, sample.seed), sample)
    return pictures


def brought_to(pixels: Pixels, size: Asked) -> Pixels:
    """The picture at that width and height, by Lanczos both ways; itself where it has them."""
    if (pixels.shape[1], pixels.shape[0]) == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def mean_losses(losses: Sequence[PictureLoss]) -> dict[str, dict[str, float]]:
    """By setting, then by metric, the mean over prompts and seeds."""
    gathered: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for loss in losses:
        for key, value in loss.values.items():
            gathered[loss.setting_id][key].append(value)
    return {
        setting_id: {key: fmean(values[key]) for key in METRICS_BY_KEY if key in values}
        for setting_id, values in gathered.items()
    }


def _loss(folder: RunFolder, sample: Sample, reference: Sample | None, prompt: Prompt, judges: Judges) -> PictureLoss:
    pixels = folder.pixels(sample)
    values: dict[str, float] = {}
    resized = False
    if reference is not None:
        reference_pixels = folder.pixels(reference)
        size = (reference.width, reference.height)
        resized = (sample.width, sample.height) != size
        values |= compare(brought_to(pixels, size), reference_pixels)
    values["seam_ratio"] = seam_ratio(pixels)
    wrong = judges.wrong(prompt, pixels)
    if wrong is not None:
        values["adherence"] = 0.0 if wrong else 1.0
    return PictureLoss(
        sample.setting_id, sample.prompt_index, prompt.prompt_class, sample.seed, values, resized, wrong or ()
    )
