"""What is done to pictures and jobs of one page: the verbs of its buttons and keys. Draws nothing."""

from __future__ import annotations

import asyncio

from hidream_studio.errors import ConflictError
from hidream_studio.job.profiles import PresetId
from hidream_studio.page import words
from hidream_studio.page.state.cells import SheetModel
from hidream_studio.page.state.choice import Choice
from hidream_studio.page.state.column import Column
from hidream_studio.page.state.compose import not_recalled, recalled, with_loras_of
from hidream_studio.page.state.finishing import Finishing
from hidream_studio.page.state.guard import Guard
from hidream_studio.page.state.pictures import missing_words
from hidream_studio.page.state.remembered import Remembered
from hidream_studio.page.state.shown import Shown
from hidream_studio.page.state.signals import PageSignals
from hidream_studio.page.state.uploads import Uploads
from hidream_studio.page.state.versions import LIVE, Version, version_of_image, version_of_job
from hidream_studio.service.studio import Studio


class Verbs:
    def __init__(
        self,
        studio: Studio,
        model: SheetModel,
        *,
        choice: Choice,
        shown: Shown,
        column: Column,
        uploads: Uploads,
        finishing: Finishing,
        remembered: Remembered,
        on: PageSignals,
        guard: Guard,
    ) -> None:
        self._studio = studio
        self._model = model
        self._choice = choice
        self._shown = shown
        self._column = column
        self._uploads = uploads
        self._finishing = finishing
        self._remembered = remembered
        self._on = on
        self._say = guard.say

    async def favourite(self, root: str) -> None:
        front = self._model.front(root)
        if front is not None and front.has_image:
            await self._update_image(front.key, favourite=not front.favourite)

    async def reject(self, root: str) -> None:
        front = self._model.front(root)
        if front is None or not front.has_image:
            return
        rejected = not front.rejected
        await self._update_image(front.key, rejected=rejected)
        if rejected:
            self._choice.unpick(root)
            self._on.marks()
            self._say(f"Rejected seed {front.job.seed}.", "Undo", lambda: self._undo_reject(front.key))

    async def delete(self, root: str) -> None:
        """A rejected picture goes for good: file, thumbnail and row."""
        front = self._model.front(root)
        if front is None or not front.rejected:
            return
        held = await self._uploads.held(front.job)
        await asyncio.to_thread(self._studio.library.delete_image, front.key)
        await self._uploads.put_back(held)
        self._shown.forget(front.key)
        self._studio.publish("image", {"id": front.key, "deleted": True})
        self._say(f"Deleted seed {front.job.seed}.")

    async def _undo_reject(self, key: str) -> None:
        await self._update_image(key, rejected=False)

    async def _update_image(self, key: str, **changes: bool) -> None:
        record = await asyncio.to_thread(self._studio.library.update_image, key, **changes)
        self._shown.take(version_of_image(record))
        self._studio.publish("image", {"id": key, **changes})  # other tabs look at it anew

    async def finish(self, versions: list[Version], preset_id: PresetId) -> None:
        """All of them, or none where the queue has no room for all."""
        if versions:
            keys = [version.key for version in versions]
            await self._studio.finish_all(keys, self._finishing.request(preset_id))

    async def finish_selected(self, preset_id: PresetId) -> None:
        front = self._choice.front()
        if front is None or not front.has_image:
            self._say("Select a finished picture first.")
            return
        await self.finish([front], preset_id)

    async def cancel(self, root: str) -> None:
        living = [version for version in self._model.family(root) if version.state in LIVE]
        front = self._model.front(root)
        if front is not None and front in living:
            living = [front]
        for version in living[-1:]:
            try:
                await self._studio.cancel(version.key)
            except ConflictError:
                view = await self._studio.job(version.key)
                if view.state in LIVE:  # it waits for another version
                    raise
                self._shown.take(version_of_job(view))  # it ended while the click was on its way

    async def retry(self, root: str, *, smaller: bool = False) -> None:
        front = self._model.front(root)
        if front is not None:
            await self._studio.retry(front.key, smaller=smaller)
            self.dismiss(front.key)

    def dismiss(self, *keys: str) -> None:
        """A failed or cancelled job's cell goes; the job itself stays in the history."""
        self._remembered.dismiss(*keys)
        self._shown.forget(*keys)

    def dismiss_cancelled(self, group_id: str) -> None:
        """All ghosts of a group at once."""
        group = self._model.group(group_id)
        fronts = [self._model.front(root) for root in group.roots] if group is not None else []
        self.dismiss(*(front.key for front in fronts if front is not None and front.state == "cancelled"))

    async def use_as_picture(self, root: str) -> None:
        """Its picture goes into the model, as the last of the column's."""
        picture = self._model.shown_picture(root)
        if picture is None:
            self._say("Select a finished picture first.")
        else:
            await self._uploads.add_version(picture)

    def recall(self, root: str) -> None:
        front = self._model.front(root)
        if front is not None and front.unreadable is not None:
            self._say(f"These settings cannot be recalled: {front.unreadable}.")
        elif front is not None:
            state = recalled(front.job, self._column.state, self._studio.profile)
            state, lacking = with_loras_of(state, self._studio.loras)
            pictures = self._uploads.found(state.pictures)
            self._column.write(state.changed(pictures=pictures))
            notes = [not_recalled(front.job, self._studio.profile), missing_words(pictures)]
            notes += map(words.sentence, lacking)
            self._say(" ".join((f"Recalled the settings of seed {front.job.seed}.", *filter(None, notes))))

    def recall_seed(self, root: str) -> None:
        front = self._model.front(root)
        if front is not None:
            self._column.write(self._column.state.changed(seed=str(front.job.seed), count=1))
            self._say(f"Seed {front.job.seed} is set.")
