"""How pictures are finished: the mode and the strength that are chosen, and remembered. Queues nothing."""

from __future__ import annotations

from typing import Any, get_args

from hidream_studio.job.profiles import PresetId
from hidream_studio.job.request import FinishMode, FinishRequest
from hidream_studio.page.state.remembered import Remembered

MODE_KEY, STRENGTH_KEY = "finish_mode", "finish_strength"  # of the remembered view


class Finishing:
    """One page's choice; `strength` is that of keep-composition, 0 (the draft) to 1 (all new)."""

    def __init__(self, remembered: Remembered, strength: float) -> None:
        self.mode: FinishMode = "re-render"
        self.strength = strength
        self._remembered = remembered

    def load(self) -> None:
        """Take up what was remembered, where it makes sense."""
        view = self._remembered.view
        self._set(view.get(MODE_KEY), view.get(STRENGTH_KEY))

    def choose(self, *, mode: Any = None, strength: Any = None) -> None:
        """Take a browser's word for one of them, and remember it; what is no mode and no strength changes nothing."""
        if taken := self._set(mode, strength):
            self._remembered.keep_view(**taken)

    def request(self, preset_id: PresetId) -> FinishRequest:
        strength = self.strength if self.mode == "keep-composition" else None
        return FinishRequest(mode=self.mode, preset=preset_id, strength=strength)

    def _set(self, mode: Any, strength: Any) -> dict[str, Any]:
        """What was taken up, as it is remembered."""
        taken: dict[str, Any] = {}
        if mode in get_args(FinishMode):
            taken[MODE_KEY] = self.mode = mode
        if isinstance(strength, int | float) and 0 <= strength <= 1:
            taken[STRENGTH_KEY] = self.strength = float(strength)
        return taken
