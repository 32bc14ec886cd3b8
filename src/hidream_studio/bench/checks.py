"""Who can tell whether a picture shows what its prompt demands: found by name among what is installed. Judges nothing.

A package that can judge names a function in its entry points, group `hidream_studio.checks`. It takes a picture,
(height, width, 3) in 0 to 255, and the demands that the suite's prompt carries, and answers what is wrong, in words;
nothing wrong means that the picture shows all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

from hidream_studio.bench.metrics import Pixels
from hidream_studio.bench.suites import Prompt
from hidream_studio.errors import RequestError

GROUP = "hidream_studio.checks"

Judge = Callable[[Pixels, Mapping[str, Any]], tuple[str, ...]]


@dataclass(frozen=True)
class Judges:
    """Those that a run's prompts ask for and this environment has; a note for each that it lacks."""

    by_name: Mapping[str, Judge]
    notes: tuple[str, ...] = ()

    def wrong(self, prompt: Prompt, pixels: Pixels) -> tuple[str, ...] | None:
        """What the picture gets wrong; None where nobody can tell."""
        judge = self.by_name.get(prompt.check.judge) if prompt.check is not None else None
        return None if judge is None or prompt.check is None else judge(pixels, prompt.check.demands)


def find_judges(prompts: Iterable[Prompt]) -> Judges:
    """The judges that the prompts name.

    Raises
    ------
    RequestError
        when one is installed and cannot be loaded; says why.
    """
    found: dict[str, Judge] = {}
    notes: list[str] = []
    for name in sorted({prompt.check.judge for prompt in prompts if prompt.check is not None}):
        entry = next(iter(entry_points(group=GROUP, name=name)), None)
        if entry is None:
            notes.append(f"whether pictures show what was asked is not measured: no judge {name!r} is installed")
            continue
        try:
            found[name] = entry.load()
        except (ImportError, AttributeError) as error:
            raise RequestError(
                f"the judge {name!r} of the suite's prompts ({entry.value}) cannot be loaded: {error}", field="suite"
            ) from error
    return Judges(found, tuple(notes))
