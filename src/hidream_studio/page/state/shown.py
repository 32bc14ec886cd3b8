"""Which versions one page shows: read from the library, then kept as the studio tells. Knows nothing of typing."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from hidream_studio.errors import NotFoundError, StudioError
from hidream_studio.page.state.cells import SheetModel
from hidream_studio.page.state.choice import Choice
from hidream_studio.page.state.guard import Guard
from hidream_studio.page.state.remembered import Remembered
from hidream_studio.page.state.shelf import Look, read_versions
from hidream_studio.page.state.signals import PageSignals
from hidream_studio.page.state.versions import Version, version_of_job
from hidream_studio.service.studio import Studio

PAGE_OF_PICTURES = 200  # loaded at once
MOST_KEPT = 2 * PAGE_OF_PICTURES  # on a page that stays open; older ones go, and come back with "Show older"
LOOK_AGAIN_S = 0.5  # after a picture came that a search may find


class Shown:
    def __init__(
        self,
        studio: Studio,
        model: SheetModel,
        choice: Choice,
        remembered: Remembered,
        on: PageSignals,
        guard: Guard,
    ) -> None:
        self.look = Look()
        self.more = False
        self.kept = MOST_KEPT
        self.replaced: set[str] = set()  # live drafts that a later one took the place of: they leave no ghost
        self._studio = studio
        self._model = model
        self._choice = choice
        self._remembered = remembered
        self._on = on
        self._guard = guard
        self._turn = 0
        self._heard: list[set[str]] = []
        self._look_task: asyncio.Task[None] | None = None

    # read from the library

    async def reload(self, *, keep_older: bool = False) -> None:
        limit = PAGE_OF_PICTURES + (len(self._model) if keep_older else 0)
        look = self.look
        heard: set[str] = set()  # jobs that changed while the library was read: what it said of them is old
        self._heard.append(heard)
        try:
            versions = await read_versions(self._studio, look, set(self._remembered.dismissed), limit)
        finally:
            self._heard.remove(heard)
        if look != self.look:
            return
        self.more = sum(1 for version in versions if version.has_image) >= limit
        self._model.load(version for version in versions if look.matches(version, self._studio.profile))
        self.kept = max(MOST_KEPT, len(self._model) + PAGE_OF_PICTURES)
        if self._choice.selected is not None and self._choice.selected not in self._model:
            self._choice.selected = None
        for job_id in heard:
            await self.refresh_job(job_id)

    async def show(self, look: Look | None = None, *, older: bool = False) -> None:
        """Another filter, another search, or more of the past."""
        before, self.look = self.look, look or self.look
        self._turn += 1
        turn = self._turn
        try:
            await self.reload(keep_older=older)
        except StudioError:
            self.look = before
            raise
        if turn == self._turn:  # else somebody typed on: the later look draws
            self._on.sheet()
            self._on.marks()

    # told by the studio

    async def refresh_job(self, job_id: str) -> None:
        """A job's state changed somewhere: look at it."""
        for heard in self._heard:
            heard.add(job_id)
        try:
            view = await self._studio.job(job_id)
        except NotFoundError:
            self.forget(job_id)
            return
        if job_id in self._remembered.dismissed:
            return
        if view.state == "cancelled" and job_id in self.replaced:
            self._remembered.dismiss(job_id)  # after a reload, too
            self.forget(job_id)
            return
        known = self._model.version(job_id)
        version = version_of_job(view)
        if known is not None and known.has_image:
            return  # its picture is there; an event that was under way comes late
        if known is not None and known.state == version.state == "running":
            version = replace(version, preview=known.preview)
            self._model.put(version)
            self._on.progress(version)
            return
        self.take(replace(version, model=self._studio.health().model) if version.has_image else version)

    def take(self, version: Version) -> None:
        """A version as it is now: new, or in another state."""
        known = self._model.version(version.key)
        if known is None and not (self.look.takes_new and self.look.matches(version, self._studio.profile)):
            if version.has_image and not self.look.takes_new:
                self._look_again_soon()  # it may fit the search
            return
        before = self._model.root_of(version.key) if known else None
        group, cells_changed = self._model.put(version)
        root = self._model.root_of(version.key)
        if cells_changed:
            self._on.group(group.id)
            self._trim()
        else:
            self._on.cell(before or root)
        if self._choice.holds(root):
            self._on.marks()

    def take_asked(self, versions: list[Version]) -> str | None:
        """Jobs that this page asked for; the first that the look has a place for."""
        for version in versions:
            if version.key not in self._model:  # its event may have been quicker
                self.take(version)
        return next((version.key for version in versions if version.key in self._model), None)

    def forget(self, *keys: str) -> None:
        """Versions that are shown no longer."""
        for key in keys:
            if key not in self._model:
                continue
            root = self._model.root_of(key)
            family = self._model.family(root)
            group = self._model.drop(key)
            if key in self._choice.picked:
                self._choice.picked.remove(key)
            if self._model.front(root) is None and self._choice.selected == root:
                left = [version.key for version in family if version.key in self._model]
                self._choice.selected = self._model.root_of(left[-1]) if left else None
            if group is None:
                self._on.sheet()
            else:
                self._on.group(group.id)
            self._on.marks()

    def sweep_rejected(self) -> None:
        """What was rejected stays as a ghost, so that it can be undone, until the next round starts."""
        if self.look.filter != "rejected":
            self.forget(*[version.key for version in self._model if version.rejected])

    def _look_again_soon(self) -> None:
        if self._look_task is None or self._look_task.done():
            self._look_task = asyncio.create_task(self._look_again())

    async def _look_again(self) -> None:
        await asyncio.sleep(LOOK_AGAIN_S)
        with self._guard:
            await self.show()

    def _trim(self) -> None:
        """A page that stays open for days holds no more than one that was just opened."""
        for group in self._model.trim(self.kept, self._choice.roots()):
            self._on.group(group.id)
            self.more = True
