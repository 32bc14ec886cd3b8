"""The cost model against this run: what it would have predicted for each setting without having seen its size."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hidream_studio.bench.folder import Sample
from hidream_studio.bench.plan import Plan, Setting
from hidream_studio.bench.summary import Row
from hidream_studio.errors import CheckpointError
from hidream_studio.job.estimate import CostKey, CostModel, CostSample
from hidream_studio.job.record import Timings
from hidream_studio.job.workload import SHAPE_8B, TEMPLATE_TOKENS, ModelShape, Workload
from hidream_studio.settings import EMBEDDED_CHECKPOINT

CHARS_PER_TOKEN = 4  # of plain English; a few tokens either way cost nothing


@dataclass(frozen=True)
class Predicted:
    """One setting's seconds: measured, and predicted in two ways."""

    setting_id: str
    measured_s: float
    server_s: float | None  # by the server, before this run
    unseen_s: float | None  # by a model fitted on the run's other sizes (with one size: on its other settings)
    low_s: float | None
    high_s: float | None
    learned_from: str  # e.g. "1024×1024, 2048×2048"

    @property
    def error(self) -> float | None:
        """Relative, of the prediction without having seen it."""
        return None if self.unseen_s is None else self.unseen_s / self.measured_s - 1


def shape_of(server: Mapping[str, Any]) -> ModelShape | None:
    """The shape of the server's model: as it tells, from its folder on this machine, else by its profile."""
    told = server.get("shape")
    if isinstance(told, Mapping):
        try:
            return ModelShape(**told)
        except TypeError:
            return None  # a newer server counts otherwise
    profile, model = str(server.get("profile", "")), str(server.get("model", ""))
    folders = [Path(model)] if model else []
    if profile == "o1-tiny":
        folders.append(EMBEDDED_CHECKPOINT)
    for folder in folders:
        try:
            return ModelShape.from_config(json.loads((folder / "config.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, CheckpointError):
            continue
    return SHAPE_8B if profile.startswith("hidream-o1-image") else None


def predictions(
    plan: Plan, rows: Sequence[Row], samples: Sequence[Sample], shape: ModelShape | None, before_s: Mapping[str, float]
) -> list[Predicted]:
    """One entry for each row."""
    key = _key(plan.server)
    found = []
    for row in rows:
        others = [other for other in rows if other.rendered != row.rendered]
        learned_from = ", ".join(dict.fromkeys(f"{o.rendered[0]}×{o.rendered[1]}" for o in others))
        if not others:
            others = [other for other in rows if other is not row]
            learned_from = "its other steps and guidance"
        prediction = None
        if shape is not None and others:
            ids = {other.setting.id for other in others}
            known = [cost_sample(plan, s, key) for s in samples if s.setting_id in ids]
            model = CostModel.fit(shape, key, known)
            prediction = model.predict(_workload(plan, row.setting, 0), text_kept=True)
        found.append(
            Predicted(
                setting_id=row.setting.id,
                measured_s=row.time.median_s,
                server_s=before_s.get(row.setting.id),
                unseen_s=prediction.seconds if prediction else None,
                low_s=prediction.low_s if prediction else None,
                high_s=prediction.high_s if prediction else None,
                learned_from=learned_from if prediction else "",
            )
        )
    return found


def fitted(plan: Plan, samples: Sequence[Sample], shape: ModelShape | None) -> CostModel | None:
    """The model that learned from every sample of the run."""
    if shape is None or not samples:
        return None
    key = _key(plan.server)
    return CostModel.fit(shape, key, [cost_sample(plan, sample, key) for sample in samples])


def cost_sample(plan: Plan, sample: Sample, key: CostKey) -> CostSample:
    work = _workload(plan, plan.setting(sample.setting_id), sample.prompt_index)
    parts = {
        name: sample.timings[name] for name in ("text_s", "steps_s", "decode_s", "png_s") if name in sample.timings
    }
    timings = Timings(**parts) if len(parts) == 4 else None
    return CostSample.of(key, work, elapsed_s=sample.seconds, timings=timings)


def _workload(plan: Plan, setting: Setting, prompt_index: int) -> Workload:
    text = TEMPLATE_TOKENS + len(plan.wishes.prompts[prompt_index].text) // CHARS_PER_TOKEN
    negative = TEMPLATE_TOKENS + len(plan.wishes.fixed.negative_prompt or "") // CHARS_PER_TOKEN
    return Workload(setting.image_tokens, setting.resolved.steps, text, negative if setting.resolved.cfg else None)


def _key(server: Mapping[str, Any]) -> CostKey:
    parts = [str(server.get(name, "")) for name in ("device", "precision", "numeric_path", "fingerprint")]
    return CostKey(*parts)
