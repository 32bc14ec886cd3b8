"""All that a run found, in one value: what every kind of report is written from, and its JSON and CSV twins."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hidream_studio.bench.cost import Predicted, fitted, predictions, shape_of
from hidream_studio.bench.folder import Sample
from hidream_studio.bench.losses import PictureLoss, mean_losses
from hidream_studio.bench.metrics import METRICS, Metric
from hidream_studio.bench.plan import Plan
from hidream_studio.bench.summary import (
    GuidanceRatio,
    LineFit,
    Row,
    guidance_ratios,
    line_fits,
    make_rows,
    sample_notes,
)
from hidream_studio.bench.sweet_spots import ProposedPreset, SweetSpot, default_limits, proposed_presets, sweet_spots

FORMAT = 1


@dataclass(frozen=True)
class Results:
    plan: Plan
    about: dict[str, Any]  # machine, server, created_at, estimates, as the run's folder keeps them
    notes: tuple[str, ...]
    samples: tuple[Sample, ...]
    losses: tuple[PictureLoss, ...]
    rows: tuple[Row, ...]
    fits: tuple[LineFit, ...]
    ratios: tuple[GuidanceRatio, ...]
    predicted: tuple[Predicted, ...]
    cost_model: dict[str, float] | None  # fitted numbers: base_s, token_s, forward_s, flops
    limits: dict[str, float]
    spots: tuple[SweetSpot, ...]
    presets: tuple[ProposedPreset, ...]
    missing: int  # pictures that were planned and are not there yet

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Those that were measured for at least one setting."""
        return tuple(metric for metric in METRICS if any(metric.key in row.losses for row in self.rows))


def gather(
    plan: Plan, about: dict[str, Any], notes: Sequence[str], samples: Sequence[Sample], losses: Sequence[PictureLoss],
    *, limits: dict[str, float] | None, planned: int,
) -> Results:  # fmt: skip
    """Everything that follows from the samples and losses of a run."""
    rows = make_rows(plan, samples, mean_losses(losses))
    shape = shape_of(plan.server)
    model = fitted(plan, samples, shape)
    used_limits = default_limits(losses) if limits is None else limits
    judged = [row for row in rows if row.losses or row.setting.is_reference]
    speed = model.speed if model else None
    return Results(
        plan=plan,
        about=about,
        notes=(*notes, *sample_notes(samples)),
        samples=tuple(samples),
        losses=tuple(losses),
        rows=tuple(rows),
        fits=tuple(line_fits(rows)),
        ratios=tuple(guidance_ratios(rows)),
        predicted=tuple(predictions(plan, rows, samples, shape, about.get("estimates_s", {}))),
        cost_model=None if speed is None else {**asdict(speed), "flops": speed.flops},
        limits=used_limits,
        spots=tuple(sweet_spots(plan, judged, losses, used_limits)) if losses else (),
        presets=tuple(proposed_presets(plan, judged, losses, used_limits)) if losses else (),
        missing=max(planned - len(samples), 0),
    )


def to_json(results: Results) -> dict[str, Any]:
    """The JSON twin: every reported number, with the commit, the machine, the settings and every raw sample."""
    return {
        "format": FORMAT,
        **results.about,
        "wishes": asdict(results.plan.wishes),
        "notes": list(results.notes),
        "missing_pictures": results.missing,
        "settings": [_row_dict(row) for row in results.rows],
        "lines": [asdict(fit) for fit in results.fits],
        "guidance_ratios": [asdict(ratio) for ratio in results.ratios],
        "predictions": [{**asdict(predicted), "error": predicted.error} for predicted in results.predicted],
        "cost_model": results.cost_model,
        "metrics": [asdict(metric) for metric in results.metrics],
        "losses": [asdict(loss) for loss in results.losses],
        "limits": results.limits,
        "sweet_spots": [
            {
                "prompt_class": spot.prompt_class,
                "setting": spot.row.setting.id if spot.row else None,
                "seconds": spot.row.time.median_s if spot.row else None,
                "values": spot.values,
            }
            for spot in results.spots
        ],
        "presets": [preset.to_dict() for preset in results.presets],
        "samples": [asdict(sample) for sample in results.samples],
    }


def to_csv(results: Results) -> str:
    """One line for each setting; the losses are means over prompts and seeds."""
    rows = [_flat(_row_dict(row)) for row in results.rows]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _row_dict(row: Row) -> dict[str, Any]:
    setting, resolved = row.setting, row.setting.resolved
    return {
        "id": setting.id,
        "names": list(setting.names),
        "is_reference": setting.is_reference,
        "reference": setting.reference_id,
        "requested_width": setting.asked[0],
        "requested_height": setting.asked[1],
        "width": row.rendered[0],
        "height": row.rendered[1],
        "steps": resolved.steps,
        "guidance_scale": resolved.guidance_scale,
        "cfg": resolved.cfg,
        "server": None if row.server is None else asdict(row.server),
        "client": asdict(row.client),
        "split_s": row.split_s,
        "step_s": row.step_s,
        "times_faster_than_reference": row.against_reference,
        "times_faster_than_most_steps": row.against_most_steps,
        "times_faster_than_largest": row.against_largest,
        "losses": row.losses,
        "adjustments": list(resolved.notes),
    }


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = "; ".join(str(item) for item in value) if isinstance(value, list) else value
    return flat
