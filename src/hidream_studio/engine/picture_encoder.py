"""Pixels into previews and PNGs, beside the step loop. Knows nothing of turns, of the model, or of a PNG's texts."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from hidream_studio.engine.mailbox import Outbox
from hidream_studio.engine.messages import Failed, Finished, PreviewReady
from hidream_studio.errors import OutOfMemoryError, StudioError
from hidream_studio.image.png import encode_png
from hidream_studio.image.preview import PREVIEW_MEDIA_TYPE, encode_preview
from hidream_studio.job.clock import utc_now
from hidream_studio.job.record import Timings

Pixels = NDArray[np.uint8]  # (H, W, 3)


class PictureEncoder:
    """Two threads: one for previews, which are dropped while it is busy, one for pictures, which never are."""

    def __init__(self, outbox: Outbox, *, preview_interval_s: float) -> None:
        self._outbox = outbox
        self._preview_interval_s = preview_interval_s
        self._preview_thread = ThreadPoolExecutor(1, "previews", initializer=_compute_alone)
        self._picture_thread = ThreadPoolExecutor(1, "pictures")  # computes nothing with torch
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

    def encode(self, job_id: str, pixels: Pixels, timings: Timings) -> None:
        """Send the finished picture."""
        self._picture_thread.submit(self._send_picture, job_id, pixels, timings)

    def forget(self, job_id: str) -> None:
        self._last_preview_s.pop(job_id, None)

    def close(self) -> None:
        """Return when every picture is sent."""
        self._preview_thread.shutdown(cancel_futures=True)
        self._picture_thread.shutdown()

    def _send_preview(self, job_id: str, step: int, pixels: Callable[[], Pixels]) -> None:
        try:
            data = encode_preview(pixels())
        except Exception:  # noqa: BLE001  a lost preview must not cost the picture; its step will tell what is wrong
            return
        self._outbox.send(PreviewReady(job_id, step, data, PREVIEW_MEDIA_TYPE))

    def _send_picture(self, job_id: str, pixels: Pixels, timings: Timings) -> None:
        started_s = time.monotonic()
        created_at = utc_now()
        height, width, _ = pixels.shape
        try:
            png = encode_png(pixels)
        except MemoryError:
            message = (
                f"the picture of {width}×{height} was drawn, but this machine had no memory left to encode it; "
                "a smaller size needs less"
            )
            self._outbox.send(Failed(job_id, OutOfMemoryError.code, message))
        except Exception as error:  # noqa: BLE001  the job must end, whatever happened to its picture
            message = f"the picture was drawn but could not be encoded as PNG: {type(error).__name__}: {error}"
            self._outbox.send(Failed(job_id, StudioError.code, message))
        else:
            timings = replace(timings, png_s=time.monotonic() - started_s)
            self._outbox.send(Finished(job_id, png, timings, created_at))


def _compute_alone() -> None:
    """Torch on this thread without helpers: with theirs there would be more OpenMP threads than cores.

    libgomp then hardly spins at any barrier, in the step loop as little as here, and steps take half as long again.
    """
    torch.set_num_threads(1)  # of this thread, and of those that begin later; the step loop keeps its own
