"""One open page: what it shows, what is chosen on it, and the verbs of its buttons and keys. Draws nothing itself."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from typing import Any

from hidream_studio.errors import ConflictError, NotFoundError, StudioError
from hidream_studio.job.job import RANDOM_SEED_BITS
from hidream_studio.job.profiles import PresetId
from hidream_studio.job.record import JobView
from hidream_studio.job.request import GenerationRequest
from hidream_studio.page.state.cells import SheetModel
from hidream_studio.page.state.compose import (
    PLACEHOLDER_PROMPT,
    ComposeState,
    Plan,
    plan,
    recalled,
    restored_state,
    stored_state,
)
from hidream_studio.page.state.finishing import Finishing
from hidream_studio.page.state.live import LiveDraft
from hidream_studio.page.state.remembered import Remembered
from hidream_studio.page.state.shelf import Look, read_versions
from hidream_studio.page.state.signals import Signal, Toast
from hidream_studio.page.state.versions import Version, version_of_image, version_of_job
from hidream_studio.service.studio import Studio
from hidream_studio.service.views import Estimate

PAGE_OF_PICTURES = 200  # loaded at once
MOST_KEPT = 2 * PAGE_OF_PICTURES  # on a page that stays open; older ones go, and come back with "Show older"
LOOK_AGAIN_S = 0.5  # after a picture came that a search may find
MAX_COMPARED = 4


class Session:
    """State of one page and what can be done on it. Regions listen to its signals and draw."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.profile = studio.profile
        self.model = SheetModel(studio.profile, self.smaller_s)
        self.compose: ComposeState = restored_state(None, studio.profile)
        self.remembered = Remembered(studio.library)
        self.finishing = Finishing(self.remembered, studio.profile.keep_composition_strength)
        self.look = Look()
        self.more = False
        self.kept = MOST_KEPT
        self._shown = 0
        self.selected: str | None = None  # root key
        self.picked: list[str] = []  # version keys, at most one of a family
        self._live = LiveDraft(studio, self._live_request, self.select)
        self._heard: list[set[str]] = []
        self.next_seed = secrets.randbits(RANDOM_SEED_BITS)

        self.on_sheet = Signal()  # all of it
        self.on_group = Signal()  # (group id): cells came or went
        self.on_cell = Signal()  # (root): another picture or state
        self.on_progress = Signal()  # (version)
        self.on_marks = Signal()
        self.on_compose = Signal()  # written from elsewhere than by typing
        self.on_typed = Signal()  # anything in the column changed: prices do
        self.on_queue = Signal()
        self.on_prices = Signal()  # a picture is done: what others will take is known better
        self.on_worker = Signal()
        self.on_toast = Signal()  # (Toast)
        self.on_asked = Signal()  # (first new root, or None where the look has no place for it): Generate was pressed
        self.on_view = Signal()  # (list of versions): open the viewer

        self._look_task: asyncio.Task[None] | None = None

    # reading

    async def load(self) -> None:
        """Everything that a first drawing needs, from the library; SQLite is the truth, the page only a view."""
        self.compose = restored_state(await self.remembered.load(), self.profile)
        self.finishing.load()
        await self.reload()

    async def reload(self, *, keep_older: bool = False) -> None:
        limit = PAGE_OF_PICTURES + (len(self.model) if keep_older else 0)
        look = self.look
        heard: set[str] = set()  # jobs that changed while the library was read: what it said of them is old
        self._heard.append(heard)
        try:
            versions = await read_versions(self.studio, look, set(self.remembered.dismissed), limit)
        finally:
            self._heard.remove(heard)
        if look != self.look:
            return
        self.more = sum(1 for version in versions if version.has_image) >= limit
        self.model.load(version for version in versions if self.look.matches(version, self.profile))
        self.kept = max(MOST_KEPT, len(self.model) + PAGE_OF_PICTURES)
        if self.selected is not None and self.selected not in self.model:
            self.selected = None
        for job_id in heard:
            await self.refresh_job(job_id)

    async def show(self, look: Look | None = None, *, older: bool = False) -> None:
        """Another filter, another search, or more of the past."""
        before, self.look = self.look, look or self.look
        self._shown += 1
        turn = self._shown
        try:
            await self.reload(keep_older=older)
        except StudioError:
            self.look = before
            raise
        if turn == self._shown:  # else somebody typed on: the later look draws
            self.on_sheet()
            self.on_marks()

    def front(self) -> Version | None:
        return self.model.front(self.selected) if self.selected is not None else None

    def picked_versions(self) -> list[Version]:
        """A pick stands for the picture that its cell shows; while a final of it is drawn, for the one before."""
        found = (self.model.shown_picture(self.model.root_of(key)) for key in self.picked)
        return [version for version in found if version is not None and not version.rejected]

    # compose

    def type(self, **changes: Any) -> None:
        """Somebody changed the column by hand."""
        self.compose = self.compose.changed(**changes)
        self._changed()

    def write(self, state: ComposeState) -> None:
        """The column is filled in from elsewhere: a preset, a recall, a dropped file."""
        self.compose = state
        self.on_compose()
        self._changed()

    def _changed(self) -> None:
        self.on_typed()
        self.remembered.keep_column_soon(lambda: stored_state(self.compose, self.profile))
        self._live.typed(live=self.compose.live)

    def plan(self, *, for_price: bool = False) -> Plan:
        return plan(
            self.compose, self.profile, random_seed=self.next_seed, prompt=PLACEHOLDER_PROMPT if for_price else None
        )

    def price(self, wanted: Plan) -> tuple[float, list[Estimate]]:
        """Seconds for all of its pictures, and the estimate of each setting."""
        estimates = [self.studio.estimate(request) for request in wanted.settings()]
        return sum(estimate.seconds for estimate in estimates) * len(wanted.seeds), estimates

    async def generate(self) -> None:
        wanted = self.plan()
        self.next_seed = secrets.randbits(RANDOM_SEED_BITS)
        self._sweep_rejected()
        if wanted.pictures == 1:
            views: tuple[JobView, ...] = (await self.studio.submit(wanted.single()),)
        else:
            views = (await self.studio.submit_sheet(wanted.sheet())).jobs
        versions = [version_of_job(view) for view in views]
        for version in versions:
            if version.key not in self.model:  # its event may have been quicker
                self.take(version)
        self.on_asked(next((version.key for version in versions if version.key in self.model), None))

    async def generate_new_seeds(self) -> None:
        """The same again with seeds that nobody has seen."""
        self.next_seed = secrets.randbits(RANDOM_SEED_BITS)
        if self.compose.seed:
            self.write(self.compose.changed(seed=""))
        await self.generate()

    def _sweep_rejected(self) -> None:
        """What was rejected stays as a ghost, so that it can be undone, until the next round starts."""
        if self.look.filter == "rejected":
            return
        for version in [version for version in self.model if version.rejected]:
            self.forget(version.key)

    def _live_request(self) -> GenerationRequest | None:
        """What live mode draws: nothing without a prompt."""
        return self.plan().single() if self.compose.prompt.strip() else None

    # choosing

    def select(self, root: str | None) -> None:
        if root != self.selected:
            self.selected = root
            self.on_marks()

    def choose_version(self, root: str, key: str) -> None:
        self.model.choose(root, key)
        self.selected = root
        self.on_cell(root)
        self.on_marks()

    def pick(self, root: str) -> None:
        front = self.model.front(root)
        if front is None or not front.has_image:
            return
        if not self._unpick(root):
            self.picked.append(front.key)
        self.on_marks()

    def _unpick(self, root: str) -> bool:
        before = self.picked
        self.picked = [key for key in before if self.model.root_of(key) != root]
        return len(self.picked) < len(before)

    def clear_picks(self) -> None:
        self.picked.clear()
        self.on_marks()

    def compare(self) -> None:
        """The picks; without any, the selected picture's family."""
        versions = self.picked_versions()
        if len(versions) < 2 and self.selected is not None:
            versions = [version for version in self.model.family(self.selected) if version.has_image]
        if not 2 <= len(versions) <= MAX_COMPARED:
            now = f"{len(versions)} are picked" if len(versions) > MAX_COMPARED else "pick them with Space"
            self.on_toast(Toast(f"Compare takes 2 to {MAX_COMPARED} pictures: {now}."))
            return
        self.on_view(versions)

    # verbs on pictures and jobs

    async def favourite(self, root: str) -> None:
        front = self.model.front(root)
        if front is not None and front.has_image:
            await self._update_image(front.key, favourite=not front.favourite)

    async def reject(self, root: str) -> None:
        front = self.model.front(root)
        if front is None or not front.has_image:
            return
        rejected = not front.rejected
        await self._update_image(front.key, rejected=rejected)
        if rejected:
            self._unpick(root)
            self.on_marks()
            self.on_toast(Toast(f"Rejected seed {front.job.seed}.", "Undo", lambda: self._undo_reject(front.key)))

    async def delete(self, root: str) -> None:
        """A rejected picture goes for good: file, thumbnail and row."""
        front = self.model.front(root)
        if front is None or not front.rejected:
            return
        await asyncio.to_thread(self.studio.library.delete_image, front.key)
        self.forget(front.key)
        self.studio.publish("image", {"id": front.key, "deleted": True})
        self.on_toast(Toast(f"Deleted seed {front.job.seed}."))

    async def _undo_reject(self, key: str) -> None:
        await self._update_image(key, rejected=False)

    async def _update_image(self, key: str, **changes: bool) -> None:
        record = await asyncio.to_thread(self.studio.library.update_image, key, **changes)
        self.take(version_of_image(record))
        self.studio.publish("image", {"id": key, **changes})  # other tabs look at it anew

    def finish_price(self, versions: list[Version], preset_id: PresetId) -> float:
        return sum(
            self.studio.estimate_finish_of(version.key, version.job, self.finishing.request(preset_id)).seconds
            for version in versions
        )

    def smaller_s(self, version: Version) -> float | None:
        """What a smaller try would take; None where that is no way out: another reason, or as small as can be."""
        if version.error is None or version.error.code != "out_of_memory":
            return None
        try:
            return self.studio.estimate_smaller(version.job).seconds
        except StudioError:
            return None

    async def finish(self, versions: list[Version], preset_id: PresetId) -> None:
        for version in versions:
            await self.studio.finish(version.key, self.finishing.request(preset_id))

    async def finish_selected(self, preset_id: PresetId) -> None:
        front = self.front()
        if front is None or not front.has_image:
            self.on_toast(Toast("Select a finished picture first."))
            return
        await self.finish([front], preset_id)

    async def cancel(self, root: str) -> None:
        living = [version for version in self.model.family(root) if version.state in ("queued", "running")]
        front = self.model.front(root)
        if front is not None and front in living:
            living = [front]
        for version in living[-1:]:
            try:
                await self.studio.cancel(version.key)
            except ConflictError:
                self.take(version_of_job(await self.studio.job(version.key)))  # it ended while the click was on its way

    async def retry(self, root: str, *, smaller: bool = False) -> None:
        front = self.model.front(root)
        if front is not None:
            await self.studio.retry(front.key, smaller=smaller)
            self.dismiss(front.key)

    def dismiss(self, *keys: str) -> None:
        """A failed or cancelled job's cell goes; the job itself stays in the history."""
        self.remembered.dismiss(*keys)
        for key in keys:
            self.forget(key)

    def dismiss_cancelled(self, group_id: str) -> None:
        """All ghosts of a group at once."""
        group = self.model.group(group_id)
        fronts = [self.model.front(root) for root in group.roots] if group is not None else []
        self.dismiss(*(front.key for front in fronts if front is not None and front.state == "cancelled"))

    def recall(self, root: str) -> None:
        front = self.model.front(root)
        if front is not None and front.unreadable is not None:
            self.on_toast(Toast(f"These settings cannot be recalled: {front.unreadable}."))
        elif front is not None:
            self.write(recalled(front.job, self.compose))
            self.on_toast(Toast(f"Recalled the settings of seed {front.job.seed}."))

    def recall_seed(self, root: str) -> None:
        front = self.model.front(root)
        if front is not None:
            self.write(self.compose.changed(seed=str(front.job.seed), count=1))
            self.on_toast(Toast(f"Seed {front.job.seed} is set."))

    # what comes in

    def take(self, version: Version) -> None:
        """A version as it is now: new, or in another state."""
        known = self.model.version(version.key)
        if known is None and not (self.look.takes_new and self.look.matches(version, self.profile)):
            if version.has_image and not self.look.takes_new:
                self._look_again_soon()  # it may fit the search
            return
        before = self.model.root_of(version.key) if known else None
        group, cells_changed = self.model.put(version)
        if cells_changed:
            self.on_group(group.id)
            self._trim()
        else:
            self.on_cell(before or self.model.root_of(version.key))
        root = self.model.root_of(version.key)
        if self.selected == root or any(self.model.root_of(key) == root for key in self.picked):
            self.on_marks()

    def _look_again_soon(self) -> None:
        if self._look_task is None or self._look_task.done():
            self._look_task = asyncio.create_task(self._look_again())

    async def _look_again(self) -> None:
        await asyncio.sleep(LOOK_AGAIN_S)
        await self.show()

    def _trim(self) -> None:
        """A page that stays open for days holds no more than one that was just opened."""
        keep = {self.model.root_of(key) for key in self.picked} | {self.selected or ""}
        for group in self.model.trim(self.kept, keep):
            self.on_group(group.id)
            self.more = True

    def forget(self, key: str) -> None:
        if key not in self.model:
            return
        root = self.model.root_of(key)
        group, _ = self.model.drop(key)
        if key in self.picked:
            self.picked.remove(key)
        if self.model.front(root) is None and self.selected == root:
            self.selected = None
        self.on_group(group.id)
        self.on_marks()

    async def refresh_job(self, job_id: str) -> None:
        """A job's state changed somewhere: look at it."""
        for heard in self._heard:
            heard.add(job_id)
        try:
            view: JobView = await self.studio.job(job_id)
        except NotFoundError:
            self.forget(job_id)
            return
        if job_id in self.remembered.dismissed:
            return
        if view.state == "cancelled" and self._live.has_replaced(job_id):
            self.remembered.dismiss(job_id)  # after a reload, too
            self.forget(job_id)
            return
        known = self.model.version(job_id)
        version = version_of_job(view)
        if known is not None and known.has_image:
            return  # its picture is there; an event that was under way comes late
        if known is not None and known.state == version.state == "running":
            version = replace(version, preview=known.preview)
            self.model.put(version)
            self.on_progress(version)
            return
        self.take(replace(version, model=self.studio.health().model) if version.has_image else version)
