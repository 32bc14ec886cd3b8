"""Jobs and pictures for the library's tests, small enough to store many."""

from __future__ import annotations

from typing import Any

import numpy as np

from hidream_studio.image.png import encode_png
from hidream_studio.job.clock import utc_now
from hidream_studio.job.ids import new_id
from hidream_studio.job.job import Job, pin
from hidream_studio.job.profiles import HIDREAM_O1_IMAGE
from hidream_studio.job.record import JobRecord
from hidream_studio.job.request import GenerationRequest
from hidream_studio.library.records import ImageDraft


def job(prompt: str = "a cat", **values: Any) -> Job:
    asked = {"prompt": prompt, "seed": 7, "width": 256, "height": 256, "snap_resolution": False} | values
    parent = {key: asked.pop(key) for key in ("parent_id", "finish_mode") if key in asked}
    return Job.from_dict(pin(GenerationRequest.model_validate(asked), HIDREAM_O1_IMAGE).job.to_dict() | parent)


def job_record(of: Job | None = None, **values: Any) -> JobRecord:
    plain = {"id": new_id(), "state": "queued", "lane": "draft", "created_at": utc_now(), "queue_order": 1.0}
    return JobRecord(job=of or job(), **(plain | values))


def draft(record: JobRecord, **values: Any) -> ImageDraft:
    plain = {
        "id": new_id(), "job_id": record.id, "job": record.job, "lane": record.lane, "created_at": utc_now(),
        "elapsed_s": 1.5, "model": "golden", "fingerprint": "0123456789", "numeric_path": "cpu-fp32",
        "sheet_id": record.sheet_id,
    }  # fmt: skip
    return ImageDraft(**(plain | values))


def png(side_px: int = 32) -> bytes:
    return encode_png(np.random.default_rng(0).integers(0, 256, (side_px, side_px, 3), dtype=np.uint8))
