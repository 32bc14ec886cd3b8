"""What a picture will cost before it is drawn: work counted from the model's shape, speed learned from past runs.

T = T0 + T1·tokens + Σ over forwards (a + F/R). F is counted; T0, T1, a and R are fitted. T1 is there because decoding
and PNG grow with the area. Knows neither torch nor where samples are kept.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hidream_studio.job.record import Timings
from hidream_studio.job.workload import ModelShape, Workload, text_flop

SAMPLES_PER_SETTING = 32  # so that a hundred drafts do not push the one final out of memory
SAMPLES_KEPT = 256
HALF_LIFE_SAMPLES = 64  # a machine that became slower is believed after about that many pictures
PRIOR_WEIGHT = 0.03  # of one measurement: it decides only what no measurement does
HUBER = 1.5  # residuals beyond so many spreads count linearly (Huber 1964)
MIN_SPREAD = 0.03  # relative; a promise finer than this is not believed
PRIOR_FACTOR = 2.5  # how far off a guess without any run may be
FAR_FACTOR = 2.0  # a size this far from every measured one is an extrapolation
FAR_SPREAD = 0.15  # relative, added there


@dataclass(frozen=True)
class CostKey:
    """Runs with equal keys are comparable."""

    device: str  # e.g. "NVIDIA H200" or "cpu"
    precision: str
    numeric_path: str  # fused or eager, backend
    fingerprint: str  # of the model


@dataclass(frozen=True)
class CostSample:
    """One finished picture: what it asked for and what it took, in s, without waiting.

    `steps_s` and `text_s` are None where only the whole is known (another server).
    """

    device: str
    precision: str
    numeric_path: str
    fingerprint: str
    image_tokens: int
    steps: int
    text_tokens: int
    negative_tokens: int | None
    elapsed_s: float
    text_s: float | None = None
    steps_s: float | None = None
    decode_s: float | None = None
    png_s: float | None = None
    reference_tokens: int = 0

    @property
    def key(self) -> CostKey:
        return CostKey(self.device, self.precision, self.numeric_path, self.fingerprint)

    @property
    def workload(self) -> Workload:
        return Workload(self.image_tokens, self.steps, self.text_tokens, self.negative_tokens, self.reference_tokens)

    @property
    def forwards(self) -> int:
        return self.workload.forwards

    @classmethod
    def of(cls, key: CostKey, work: Workload, *, elapsed_s: float, timings: Timings | None = None) -> CostSample:
        """What `work` took on the machine of `key`; with its timings where they are known."""
        return cls(**asdict(key), **asdict(work), elapsed_s=elapsed_s, **(asdict(timings) if timings else {}))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CostSample:
        """The sample of `to_dict`; keys that it does not know (a row's id, its date) are left out."""
        names = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in names})


@dataclass(frozen=True)
class Prediction:
    """Seconds of work for one picture, without waiting; nine in ten should fall between low and high."""

    seconds: float
    low_s: float
    high_s: float
    basis: str  # what it rests on, for the user
    step_s: float  # of one step
    samples: int  # pictures that it was learned from

    def longer(self, factor: float) -> Prediction:
        """Of so many times the work."""
        times = {name: getattr(self, name) * factor for name in ("seconds", "low_s", "high_s", "step_s")}
        return replace(self, **times)


@dataclass(frozen=True)
class Speed:
    """The fitted numbers."""

    base_s: float  # T0: a picture's fixed cost
    token_s: float  # T1: decoding and PNG, for every image token
    forward_s: float  # a: a forward's fixed cost (launches)
    flop_s: float  # 1/R

    @property
    def flops(self) -> float:
        """R, in floating-point operations a second."""
        return 1 / self.flop_s if self.flop_s > 0 else float("inf")

    def vector(self) -> NDArray[np.float64]:
        return np.array([self.base_s, self.token_s, self.forward_s, self.flop_s])


def prior_speed(key: CostKey, *, cpu_threads: int = 2) -> Speed:
    """What is believed before the first picture: a workstation card, or so many CPU cores."""
    if key.device.lower().startswith("cpu"):
        # 2 cores drew 512²/50 of a 7.6 M model in 2.8-4.0 s: about 45 GFLOP/s a core
        return Speed(base_s=0.02, token_s=4e-5, forward_s=2e-3, flop_s=1 / (45e9 * max(cpu_threads, 1)))
    tflops = {"bf16": 200.0, "fp8": 300.0, "fp32": 40.0}.get(key.precision, 200.0)  # RTX PRO 6000 Max-Q: 202 in bf16
    return Speed(base_s=0.05, token_s=5e-5, forward_s=1e-3, flop_s=1 / (tflops * 1e12))


class CostModel:
    """Seconds of a picture on one device, precision, numeric path and model. Learns from every finished picture."""

    def __init__(
        self, shape: ModelShape, key: CostKey, samples: Iterable[CostSample] = (), *, cpu_threads: int = 2
    ) -> None:
        self.shape = shape
        self.key = key
        self._prior = prior_speed(key, cpu_threads=cpu_threads)
        self._samples: list[CostSample] = []
        self._fitted: tuple[Speed, float] | None = None
        for sample in samples:
            self.add(sample)

    @classmethod
    def fit(cls, shape: ModelShape, key: CostKey, samples: Iterable[CostSample]) -> CostModel:
        """A model that learned from those of `samples` (oldest first) that have this key."""
        return cls(shape, key, samples)

    def add(self, sample: CostSample) -> None:
        """Learn from one more picture. Samples of another key, or without a duration, are left out."""
        if sample.key != self.key or not sample.elapsed_s > 0 or sample.steps < 1:
            return
        self._samples = _recent([*self._samples, sample])
        self._fitted = None

    @property
    def speed(self) -> Speed:
        """The fitted numbers; the prior's where nothing was measured."""
        return self._speed_and_spread()[0]

    def predict(self, work: Workload, *, text_kept: bool = False) -> Prediction:
        """Seconds that `work` will take. `text_kept`: its prompt was drawn a moment ago, the text's K/V are there."""
        speed, spread = self._speed_and_spread()
        seconds = float(_features(work, self.shape, with_text=not text_kept) @ speed.vector())
        step_s = (work.forwards * speed.forward_s + work.steps_flop(self.shape) * speed.flop_s) / work.steps
        if not self._samples:
            basis = "a guess from the model's size: nothing was drawn on this machine yet"
            return Prediction(seconds, seconds / PRIOR_FACTOR, seconds * PRIOR_FACTOR, basis, step_s, 0)
        count = len(self._samples)
        basis = f"{count} picture{'' if count == 1 else 's'} drawn on this machine"
        if _is_far(work.image_tokens, self._samples):
            spread += FAR_SPREAD
            basis += ", none near this size"
        return Prediction(seconds, seconds / (1 + spread), seconds * (1 + spread), basis, step_s, count)

    def _speed_and_spread(self) -> tuple[Speed, float]:
        if self._fitted is None:
            self._fitted = _fit(self._samples, self.shape, self._prior) if self._samples else (self._prior, 0.0)
        return self._fitted


def _recent(samples: list[CostSample]) -> list[CostSample]:
    """The newest samples, oldest first, at most so many of one size and number of branches."""
    counts: dict[tuple[int, int, bool], int] = {}
    kept: list[CostSample] = []
    for sample in reversed(samples):
        setting = (sample.image_tokens, sample.reference_tokens, sample.negative_tokens is None)
        counts[setting] = counts.get(setting, 0) + 1
        if counts[setting] <= SAMPLES_PER_SETTING and len(kept) < SAMPLES_KEPT:
            kept.append(sample)
    return kept[::-1]


def _is_far(image_tokens: int, samples: list[CostSample]) -> bool:
    return all(
        max(image_tokens, sample.image_tokens) > FAR_FACTOR * min(image_tokens, sample.image_tokens)
        for sample in samples
    )


def _features(work: Workload, shape: ModelShape, *, with_text: bool) -> NDArray[np.float64]:
    """(4,): what multiplies base_s, token_s, forward_s and flop_s."""
    forwards, flop = float(work.forwards), work.steps_flop(shape)
    if with_text:
        branches = [work.text_tokens] if work.negative_tokens is None else [work.text_tokens, work.negative_tokens]
        forwards += len(branches)
        flop += sum(text_flop(shape, tokens) for tokens in branches)
    return np.array([1.0, float(work.image_tokens), forwards, flop])


def _rows(sample: CostSample, shape: ModelShape) -> list[tuple[NDArray[np.float64], float]]:
    """(features, s) of one sample: steps and the rest apart where they are known, which pins a and T0 separately.

    Text is left out where its time is known: it is 0 when its K/V were kept, which the features cannot tell.
    """
    work = sample.workload
    if sample.steps_s is None or sample.text_s is None:
        return [(_features(work, shape, with_text=True), sample.elapsed_s)]
    steps = np.array([0.0, 0.0, float(work.forwards), work.steps_flop(shape)])
    rest = np.array([1.0, float(work.image_tokens), 0.0, 0.0])
    return [(steps, sample.steps_s), (rest, max(sample.elapsed_s - sample.steps_s - sample.text_s, 0.0))]


def _fit(samples: list[CostSample], shape: ModelShape, prior: Speed) -> tuple[Speed, float]:
    """Robust, non-negative, relative least squares, and the spread of what it leaves (a share of the prediction).

    The prior, brought to the speed of these samples, joins with a small weight: with one size alone it says how the
    time splits into a and F/R, with two it no longer matters.
    """
    features, seconds, weights = [], [], []
    ratios = []
    for age, sample in enumerate(reversed(samples)):
        weight = 0.5 ** (age / HALF_LIFE_SAMPLES)
        for row, value in _rows(sample, shape):
            features.append(row / sample.elapsed_s)  # relative to the whole picture, whatever the part
            seconds.append(value / sample.elapsed_s)
            weights.append(weight)
        ratios.append(sample.elapsed_s / float(_features(sample.workload, shape, with_text=True) @ prior.vector()))
    # the lower of two: a first picture may have waited for kernels, and none is faster than the machine
    scaled_prior = prior.vector() * statistics.median_low(ratios)
    for row in _prior_rows(samples, shape):
        expected = float(row @ scaled_prior)
        features.append(row / expected)
        seconds.append(1.0)
        weights.append(PRIOR_WEIGHT)
    solution = _robust_solution(np.array(features), np.array(seconds), np.array(weights), scaled_prior)
    return Speed(*(float(value) for value in solution)), _spread(samples, shape, solution)


def _prior_rows(samples: list[CostSample], shape: ModelShape) -> list[NDArray[np.float64]]:
    """Imagined pictures a quarter and four times as large as those measured, and one with a single step."""
    tokens = statistics.median_low([sample.image_tokens for sample in samples])
    works = [Workload(max(tokens // 4, 1), 20, 30), Workload(tokens * 4, 20, 30), Workload(tokens, 1, 30)]
    return [_features(work, shape, with_text=False) for work in works]


def _robust_solution(
    features: NDArray[np.float64],  # (rows, 4)
    seconds: NDArray[np.float64],  # (rows,)
    weights: NDArray[np.float64],  # (rows,)
    start: NDArray[np.float64],  # (4,)
) -> NDArray[np.float64]:
    """Iteratively reweighted least squares with Huber's weights, from `start`."""
    solution = start
    for _ in range(12):
        residuals = np.abs(features @ solution - seconds)
        scale = max(1.4826 * float(np.median(residuals)), 0.01)
        huber = np.minimum(1.0, HUBER * scale / np.maximum(residuals, 1e-12))
        solution = _non_negative_solution(features, seconds, weights * huber)
    return solution


def _non_negative_solution(
    features: NDArray[np.float64], seconds: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weighted least squares with every unknown at or above 0: with four unknowns, trying every subset is exact."""
    columns = np.maximum(np.abs(features).max(axis=0), 1e-300)  # FLOP and s differ by 1e15
    scaled = features / columns * np.sqrt(weights)[:, None]
    target = seconds * np.sqrt(weights)
    best, best_loss = np.zeros(features.shape[1]), float("inf")
    for size in range(features.shape[1], 0, -1):
        for subset in combinations(range(features.shape[1]), size):
            part = list(subset)
            values = np.linalg.lstsq(scaled[:, part], target, rcond=None)[0]
            loss = float(np.sum((scaled[:, part] @ values - target) ** 2))
            if np.all(values >= 0) and loss < best_loss:
                best_loss = loss
                best = np.zeros(features.shape[1])
                best[part] = values
        if best_loss < float("inf") and size == features.shape[1]:
            break  # the unconstrained optimum is allowed: nothing smaller beats it
    solution: NDArray[np.float64] = best / columns
    return solution


def _spread(samples: list[CostSample], shape: ModelShape, solution: NDArray[np.float64]) -> float:
    """The relative distance that nine in ten of the samples keep; wider while they are few."""
    errors = []
    for sample in samples:
        kept = sample.text_s is not None and sample.text_s < 1e-3
        predicted = float(_features(sample.workload, shape, with_text=not kept) @ solution)
        errors.append(abs(sample.elapsed_s / predicted - 1) if predicted > 0 else 1.0)
    kept_by_most = max(float(np.quantile(errors, 0.9)), MIN_SPREAD)
    # the fit saw these samples: the next one lies a little farther off, the more so the fewer there are
    return float(kept_by_most * (1 + len(samples) ** -0.5) + 0.3 / len(samples))
