"""A sheet of the page as one PNG: the same rows, columns and seconds, with the labels drawn in."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from hidream_studio.errors import NotFoundError
from hidream_studio.image.sheet import Cell, contact_sheet_png
from hidream_studio.job.job import Job
from hidream_studio.job.sizes import PATCH_PX
from hidream_studio.library.library import Library
from hidream_studio.page import words
from hidream_studio.page.state.cells import contact_axes
from hidream_studio.page.state.versions import Version, version_of_job
from hidream_studio.service.studio import Studio

MAX_PICTURES = 1000
PLAIN_COLUMNS = 4  # of a sheet where nothing but the seed differs


async def sheet_png(studio: Studio, sheet_id: str) -> bytes:
    """The contact sheet of all jobs that were asked for together; what has no picture is drawn as missing.

    Raises
    ------
    NotFoundError
        when there is no such sheet.
    """
    views = await studio.jobs(sheet_id=sheet_id, limit=MAX_PICTURES)
    versions = _newest_tries([version_of_job(view) for view in views])
    if not versions:
        raise NotFoundError(f"there is no sheet {sheet_id}")
    return await asyncio.to_thread(_draw, studio.library, sheet_id, versions)


def _draw(library: Library, sheet_id: str, versions: list[Version]) -> bytes:
    axes = contact_axes(versions)
    by_key = {version.key: version for version in versions}
    columns = len(axes.columns) if axes else min(PLAIN_COLUMNS, len(versions))
    files = {
        image.id: library.data / image.file
        for image in library.images(sheet_id=sheet_id, rejected=None, limit=MAX_PICTURES)
    }
    cells = []
    for key in axes.order if axes else list(by_key):
        if key is None:
            cells.append(Cell(None))
            continue
        version = by_key[key]
        caption = words.duration(version.elapsed_s) if key in files else version.state
        cells.append(Cell(files.get(key), caption if axes else f"seed {version.job.seed} · {caption}"))
    cells += [Cell(None)] * (-len(cells) % columns)
    return contact_sheet_png(
        [cells[start : start + columns] for start in range(0, len(cells), columns)],
        row_labels=axes.rows if axes and any(axes.rows) else (),
        column_labels=axes.columns if axes else (),
        title=title_of(versions[0]),
    )


def _newest_tries(versions: list[Version]) -> list[Version]:
    """Of a picture that was tried again, after it failed or was cancelled, the last try alone; in the order of asking.

    Otherwise two would claim one place, and the sheet would lose its rows and columns.
    """
    tries: dict[Job, Version] = {}
    for version in sorted(versions, key=lambda version: version.key):
        tries[_as_asked(version.job)] = version
    return list(tries.values())


def _as_asked(job: Job) -> Job:
    """Without what a smaller try changes, and without the draft."""
    return replace(job, width=PATCH_PX, height=PATCH_PX, preset=None, snap_resolution=False, parent_id=None)


def title_of(version: Version) -> str:
    return words.excerpt(version.job.prompt, 120)
