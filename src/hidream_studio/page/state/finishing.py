"""How pictures are finished, and what that takes: the chosen mode and strength, remembered. Queues nothing."""

from __future__ import annotations

from typing import Any, get_args

from hidream_studio.job.profiles import PresetId
from hidream_studio.job.request import FinishMode, FinishRequest
from hidream_studio.page.state.remembered import Remembered
from hidream_studio.page.state.versions import Version
from hidream_studio.service.studio import Studio

MODE_KEY, STRENGTH_KEY = "finish_mode", "finish_strength"  # of the remembered view


class Finishing:
    """One page's choice; `strength` is that of keep-composition, 0 (the draft) to 1 (all new)."""

    def __init__(self, studio: Studio, remembered: Remembered) -> None:
        self.mode: FinishMode = "re-render"
        self.strength = studio.profile.keep_composition_strength
        self._studio = studio
        self._remembered = remembered

    def load(self) -> None:
        """Take up what was remembered."""
        self._set(self._remembered.view.finish_mode, self._remembered.view.finish_strength)

    def choose(self, *, mode: Any = None, strength: Any = None) -> None:
        """Take a browser's word for one of them, and remember it; what is no mode and no strength changes nothing."""
        if taken := self._set(mode, strength):
            self._remembered.keep_view(**taken)

    def request(self, preset_id: PresetId) -> FinishRequest:
        strength = self.strength if self.mode == "keep-composition" else None
        return FinishRequest(mode=self.mode, preset=preset_id, strength=strength)

    def price(self, versions: list[Version], preset_id: PresetId) -> float:
        """Seconds for finishing all of these. Raises RequestError."""
        return self._studio.finish_all_s([version.job for version in versions], self.request(preset_id))

    def _set(self, mode: Any, strength: Any) -> dict[str, Any]:
        """What was taken up, as it is remembered."""
        taken: dict[str, Any] = {}
        if mode in get_args(FinishMode):
            taken[MODE_KEY] = self.mode = mode
        if isinstance(strength, int | float) and 0 <= strength <= 1:
            taken[STRENGTH_KEY] = self.strength = float(strength)
        return taken
