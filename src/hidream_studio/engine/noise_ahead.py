"""The next jobs' noise, drawn on a CPU thread while the device works. Knows no queue: it is told what is next."""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor

from torch import Tensor

from hidream_studio.job.job import Job
from hidream_studio.sampler.noise import initial_noise

Key = tuple[object, ...]

KEPT = 2  # pictures; 50 MB each at 2048²


class NoiseAhead:
    """Noise by job, the same whether it was drawn ahead or not."""

    def __init__(self, buckets: tuple[tuple[int, int], ...]) -> None:
        self._buckets = buckets
        self._thread = ThreadPoolExecutor(1, "noise")
        self._drawn: OrderedDict[Key, Future[Tensor]] = OrderedDict()

    def prepare(self, job: Job) -> None:
        """Begin to draw a job's noise, unless it was begun."""
        key = _key(job)
        if key in self._drawn:
            return
        self._drawn[key] = self._thread.submit(self._draw, job)
        while len(self._drawn) > KEPT:
            _, forgotten = self._drawn.popitem(last=False)
            forgotten.cancel()

    def take(self, job: Job) -> Tensor:  # (1, 3, height, width) float32
        """A job's noise, from the thread if it was prepared."""
        prepared = self._drawn.pop(_key(job), None)
        return self._draw(job) if prepared is None else prepared.result()

    def _draw(self, job: Job) -> Tensor:
        return initial_noise(job.seed, job.width, job.height, job.noise_scale, job.noise, self._buckets)


def _key(job: Job) -> Key:
    return job.seed, job.width, job.height, job.noise_scale, job.noise
