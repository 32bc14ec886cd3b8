"""What the sheet shows, read from the library: pictures by filter and search, and jobs that have none yet."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, get_args

from hidream_studio.job.profiles import ModelProfile
from hidream_studio.library.library import Library
from hidream_studio.page.state.versions import Version, rank_of, version_of_image, version_of_job
from hidream_studio.service.studio import Studio

Filter = Literal["all", "favourites", "drafts", "finals", "rejected"]
FILTERS: tuple[Filter, ...] = get_args(Filter)


@dataclass(frozen=True)
class Look:
    """Which pictures somebody wants to see."""

    filter: Filter = "all"
    query: str = ""

    @property
    def takes_new(self) -> bool:
        """Whether new jobs belong into it."""
        return not self.query and self.filter in ("all", "drafts", "finals")

    def matches(self, version: Version, profile: ModelProfile) -> bool:
        if self.filter == "drafts":
            return rank_of(version.job, profile) == "draft"
        if self.filter == "finals":
            return rank_of(version.job, profile) != "draft"
        return True


async def read_versions(studio: Studio, look: Look, dismissed: Collection[str], limit: int) -> list[Version]:
    """The newest `limit` pictures, and the jobs that wait, run, failed or were cancelled since the oldest of them."""
    versions = await asyncio.to_thread(_read_pictures, studio.library, look, limit)
    if look.takes_new:
        oldest = min(versions, default="")  # ids sort by the time of asking
        ended = await studio.jobs(states=("failed", "cancelled"), limit=limit)
        for view in (*studio.live_jobs(), *(job for job in ended if job.id >= oldest)):
            if view.id not in dismissed and view.id not in versions:
                versions[view.id] = version_of_job(view)
    return list(versions.values())


def _read_pictures(library: Library, look: Look, limit: int) -> dict[str, Version]:
    images = library.images(
        q=look.query or None,
        favourite=True if look.filter == "favourites" else None,
        rejected=look.filter == "rejected",
        limit=limit,
    )
    return {image.id: version_of_image(image) for image in images}
