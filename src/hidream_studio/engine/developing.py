"""Pixels into previews and PNG files, beside the step loop. Knows nothing of turns or of the model."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from hidream_studio.engine.mailbox import Outbox
from hidream_studio.engine.messages import Draw, Failed, Finished, PreviewReady
from hidream_studio.errors import OutOfMemoryError, StudioError
from hidream_studio.image.metadata import picture_chunks
from hidream_studio.image.png import encode_png
from hidream_studio.image.preview import PREVIEW_MEDIA_TYPE, encode_preview
from hidream_studio.job.clock import utc_now
from hidream_studio.job.record import Timings

Pixels = NDArray[np.uint8]  # (H, W, 3)


class Darkroom:
    """Two threads: one for previews, which are dropped while it is busy, one for files, which never are."""

    def __init__(
        self, outbox: Outbox, *, preview_interval_s: float, model: str, fingerprint: str, numeric_path: str,
        version: str,
    ) -> None:  # fmt: skip
        self._outbox = outbox
        self._preview_interval_s = preview_interval_s
        self._origin = {"model": model, "fingerprint": fingerprint, "numeric_path": numeric_path, "version": version}
        self._preview_thread = ThreadPoolExecutor(1, "previews", initializer=_compute_alone)
        self._file_thread = ThreadPoolExecutor(1, "files")  # computes nothing with torch
        self._preview: Future[None] | None = None
        self._last_preview_s: dict[str, float] = {}  # by job, on the monotonic clock

    def offer_preview(self, job_id: str, step: int, pixels: Callable[[], Pixels]) -> None:
        """Send a preview of `job_id` after `step` steps, unless the last one is too recent or still being made."""
        now_s = time.monotonic()
        if now_s - self._last_preview_s.get(job_id, float("-inf")) < self._preview_interval_s:
            return
        if self._preview is not None and not self._preview.done():
            return
        self._last_preview_s[job_id] = now_s
        self._preview = self._preview_thread.submit(self._send_preview, job_id, step, pixels)

    def develop(self, draw: Draw, pixels: Pixels, timings: Timings) -> None:
        """Send the finished file."""
        self._file_thread.submit(self._send_file, draw, pixels, timings)

    def forget(self, job_id: str) -> None:
        self._last_preview_s.pop(job_id, None)

    def close(self) -> None:
        """Return when every file is sent."""
        self._preview_thread.shutdown(cancel_futures=True)
        self._file_thread.shutdown()

    def _send_preview(self, job_id: str, step: int, pixels: Callable[[], Pixels]) -> None:
        try:
            data = encode_preview(pixels())
        except Exception:  # noqa: BLE001  a lost preview must not cost the picture; its step will tell what is wrong
            return
        self._outbox.send(PreviewReady(job_id, step, data, PREVIEW_MEDIA_TYPE))

    def _send_file(self, draw: Draw, pixels: Pixels, timings: Timings) -> None:
        started_s = time.monotonic()
        created_at = utc_now()
        try:
            chunks = picture_chunks(
                draw.job, job_id=draw.job_id, image_id=draw.job_id, created_at=created_at, timings=timings,
                adjustments=draw.adjustments, **self._origin,
            )  # fmt: skip
            png = encode_png(pixels, chunks)
        except StudioError as error:
            self._outbox.send(Failed(draw.job_id, error.code, error.message))
            return
        except MemoryError:
            message = (
                f"the picture of {draw.job.width}×{draw.job.height} was drawn, but this machine had no memory left "
            )
            self._outbox.send(
                Failed(draw.job_id, OutOfMemoryError.code, f"{message}to write it; a smaller size needs less")
            )
            return
        except Exception as error:  # noqa: BLE001  the job must end, whatever happened to its file
            message = f"the picture was drawn but could not be written as PNG: {type(error).__name__}: {error}"
            self._outbox.send(Failed(draw.job_id, StudioError.code, message))
            return
        timings = replace(timings, png_s=time.monotonic() - started_s)
        self._outbox.send(Finished(draw.job_id, png, timings, created_at))


def _compute_alone() -> None:
    """Torch on this thread without helpers: with theirs there would be more OpenMP threads than cores.

    libgomp then hardly spins at any barrier, in the step loop as little as here, and steps take half as long again.
    """
    torch.set_num_threads(1)  # of this thread, and of those that begin later; the step loop keeps its own
