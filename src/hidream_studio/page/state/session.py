"""One open page: its parts, put together around one studio. What each knows and does stands in its own file."""

from __future__ import annotations

from hidream_studio.errors import StudioError
from hidream_studio.page.state.cells import SheetModel
from hidream_studio.page.state.choice import Choice
from hidream_studio.page.state.column import Column
from hidream_studio.page.state.finishing import Finishing
from hidream_studio.page.state.guard import Guard
from hidream_studio.page.state.remembered import Remembered
from hidream_studio.page.state.shown import Shown
from hidream_studio.page.state.signals import PageSignals
from hidream_studio.page.state.uploads import Uploads
from hidream_studio.page.state.verbs import Verbs
from hidream_studio.page.state.versions import Version
from hidream_studio.service.studio import Studio


class Session:
    """Regions read its parts, call their verbs, and listen to `on`."""

    def __init__(self, studio: Studio, guard: Guard | None = None) -> None:
        self.studio = studio
        self.profile = studio.profile
        self.guard = guard or Guard()
        self.on = PageSignals(self.guard)
        self.remembered = Remembered(studio.library, self.guard)
        self.model = SheetModel(studio.profile, lambda version: smaller_s(studio, version))
        self.choice = Choice(self.model, self.on, self.guard)
        self.shown = Shown(studio, self.model, self.choice, self.remembered, self.on, self.guard)
        self.column = Column(studio, self.shown, self.choice, self.remembered, self.on, self.guard)
        self.uploads = Uploads(studio, self.column, self.guard)
        self.finishing = Finishing(studio, self.remembered)
        self.verbs = Verbs(
            studio, self.model, choice=self.choice, shown=self.shown, column=self.column, uploads=self.uploads,
            finishing=self.finishing, remembered=self.remembered, on=self.on, guard=self.guard,
        )  # fmt: skip
        self.run = self.guard.handler  # an act as the handler of a button
        self.say = self.guard.say

    async def load(self) -> None:
        """Everything that a first drawing needs, from the library; SQLite is the truth, the page only a view."""
        self.column.restore(await self.remembered.load())
        self.finishing.load()
        await self.shown.reload()
        self.uploads.check()


def smaller_s(studio: Studio, version: Version) -> float | None:
    """What a smaller try would take; None where that is no way out: another reason, or as small as can be."""
    if version.error is None or version.error.code != "out_of_memory":
        return None
    try:
        return studio.estimate_smaller(version.job).seconds
    except StudioError:
        return None
