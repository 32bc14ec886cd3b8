"""Pictures as input made ready for their jobs beside the steps, once for jobs that see the same. Knows no model."""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor

from hidream_studio.errors import WorkerError
from hidream_studio.image.intake import read_picture
from hidream_studio.image.references import PreparedPicture, prepare
from hidream_studio.job.job import Job
from hidream_studio.job.profiles import ModelProfile

KEPT = 8  # of those asked for last; ten subjects at 2048² are 8 MB

Prepared = tuple[PreparedPicture, ...]


class Preparer:
    """Reads, fits and frames pictures in a thread of its own."""

    def __init__(self, profile: ModelProfile) -> None:
        self._profile = profile
        self._thread = ThreadPoolExecutor(1, "pictures")
        self._kept: OrderedDict[object, Future[Prepared]] = OrderedDict()

    def ask(self, job: Job, files: tuple[bytes, ...]) -> Future[Prepared]:
        """The pictures of a job, whose files are in the order of its references. The result may raise RequestError."""
        if not job.references:
            return _done(())
        side = job.kept_side(self._profile)
        key = tuple(one.hash for one in job.references), job.width, job.height, job.layout, side
        found = self._kept.pop(key, None)
        if found is None or (found.done() and found.exception() is not None):
            found = self._thread.submit(_prepared, job, files, side)
        self._kept[key] = found
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return found

    def clear(self) -> None:
        """Let go of all that no job waits for."""
        self._kept.clear()


def _prepared(job: Job, files: tuple[bytes, ...], kept_side: int | None) -> Prepared:
    if len(files) != len(job.references):
        raise WorkerError(f"{len(files)} files came for {len(job.references)} references")
    pictures = [read_picture(data, field=f"references.{index}").picture for index, data in enumerate(files)]
    return prepare(pictures, job.width, job.height, layout=job.layout, kept_side=kept_side)


def _done(pictures: Prepared) -> Future[Prepared]:
    future: Future[Prepared] = Future()
    future.set_result(pictures)
    return future
