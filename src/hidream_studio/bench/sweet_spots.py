"""The cheapest settings that lose no more than the user allows, by class of prompt, and presets from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from hidream_studio.bench.losses import PictureLoss
from hidream_studio.bench.metrics import METRICS_BY_KEY
from hidream_studio.bench.plan import Plan
from hidream_studio.bench.summary import Row
from hidream_studio.errors import RequestError

COMPOSITION = ("quarter_psnr_db", "quarter_ssim", "quarter_ms_ssim", "quarter_gmsd", "adherence")
DEFAULT_LIMITS: Mapping[str, float] = {"quarter_ssim": 0.80}  # a start, not a truth: the user's eye sets it
CHECKED_LIMITS: Mapping[str, float] = {"adherence": 0.95}  # where the prompts' demands can be checked


@dataclass(frozen=True)
class SweetSpot:
    prompt_class: str
    row: Row | None  # None: no measured setting stays within the limits
    values: dict[str, float]  # of the limited metrics, means over the class


@dataclass(frozen=True)
class ProposedPreset:
    id: str  # quick, standard, high
    row: Row
    why: str

    def to_dict(self) -> dict[str, object]:
        """As `/api/presets` names its fields."""
        resolved = self.row.setting.resolved
        return {
            "id": self.id, "width": self.row.rendered[0], "height": self.row.rendered[1], "snap_resolution": False,
            "steps": resolved.steps, "guidance_scale": resolved.guidance_scale,
            "seconds": round(self.row.time.median_s, 3), "why": self.why,
        }  # fmt: skip


def parse_limit(text: str) -> tuple[str, float]:
    """`METRIC=VALUE`. Raises RequestError when it is none."""
    key, equals, value = text.partition("=")
    if not equals or key not in METRICS_BY_KEY:
        known = ", ".join(METRICS_BY_KEY)
        raise RequestError(f"--limit {text!r} is not METRIC=VALUE with a METRIC of {known}", field="limit")
    try:
        return key, float(value)
    except ValueError:
        raise RequestError(f"--limit {text!r}: {value!r} is no number", field="limit") from None


def default_limits(losses: Sequence[PictureLoss]) -> dict[str, float]:
    checked = any("adherence" in loss.values for loss in losses)
    return dict(CHECKED_LIMITS if checked else DEFAULT_LIMITS)


def sweet_spots(
    plan: Plan, rows: Sequence[Row], losses: Sequence[PictureLoss], limits: Mapping[str, float]
) -> list[SweetSpot]:
    """By class, the fastest setting whose mean loss over the class stays within every limit."""
    classes = dict.fromkeys(prompt.prompt_class for prompt in plan.wishes.prompts)
    return [_sweet_spot(name, rows, losses, limits) for name in classes]


def proposed_presets(
    plan: Plan, rows: Sequence[Row], losses: Sequence[PictureLoss], limits: Mapping[str, float]
) -> list[ProposedPreset]:
    """Quick holds the composition's limits, Standard all limits for half of the classes, High for every class."""
    classes = list(dict.fromkeys(prompt.prompt_class for prompt in plan.wishes.prompts))
    composition = {key: value for key, value in limits.items() if key in COMPOSITION}
    wanted = (
        ("quick", composition, 0.5, "keeps the composition's limits for at least half of the classes"),
        ("standard", dict(limits), 0.5, "keeps every limit for at least half of the classes"),
        ("high", dict(limits), 1.0, "keeps every limit for every class"),
    )
    presets = []
    for preset_id, needed, share, why in wanted:
        if not needed:
            continue
        for row in sorted(rows, key=lambda row: row.time.median_s):
            held = sum(_holds(row, name, losses, needed) for name in classes)
            if held >= share * len(classes):
                presets.append(ProposedPreset(preset_id, row, why))
                break
    return presets


def _sweet_spot(
    prompt_class: str, rows: Sequence[Row], losses: Sequence[PictureLoss], limits: Mapping[str, float]
) -> SweetSpot:
    for row in sorted(rows, key=lambda row: row.time.median_s):
        if _holds(row, prompt_class, losses, limits):
            return SweetSpot(prompt_class, row, _means(row, prompt_class, losses, limits))
    return SweetSpot(prompt_class, None, {})


def _holds(row: Row, prompt_class: str, losses: Sequence[PictureLoss], limits: Mapping[str, float]) -> bool:
    means = _means(row, prompt_class, losses, limits)
    is_own_reference = row.setting.reference_id == row.setting.id or row.setting.is_reference
    for key, limit in limits.items():
        if key in means:
            if not METRICS_BY_KEY[key].holds(means[key], limit):
                return False
        elif not is_own_reference:  # nothing was measured: no promise; the reference loses nothing against itself
            return False
    return True


def _means(row: Row, prompt_class: str, losses: Sequence[PictureLoss], limits: Mapping[str, float]) -> dict[str, float]:
    mine = [loss for loss in losses if loss.setting_id == row.setting.id and loss.prompt_class == prompt_class]
    return {
        key: fmean(values) for key in limits if (values := [loss.values[key] for loss in mine if key in loss.values])
    }
