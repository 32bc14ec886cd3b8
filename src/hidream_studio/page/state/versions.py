"""One shape for what stands in a cell, be it a job on its way or a picture in the library. Words it for the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from hidream_studio.job.job import Job
from hidream_studio.job.profiles import ModelProfile
from hidream_studio.job.record import JobView, State
from hidream_studio.job.values import shared_fields
from hidream_studio.page import words
from hidream_studio.page.addresses import thumbnail

if TYPE_CHECKING:
    from hidream_studio.library.records import ImageRecord

Rank = Literal["draft", "mid", "high", "exact"]

LIVE: tuple[State, ...] = ("queued", "running")

_SIDE_TOLERANCE = 0.12  # how far from a preset's side a picture still goes by its name


@dataclass(frozen=True)
class Version(JobView):
    """A draft or one of its finals: a job on its way, or the picture that it became."""

    favourite: bool = False
    rejected: bool = False
    preview: str | None = None  # a data: URL, so that a preview which is over by now is never asked for
    model: str | None = None

    @property
    def key(self) -> str:
        """The job's id, which its picture has too."""
        return self.id

    @property
    def parent_id(self) -> str | None:
        return self.job.parent_id

    @property
    def has_image(self) -> bool:
        return self.state == "finished"


def version_of_job(view: JobView) -> Version:
    return Version(**shared_fields(Version, view))


def version_of_image(record: ImageRecord) -> Version:
    values = shared_fields(Version, record)
    steps = record.job.steps
    return Version(**values, state="finished", step=steps, steps=steps, rejected=record.rejected_at is not None)


def rank_of(job: Job, profile: ModelProfile) -> Rank:
    if job.finish_mode == "exact":
        return "exact"
    side = math.sqrt(job.width * job.height)
    if side >= profile.preset("high").width * (1 - _SIDE_TOLERANCE):
        return "high"
    small = job.width * job.height <= profile.native_area // 2
    return "draft" if small and job.finish_mode is None else "mid"  # what was finished is none, however small


def badge_of(job: Job, profile: ModelProfile) -> str:
    """DRAFT, or the side that a square of that area would have: 1536, 2K."""
    rank = rank_of(job, profile)
    if rank == "draft":
        return "DRAFT"
    if rank == "exact":
        return f"{job.steps} STEPS"
    side = round(math.sqrt(job.width * job.height))
    for preset in (profile.preset("standard"), profile.preset("high")):
        if abs(side - preset.width) <= preset.width * _SIDE_TOLERANCE:
            side = preset.width
    return side_name(side)


def side_name(side_px: int) -> str:
    return "2K" if side_px == 2048 else str(side_px)


def version_words(version: Version, profile: ModelProfile, smaller_s: float | None = None) -> dict[str, Any]:
    """The values that components/parts/index.js shows, as it names them. `smaller_s`: what a smaller try would take."""
    job = version.job
    asked = (job.requested_width, job.requested_height)
    rendered = words.size(job.width, job.height)
    differs = asked != (job.width, job.height)
    values: dict[str, Any] = {
        "state": _cell_state(version.state),
        "seed": str(job.seed),
        "size": rendered,
        "asked": words.size(*asked) if differs else "",
        "sizeTitle": f"asked {words.size(*asked)}, rendered {rendered}" if differs else f"rendered {rendered}",
        "loras": words.loras(job.loras),
        "steps": job.steps,
        "step": version.step,
        "badge": badge_of(job, profile),
        "rank": rank_of(job, profile),
        "favourite": version.favourite,
        "rejected": version.rejected,
        "image": thumbnail(version.key) if version.has_image else None,
        "preview": version.preview,
        "reason": words.sentence(version.error.message) if version.error else None,
        "cost": words.about(version.estimate_s),
        "smallerCost": words.about(smaller_s),
        "smaller": smaller_s is not None,
    }
    values |= progress_words(version)
    values["label"] = _label(version, values)
    return values


def progress_words(version: Version) -> dict[str, Any]:
    """What changes many times a second while a job waits or runs."""
    values: dict[str, Any] = {
        "step": version.step,
        "of": version.steps,
        "place": "",
        "left": "",
        "progress": "",
        "timeTitle": "",
    }
    if version.state == "queued":
        values["place"] = "Next" if version.position == 1 else f"#{version.position}" if version.position else "Waiting"
        values["left"] = words.about(version.wait_s)
        values["time"] = words.about(version.estimate_s)
    elif version.state == "running":
        values["left"] = words.left(version.wait_s)
        values["progress"] = " · ".join(
            part for part in (f"step {version.step} of {version.steps}", values["left"]) if part
        )
        values["time"] = words.about(version.estimate_s)
        values["preview"] = version.preview
    elif version.state == "finished":
        values["time"] = words.duration(version.elapsed_s)
        values["timeTitle"] = took(version)
    else:
        values["time"] = ""
    return values


def took(version: Version) -> str:
    """ "~2.1 s → 2.4 s": the estimate beside what it took."""
    elapsed_s = version.elapsed_s if version.has_image else None
    parts = [words.about(version.estimate_s), words.duration(elapsed_s)]
    return " → ".join(part for part in parts if part)


def differences(versions: Sequence[Version]) -> str:
    """The settings that differ between these, in one line."""
    jobs = [version.job for version in versions]
    facts: dict[str, list[str]] = {
        "size": [words.size(job.width, job.height) for job in jobs],
        "steps": [str(job.steps) for job in jobs],
        "guidance": [words.number(job.guidance_scale) for job in jobs],
        "seed": [str(job.seed) for job in jobs],
        "LoRAs": [words.loras(job.loras) or "none" for job in jobs],
        "sampler": [job.sampler for job in jobs],
        "prompt": [words.excerpt(job.prompt, 40) for job in jobs],
        "pictures": [_pictures_in_words(job) for job in jobs],
        "took": [words.duration(version.elapsed_s) for version in versions],
    }
    parts = [f"{name} {' | '.join(values)}" for name, values in facts.items() if len(set(values)) > 1]
    return " · ".join(parts) or "All settings are equal."


def _pictures_in_words(job: Job) -> str:
    """Which, and whether boxes say where they stand."""
    named = ", ".join(one.role or one.hash[:6] for one in job.references) or "none"
    return f"{named} in boxes" if job.layout else named


def _cell_state(state: State) -> str:
    return "waiting" if state == "queued" else state


def _label(version: Version, values: dict[str, Any]) -> str:
    """What a screen reader says of a cell."""
    state = {"queued": "waiting", "running": "being drawn"}.get(version.state, version.state)
    parts = [
        f"{values['badge']}, seed {values['seed']}",
        values["sizeTitle"],
        f"{version.job.steps} steps",
        words.loras(version.job.loras),
        state,
        values["time"],
        "favourite" if version.favourite else "",
        "rejected" if version.rejected else "",
        values["reason"] or "",
    ]
    return ", ".join(part for part in parts if part)
