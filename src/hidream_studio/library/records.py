"""What the library gives and takes of pictures, as frozen values. Knows nothing of SQL or files."""

from __future__ import annotations

from dataclasses import dataclass, field

from hidream_studio.image.metadata import RestoredSettings
from hidream_studio.job.adjustment import Adjustment
from hidream_studio.job.job import Job
from hidream_studio.job.record import Timings
from hidream_studio.job.references import Reference
from hidream_studio.job.request import Lane


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What is known of a picture when its job has ended. Times of day are ISO 8601 in UTC (`job.clock.utc_now`)."""

    id: str
    job_id: str
    job: Job  # its `parent_id`, the picture that this one finishes, may have been deleted since
    lane: Lane
    created_at: str
    elapsed_s: float
    model: str
    fingerprint: str
    numeric_path: str
    timings: Timings = field(default_factory=Timings)
    adjustments: tuple[Adjustment, ...] = ()
    estimate_s: float | None = None
    sheet_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class ImageDraft(Picture):
    """A picture on its way into the library; `Library.store_image` makes it an ImageRecord."""

    queued_s: float | None = None  # that its job waited


@dataclass(frozen=True, kw_only=True)
class ImageRecord(Picture):
    """A picture of the library."""

    family_id: str  # equal for all pictures that were made from one another; stays when some of them are deleted
    favourite: bool
    rejected_at: str | None
    file: str  # relative to the data folder, with slashes
    bytes: int  # of the PNG
    unreadable: str | None = None  # why `job` is not wholly what its row says: a newer version wrote it


@dataclass(frozen=True)
class Upload:
    """A picture as input, as it was sent; `image.intake` reads its bytes."""

    hash: str  # sha256 of the file, its id
    media_type: str
    width: int  # px, turned as its EXIF says
    height: int
    bytes: int
    name: str | None = None  # of the file, where it had one
    notes: tuple[str, ...] = ()  # what reading it changes: "turned as its EXIF says", "first of 12 frames" …

    def reference(self, role: str | None = None) -> Reference:
        """As a job names it."""
        return Reference(self.hash, self.width, self.height, role)


@dataclass(frozen=True)
class ImportResult:
    """What a dropped picture brings back: its settings, and the picture itself where this library has it."""

    settings: RestoredSettings
    record: ImageRecord | None
