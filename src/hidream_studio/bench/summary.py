"""From raw samples to what a table says: medians, speed-ups, fitted lines, the Pareto front. Reads no files."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from hidream_studio.bench.folder import Sample
from hidream_studio.bench.metrics import Metric
from hidream_studio.bench.plan import Asked, Plan, Setting

PARTS = ("text_s", "steps_s", "decode_s", "png_s")
WAITED_SHARE = 0.05  # a picture that waited longer than this share of its own time was disturbed by others


@dataclass(frozen=True)
class Spread:
    """Seconds of several runs of one thing."""

    median_s: float
    min_s: float
    max_s: float
    count: int

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Spread | None:
        if not seconds:
            return None
        return cls(statistics.median(seconds), min(seconds), max(seconds), len(seconds))


@dataclass(frozen=True)
class Row:
    """One setting, measured."""

    setting: Setting
    rendered: Asked
    server: Spread | None  # None: the server tells no times of its own
    client: Spread
    split_s: dict[str, float]  # medians of text_s, steps_s, decode_s, png_s
    step_s: float  # of one step
    against_reference: float | None = None  # how many times faster
    against_most_steps: float | None = None  # than the same size and guidance at most steps
    against_largest: float | None = None  # than the same steps and guidance at the largest size
    losses: dict[str, float] = field(default_factory=dict)  # means over prompts and seeds

    @property
    def time(self) -> Spread:
        return self.server or self.client

    @property
    def label(self) -> str:
        return f"{self.rendered[0]}×{self.rendered[1]}, {self.setting.resolved.steps} steps, {self.guidance}"

    @property
    def guidance(self) -> str:
        return f"g {self.setting.resolved.guidance_scale:g}"


@dataclass(frozen=True)
class LineFit:
    """Seconds over steps at one size and guidance: `seconds = base_s + step_s * steps`."""

    size: Asked
    guidance_scale: float
    step_s: float
    base_s: float
    r_squared: float
    points: tuple[tuple[int, float], ...]  # steps, median seconds


def make_rows(plan: Plan, samples: Sequence[Sample], losses: dict[str, dict[str, float]]) -> list[Row]:
    """One row for each setting that was measured at least once, largest size first, then by steps."""
    by_setting: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_setting[sample.setting_id].append(sample)
    rows = [
        _row(setting, by_setting[setting.id], losses.get(setting.id, {}))
        for setting in plan.settings
        if by_setting[setting.id]
    ]
    rows.sort(key=lambda r: (-r.rendered[0] * r.rendered[1], r.rendered, _steps(r), r.setting.resolved.guidance_scale))
    return [_with_speed_ups(row, rows) for row in rows]


def line_fits(rows: Sequence[Row]) -> list[LineFit]:
    """A line for each size and guidance that was measured at three numbers of steps or more."""
    groups: dict[tuple[Asked, float], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.rendered, row.setting.resolved.guidance_scale].append(row)
    return [
        fit_line(size, guidance, [(_steps(row), row.time.median_s) for row in group])
        for (size, guidance), group in groups.items()
        if len({_steps(row) for row in group}) >= 3
    ]


def fit_line(size: Asked, guidance_scale: float, points: Sequence[tuple[int, float]]) -> LineFit:
    """Ordinary least squares, and the share of the variance that the line explains."""
    steps = np.array([point[0] for point in points], dtype=float)
    seconds = np.array([point[1] for point in points])
    slope, base = np.polyfit(steps, seconds, 1)
    residual = float(((seconds - (base + slope * steps)) ** 2).sum())
    total = float(((seconds - seconds.mean()) ** 2).sum())
    r_squared = 1 - residual / total if total > 0 else 1.0
    return LineFit(size, guidance_scale, float(slope), float(base), r_squared, tuple(sorted(points)))


@dataclass(frozen=True)
class GuidanceRatio:
    """What a picture without the second forward takes, of what it takes with it."""

    size: Asked
    steps: int
    without: float  # guidance scale
    with_: float
    ratio: float


def guidance_ratios(rows: Sequence[Row]) -> list[GuidanceRatio]:
    """Pairs of one size and steps, guidance off and on; where no steps are equal, s per step decide (steps 0)."""
    found = []
    by_size: dict[Asked, list[Row]] = defaultdict(list)
    for row in rows:
        by_size[row.rendered].append(row)
    for size, group in by_size.items():
        off = [row for row in group if not row.setting.resolved.cfg]
        on = [row for row in group if row.setting.resolved.cfg]
        pairs = [(a, b) for a in off for b in on if _steps(a) == _steps(b)]
        for a, b in pairs or [(a, on[0]) for a in off[:1] if on]:
            same = _steps(a) == _steps(b)
            ratio = a.time.median_s / b.time.median_s if same else a.step_s / b.step_s
            guidances = (a.setting.resolved.guidance_scale, b.setting.resolved.guidance_scale)
            found.append(GuidanceRatio(size, _steps(a) if same else 0, *guidances, ratio))
    return found


def pareto_front(rows: Sequence[Row], metric: Metric) -> list[Row]:
    """The rows that no other beats in both seconds and loss, fastest first."""
    measured = [row for row in rows if metric.key in row.losses]
    front: list[Row] = []
    best = float("inf")
    for row in sorted(measured, key=lambda r: (r.time.median_s, metric.loss(r.losses[metric.key]))):
        loss = metric.loss(row.losses[metric.key])
        if loss < best:
            front.append(row)
            best = loss
    return front


def sample_notes(samples: Sequence[Sample]) -> list[str]:
    """What about the samples themselves should make a reader careful."""
    notes = []
    waited = [s for s in samples if s.queued_s is not None and s.queued_s > WAITED_SHARE * s.seconds + 0.05]
    if waited:
        notes.append(
            f"{len(waited)} of {len(samples)} pictures waited for other work on the server: seconds may be disturbed"
        )
    hashes: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        hashes[sample.picture].add(sample.pixels_sha256)
    differing = sum(len(found) > 1 for found in hashes.values())
    if differing:
        notes.append(f"{differing} of {len(hashes)} pictures came out with other pixels when they were drawn again")
    return notes


def _row(setting: Setting, samples: Sequence[Sample], losses: dict[str, float]) -> Row:
    server = Spread.of([sample.elapsed_s for sample in samples if sample.elapsed_s is not None])
    client = Spread.of([sample.client_s for sample in samples])
    assert client is not None  # callers pass at least one sample
    split = {
        part: statistics.median(values)
        for part in PARTS
        if (values := [sample.timings[part] for sample in samples if part in sample.timings])
    }
    step_s = split.get("steps_s", (server or client).median_s) / setting.resolved.steps
    return Row(setting, (samples[0].width, samples[0].height), server, client, split, step_s, losses=losses)


def _with_speed_ups(row: Row, rows: Sequence[Row]) -> Row:
    def faster_than(others: Iterable[Row], most: str) -> float | None:
        best = max(others, key=_steps if most == "steps" else _area, default=None)
        if best is None or (_steps(best), best.rendered) == (_steps(row), row.rendered):
            return None
        return best.time.median_s / row.time.median_s

    guidance = row.setting.resolved.guidance_scale
    alike = [other for other in rows if other.setting.resolved.guidance_scale == guidance]
    reference = next((r for r in rows if r.setting.id == row.setting.reference_id), None)
    return Row(
        row.setting, row.rendered, row.server, row.client, row.split_s, row.step_s,
        None if reference is None else reference.time.median_s / row.time.median_s,
        faster_than((other for other in alike if other.rendered == row.rendered), "steps"),
        faster_than((other for other in alike if _steps(other) == _steps(row)), "area"),
        row.losses,
    )  # fmt: skip


def _steps(row: Row) -> int:
    return row.setting.resolved.steps


def _area(row: Row) -> int:
    return row.rendered[0] * row.rendered[1]
