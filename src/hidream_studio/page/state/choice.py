"""What is chosen on one page: the selected picture, the picks, the version that a cell shows. Asks no studio."""

from __future__ import annotations

from hidream_studio.page.state.cells import SheetModel
from hidream_studio.page.state.guard import Guard
from hidream_studio.page.state.signals import PageSignals
from hidream_studio.page.state.versions import Version

MAX_COMPARED = 4


class Choice:
    def __init__(self, model: SheetModel, on: PageSignals, guard: Guard) -> None:
        self.selected: str | None = None  # root key
        self.picked: list[str] = []  # version keys, at most one of a family
        self._model = model
        self._on = on
        self._guard = guard

    def front(self) -> Version | None:
        return self._model.front(self.selected) if self.selected is not None else None

    def picked_versions(self) -> list[Version]:
        """A pick stands for the picture that its cell shows; while a final of it is drawn, for the one before."""
        found = (self._model.shown_picture(self._model.root_of(key)) for key in self.picked)
        return [version for version in found if version is not None and not version.rejected]

    def holds(self, root: str) -> bool:
        """Whether that cell is selected, or picked."""
        return self.selected == root or any(self._model.root_of(key) == root for key in self.picked)

    def roots(self) -> set[str]:
        """The cells that are selected or picked."""
        return {self._model.root_of(key) for key in self.picked} | ({self.selected} if self.selected else set())

    def select(self, root: str | None) -> None:
        if root != self.selected:
            self.selected = root
            self._on.marks()

    def show_version(self, root: str, key: str) -> None:
        self._model.choose(root, key)
        self.selected = root
        self._on.cell(root)
        self._on.marks()

    def pick(self, root: str) -> None:
        front = self._model.front(root)
        if front is None or not front.has_image:
            return
        if not self.unpick(root):
            self.picked.append(front.key)
        self._on.marks()

    def unpick(self, root: str) -> bool:
        """Whether it was picked. Whoever asks tells the regions."""
        before = self.picked
        self.picked = [key for key in before if self._model.root_of(key) != root]
        return len(self.picked) < len(before)

    def clear_picks(self) -> None:
        self.picked.clear()
        self._on.marks()

    def compare(self) -> None:
        """The picks; without any, the selected picture's family."""
        versions = self.picked_versions()
        if len(versions) < 2 and self.selected is not None:
            versions = [version for version in self._model.family(self.selected) if version.has_image]
        if not 2 <= len(versions) <= MAX_COMPARED:
            now = f"{len(versions)} are picked" if len(versions) > MAX_COMPARED else "pick them with Space"
            self._guard.say(f"Compare takes 2 to {MAX_COMPARED} pictures: {now}.")
            return
        self._on.view(versions)
