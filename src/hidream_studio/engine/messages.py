"""What the server and a worker say to each other: frozen values that mean the same on any machine. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hidream_studio.job.job import Job
from hidream_studio.job.record import Timings
from hidream_studio.job.request import Lane
from hidream_studio.settings import Precision, Settings

# To the worker.


@dataclass(frozen=True)
class WorkerSpec:
    """What a worker is started with."""

    checkpoint: str  # folder, file or hub id
    profile: str | None
    device: str
    precision: Precision | None
    fused: bool | None
    threads: int | None
    preview_interval_s: float
    vram_gib: float | None = None  # the most of a GPU's memory; None: what is free, less a reserve
    tokenizer: str | None = None  # folder or hub id, where it is not with the model
    max_state_bytes: int = 2 * 2**30  # of all begun jobs and kept prompts together; one job may always run

    @classmethod
    def of(cls, settings: Settings) -> WorkerSpec:
        return cls(
            checkpoint=settings.checkpoint, profile=settings.profile, device=settings.device,
            precision=settings.precision, fused=settings.fused, threads=settings.threads,
            preview_interval_s=settings.preview_interval_s, vram_gib=settings.vram,
            tokenizer=settings.tokenizer,
        )  # fmt: skip


@dataclass(frozen=True)
class Draw:
    """Hold this job, and draw it when its turn comes (`engine.turns`)."""

    job_id: str
    job: Job
    lane: Lane
    order: float
    init_image: bytes | None = None  # the draft's PNG, for keep-composition
    references: tuple[bytes, ...] = field(default=(), repr=False)  # the files of the job's, as they were sent
    loras: Mapping[str, str] = field(
        default_factory=dict
    )  # by hash, where the worker's machine has the files of its LoRAs


@dataclass(frozen=True)
class Cancel:
    """Drop the job at the next step; answered by `Cancelled`, unless it has ended."""

    job_id: str


@dataclass(frozen=True)
class Recall:
    """Give the job back if it has not begun; answered by `Returned`, or not at all."""

    job_id: str


@dataclass(frozen=True)
class Reorder:
    job_id: str
    order: float


@dataclass(frozen=True)
class Stop:
    """End the step, write out what is drawn, leave."""


ToWorker = Draw | Cancel | Recall | Reorder | Stop

# From the worker.


@dataclass(frozen=True)
class Phase:
    """Loading goes on: what it does, and how far it is (0 to 1) where that is known."""

    name: str
    fraction: float | None = None


@dataclass(frozen=True)
class Ready:
    """A picture can be drawn."""

    device: str  # e.g. "cpu" or "NVIDIA H200"
    precision: str
    model_name: str
    profile: str
    fingerprint: str
    numeric_path: str
    memory_total_mib: float | None  # of the device; None on a CPU
    torch: str | None = None  # its version
    driver: str | None = None  # of an NVIDIA GPU; None on a CPU, or where it cannot be told


@dataclass(frozen=True)
class LoadFailed:
    code: str  # an errors.StudioError code
    message: str
    permanent: bool  # trying again would end the same way


@dataclass(frozen=True)
class StepBegins:
    job_id: str
    index: int  # 0 is the first
    first: bool  # it also reads the prompt


@dataclass(frozen=True)
class StepDone:
    job_id: str
    done: int  # steps, 1 after the first
    total: int


@dataclass(frozen=True)
class PreviewReady:
    job_id: str
    step: int  # steps done
    data: bytes
    media_type: str


@dataclass(frozen=True)
class Drawn:
    """All steps are done; the file is being written. Another job may take the place."""

    job_id: str
    memory_used_mib: float | None  # of the device


@dataclass(frozen=True)
class Finished:
    job_id: str
    png: bytes  # without texts: the library writes them
    timings: Timings
    created_at: str  # ISO 8601, UTC


@dataclass(frozen=True)
class Failed:
    job_id: str
    code: str
    message: str


@dataclass(frozen=True)
class Cancelled:
    job_id: str


@dataclass(frozen=True)
class Returned:
    """A recalled job, not begun."""

    job_id: str


@dataclass(frozen=True)
class Broken:
    """The process cannot draw any more (the device is in an error state) and leaves."""

    message: str


JobMessage = StepBegins | StepDone | PreviewReady | Drawn | Finished | Failed | Cancelled | Returned
FromWorker = Phase | Ready | LoadFailed | Broken | JobMessage


def leaves_worker(message: JobMessage) -> bool:
    """Whether the worker has the message's job no more."""
    return isinstance(message, (Finished, Failed, Cancelled, Returned))
