"""What jobs will take on this machine, learned from what they took. Knows no queue."""

from __future__ import annotations

import asyncio
import copy
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hidream_studio.engine.messages import Ready
from hidream_studio.errors import CheckpointError
from hidream_studio.job.estimate import CostKey, CostModel, CostSample, Prediction
from hidream_studio.job.record import Timings
from hidream_studio.job.workload import SHAPE_8B, ModelShape, Workload
from hidream_studio.settings import Precision, Settings

FIT_PAUSE_S = 0.5  # between two fits, however many pictures come
NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")


class Costs:
    """The cost model of the worker's device, as soon as it is known; until then that of the last run, or a guess."""

    def __init__(
        self,
        settings: Settings,
        shape: ModelShape,
        samples: Iterable[Mapping[str, Any]],
        precision: Precision | None = None,  # that the model's profile asks for
    ) -> None:
        self._shape = shape
        self._threads = settings.threads or os.cpu_count() or 1
        self._samples = [CostSample.from_dict(sample) for sample in samples]
        key = self._samples[-1].key if self._samples else _likely_key(settings, precision)
        self._model = self._model_of(key)
        self._new: list[CostSample] = []
        self._fitting: asyncio.Task[None] | None = None

    def worker_ready(self, facts: Ready) -> None:
        """From now on predict for this device, precision, path and model."""
        key = CostKey(facts.device, facts.precision, facts.numeric_path, facts.fingerprint)
        if key != self._model.key:
            self._model = self._model_of(key)

    def shape_known(self, shape: ModelShape) -> None:
        """A checkpoint that was not here yet has arrived."""
        self._shape = shape
        self._model = self._model_of(self._model.key)

    def predict(self, work: Workload, *, text_kept: bool = False) -> Prediction:
        """Seconds of work for a job; `text_kept` where one with its prompt goes right before it."""
        return self._model.predict(work, text_kept=text_kept)

    def learn(self, work: Workload, timings: Timings) -> dict[str, Any]:
        """Learn from a finished job, soon. Returns the sample, to be kept. Called on the event loop."""
        sample = CostSample.of(self._model.key, work, elapsed_s=timings.elapsed_s, timings=timings)
        self._new.append(sample)
        if self._fitting is None:
            self._fitting = asyncio.get_running_loop().create_task(self._fit())
        return sample.to_dict()

    def close(self) -> None:
        """Learn no more."""
        if self._fitting is not None:
            self._fitting.cancel()

    async def _fit(self) -> None:
        """Bring the model up to date beside the event loop: a fit takes up to a tenth of a second."""
        try:
            while self._new:
                model, new = self._model, self._new
                self._new = []
                fitted = await asyncio.to_thread(_fitted_with, model, new)
                if self._model is model:  # else the device has changed meanwhile
                    self._model = fitted
                await asyncio.sleep(FIT_PAUSE_S)
        finally:
            self._fitting = None

    def _model_of(self, key: CostKey) -> CostModel:
        return CostModel(self._shape, key, self._samples, cpu_threads=self._threads)


def read_shape(folder: Path | None) -> ModelShape:
    """The model's shape from its folder; that of the 8B model where it cannot be read (yet)."""
    if folder is None:
        return SHAPE_8B
    try:
        return ModelShape.from_config(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, AttributeError, CheckpointError):
        return SHAPE_8B  # the worker will say what is wrong with the folder


def _fitted_with(model: CostModel, samples: list[CostSample]) -> CostModel:
    """A second model that has learned from `samples` too; the first may be asked all the while."""
    fitted = copy.copy(model)
    for sample in samples:
        fitted.add(sample)
    _ = fitted.speed  # fits
    return fitted


def _likely_key(settings: Settings, own: Precision | None) -> CostKey:
    """Before the worker has said what it runs on."""
    on_cpu = settings.device == "cpu" or (settings.device == "auto" and not NVIDIA_DRIVER.exists())
    precision = settings.precision or own or ("fp32" if on_cpu else "bf16")
    return CostKey("cpu" if on_cpu else "cuda", precision, "", "")
