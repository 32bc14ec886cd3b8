"""Counts and times for Prometheus, in a registry of our own. Listens to the studio; changes nothing in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from hidream_studio.job.record import JobView
from hidream_studio.service.studio import Studio

WAIT_BUCKETS_S = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000)
STEP_BUCKETS_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
MAX_SIZES = 64  # labels are kept for ever; sizes beyond this share one
OTHER_SIZES = "other"
BYTES_PER_MIB = 1 << 20


class Metrics:
    """One per app: `follow` it to a studio when that starts, and call what it returns when that stops."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._sizes: set[str] = set()
        self._registry = CollectorRegistry()
        self._jobs = Counter(
            "hidream_studio_jobs", "Jobs that ended, by lane and how", ("lane", "end"), registry=self._registry
        )
        self._waited = Histogram(
            "hidream_studio_job_wait_seconds", "Time from request to first step", ("lane",),
            registry=self._registry, buckets=WAIT_BUCKETS_S,
        )  # fmt: skip
        self._step = Histogram(
            "hidream_studio_step_seconds", "Mean time of a step of a finished job, by rendered size", ("size", "cfg"),
            registry=self._registry, buckets=STEP_BUCKETS_S,
        )  # fmt: skip
        self._registry.register(_Now(studio))

    def follow(self) -> Callable[[], None]:
        """Count from now on. Returns what ends that."""
        return self._studio.listen(self._count)

    def exposition(self) -> tuple[bytes, str]:
        """The text that Prometheus reads, and its media type."""
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4

    def _count(self, view: JobView) -> None:
        self._jobs.labels(view.lane, view.state).inc()
        if view.queued_s is not None:
            self._waited.labels(view.lane).observe(view.queued_s)
        if view.state == "finished" and view.timings is not None and view.steps:
            cfg = "yes" if view.job.cfg else "no"
            self._step.labels(self._size_label(view), cfg).observe(view.timings.steps_s / view.steps)

    def _size_label(self, view: JobView) -> str:
        size = f"{view.job.width}x{view.job.height}"
        if size in self._sizes or len(self._sizes) < MAX_SIZES:
            self._sizes.add(size)
            return size
        return OTHER_SIZES


class _Now(Collector):
    """What is asked of the studio at each reading."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    def describe(self) -> list[Metric]:
        return []  # else the registry reads a studio that has not started

    def collect(self) -> Iterator[Metric]:
        queue, health = self._studio.queue_summary(), self._studio.health()
        waiting = GaugeMetricFamily("hidream_studio_queue_jobs", "Jobs in the queue now", labels=("state",))
        waiting.add_metric(("queued",), queue.waiting)
        waiting.add_metric(("running",), queue.running)
        yield waiting
        yield GaugeMetricFamily("hidream_studio_queue_limit", "Waiting jobs that are taken", queue.limit)
        yield GaugeMetricFamily(
            "hidream_studio_queue_drain_seconds", "Estimated time until none is left", queue.drain_s
        )
        yield GaugeMetricFamily("hidream_studio_ready", "1 when a picture can be drawn", float(health.ready))
        yield GaugeMetricFamily(
            "hidream_studio_worker_restarts", "Times the worker was started again", health.worker_restarts
        )
        if health.memory_total_mib is not None:
            memory = GaugeMetricFamily("hidream_studio_gpu_memory_bytes", "Memory of the device", labels=("kind",))
            memory.add_metric(("used",), (health.memory_used_mib or 0.0) * BYTES_PER_MIB)
            memory.add_metric(("total",), health.memory_total_mib * BYTES_PER_MIB)
            yield memory
