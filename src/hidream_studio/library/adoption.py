"""Finished pictures whose row a crash prevented: found by their files, known by their own text. Writes nothing."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from pathlib import Path

from hidream_studio.errors import RequestError
from hidream_studio.image.metadata import PictureFacts, picture_facts
from hidream_studio.image.png import read_text_chunks
from hidream_studio.job.clock import utc_now
from hidream_studio.job.ids import is_id, new_id
from hidream_studio.job.record import JobRecord, Timings
from hidream_studio.library.records import ImageDraft

logger = logging.getLogger(__name__)


def orphans(folder: Path, known_ids: Collection[str]) -> Iterator[tuple[Path, PictureFacts]]:
    """Every picture of ours under `folder` that is not among the known ones. Others are left alone, and logged."""
    for path in sorted(folder.glob("*/*.png")):
        if path.stem in known_ids or not is_id(path.stem):
            continue
        try:
            facts = picture_facts(read_text_chunks(path))
        except (RequestError, OSError) as error:
            logger.warning("%s is left out of the library: %s", path, error)
            continue
        if facts is None or facts.image_id != path.stem:
            unsaid = "nothing in it that this version understands says that it is one of its pictures"
            logger.warning("%s is left out of the library: %s", path, unsaid)
            continue
        yield path, facts


def draft_of(facts: PictureFacts, job: JobRecord | None) -> ImageDraft:
    """What `Library.store_image` would have been given; `job` is the row that waits for the picture, if one does."""
    timings = facts.timings or Timings()
    return ImageDraft(
        id=facts.image_id or new_id(),
        job_id=job.id if job else facts.job_id or new_id(),
        job=facts.job,
        lane=job.lane if job else "final",
        created_at=facts.created_at or utc_now(),
        elapsed_s=timings.elapsed_s,
        model=facts.model or "unknown",
        fingerprint=facts.fingerprint or "unknown",
        numeric_path=facts.numeric_path or "unknown",
        timings=timings,
        adjustments=facts.adjustments,
        estimate_s=job.estimate_s if job else None,
        queued_s=job.queued_s if job else None,
        sheet_id=job.sheet_id if job else None,
    )
