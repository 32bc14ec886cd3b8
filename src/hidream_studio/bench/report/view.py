"""The report's content in words and tables, once, for HTML and Markdown alike. Knows neither."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from hidream_studio.bench.metrics import METRICS_BY_KEY, Metric
from hidream_studio.bench.report.findings import charted_metrics, findings, loss_chart, size_chart, steps_chart
from hidream_studio.bench.report.tables import (
    Table,
    class_table,
    loss_table,
    metric_value,
    prediction_table,
    preset_table,
    size_text,
    split_table,
    sweet_spot_table,
    timing_table,
)
from hidream_studio.bench.results import Results
from hidream_studio.settings import LOOPBACK_HOSTS

MAX_CLASS_TABLES = 2
LEFT_OUT = (
    "MS-SSIM is left out where a side is under 176 px, at full size or at a quarter. LPIPS, DISTS and CLIP are not "
    "measured: none of their weights come with the studio."
)


@dataclass(frozen=True)
class View:
    """Everything that a report says. Charts are SVG."""

    title: str
    subtitle: str
    facts: list[tuple[str, str]]
    notes: list[str]
    findings: list[str]
    timing_words: str
    timing: Table
    split: Table
    time_charts: list[tuple[str, str]]
    reference_words: str
    losses: Table | None
    loss_charts: list[tuple[str, str]]
    metrics: list[Metric]
    left_out: str
    classes: list[tuple[str, Table]]
    limits: str
    spots: Table | None
    presets: Table
    cost_words: str
    predictions: Table
    method_words: str
    machine: str


def make_view(results: Results) -> View:
    has_losses = any(row.losses for row in results.rows)
    charts = [("Time against steps, with the fitted line", steps_chart(results))]
    charts.append(("Time against size", size_chart(results)))
    classes = dict.fromkeys(prompt.prompt_class for prompt in results.plan.wishes.prompts)
    notes = list(results.notes)
    if results.missing:
        notes.insert(0, f"this run is not complete: {results.missing} pictures are missing; run the command again")
    return View(
        title="What every setting costs, and what it loses",
        subtitle=_subtitle(results),
        facts=_facts(results),
        notes=[note[0].upper() + note[1:] + "." for note in notes],
        findings=findings(results),
        timing_words=_timing_words(results),
        timing=timing_table(results),
        split=split_table(results),
        time_charts=[(caption, svg) for caption, svg in charts if svg],
        reference_words=_reference_words(results),
        losses=loss_table(results) if has_losses else None,
        loss_charts=[
            (f"{metric.label} against time", loss_chart(results, metric)) for metric in charted_metrics(results)
        ],
        metrics=list(results.metrics),
        left_out=LEFT_OUT,
        classes=[
            (f"{metric.label}: {metric.meaning}", class_table(results, metric))
            for metric in charted_metrics(results)[:MAX_CLASS_TABLES]
            if len(classes) > 1
        ],
        limits=" and ".join(_limit_words(key, value) for key, value in results.limits.items()),
        spots=sweet_spot_table(results) if results.spots else None,
        presets=preset_table(results),
        cost_words=_cost_words(results),
        predictions=prediction_table(results),
        method_words=_method_words(results),
        machine=json.dumps(
            {key: results.about.get(key) for key in ("machine", "server")}, indent=2, ensure_ascii=False
        ),
    )


def _subtitle(results: Results) -> str:
    wishes = results.plan.wishes
    pictures = len({(s.setting_id, s.prompt_index, s.seed) for s in results.samples})
    counts = (
        _count(len(results.rows), "setting"), _count(len(wishes.prompts), "prompt"), _count(len(wishes.seeds), "seed"),
        _count(pictures, "picture"), _count(len(results.samples), "measurement"),
    )  # fmt: skip
    return f"{' · '.join(counts)} · {str(results.about.get('created_at', ''))[:16].replace('T', ' ')} UTC"


def _facts(results: Results) -> list[tuple[str, str]]:
    server, machine, wishes = results.about.get("server", {}), results.about.get("machine", {}), results.plan.wishes
    is_here = urlsplit(str(results.about.get("url", ""))).hostname in LOOPBACK_HOSTS
    whose = "" if is_here else " (of the client; the server is elsewhere)"
    gpus = ", ".join(f"{g.get('name')} (driver {g.get('driver_version')})" for g in machine.get("gpus", []))
    facts = [
        ("Server", f"{results.about.get('url', '')} ({wishes.api} API)"),
        ("Model", _joined(
            server.get("model") or ", ".join(server.get("models", [])), server.get("profile"), _shape_words(server)
        )),
        ("Device", _joined(
            server.get("device"), server.get("precision"), server.get("numeric_path"),
            *(f"{name} {server[name]}" for name in ("driver", "torch") if server.get(name)),
        )),
        ("Fingerprint", str(server.get("fingerprint") or "")),
        (f"GPU{whose}", gpus),
        (f"CPU{whose}", _joined(machine.get("cpu"), _count(machine.get("cpu_cores", 0), "core"))),
        (f"Software{whose}", _joined(*(
            f"{name} {machine[key]}" for name, key in
            (("studio", "studio_version"), ("commit", "commit"), ("torch", "torch"), ("Python", "python"))
            if machine.get(key)
        ))),
        ("Seeds", ", ".join(str(seed) for seed in wishes.seeds)),
        ("Held constant", _fixed_words(results)),
    ]  # fmt: skip
    if len(wishes.prompts) == 1:
        facts.insert(0, ("Prompt", wishes.prompts[0].text))
    return [(name, value) for name, value in facts if value]


def _shape_words(server: Mapping[str, Any]) -> str:
    """ "36 layers of 4096, 8.2 B parameters"; what the server does not tell is left out."""
    shape, parameters = server.get("shape"), server.get("parameters")
    words = []
    if isinstance(shape, Mapping) and {"layers", "hidden"} <= shape.keys():
        words.append(f"{shape['layers']} layers of {shape['hidden']}")
    if isinstance(parameters, int):
        large = parameters >= 10**9
        words.append(f"{parameters / (10**9 if large else 10**6):.1f} {'B' if large else 'M'} parameters")
    return ", ".join(words)


def _fixed_words(results: Results) -> str:
    fixed = results.plan.wishes.fixed
    parts = ["sizes snap to the model's own" if fixed.snap_resolution else "sizes as asked (no snapping)"]
    parts += [f"{name} {value}" for name, value in (
        ("noise", fixed.noise), ("sampler", fixed.sampler), ("recipe", fixed.recipe),
        ("negative prompt", fixed.negative_prompt),
    ) if value]  # fmt: skip
    return ", ".join(parts)


def _timing_words(results: Results) -> str:
    told = any(row.server for row in results.rows)
    source = "the server's own time without waiting" if told else "the client's time: this server tells none of its own"
    repeats = max((row.time.count for row in results.rows), default=0)
    pictures = len(results.plan.wishes.prompts) * len(results.plan.wishes.seeds)
    spread = " Each setting was measured once." if repeats == 1 else ""
    of = f" Medians over prompts, seeds and repeats, {repeats} pictures each." if repeats > 1 and pictures >= 1 else ""
    return (
        f"Seconds are {source}; the model was resident, and one warm-up of each size went before.{of}{spread} "
        "“× reference” is how many times faster than the reference, “× most steps” than the same size and "
        "guidance at most steps, “× largest” than the same steps and guidance at the largest size."
    )


def _reference_words(results: Results) -> str:
    rows = [row for row in results.rows if row.setting.is_reference]
    return " or ".join(
        f"{size_text(row.rendered)}, {resolved.steps} steps, guidance {resolved.guidance_scale:g}"
        for row in rows
        for resolved in (row.setting.resolved,)
    )


def _limit_words(key: str, value: float) -> str:
    metric = METRICS_BY_KEY[key]
    sign = {"higher": "≥", "lower": "≤", "one": "no farther from 1 than"}[metric.better]
    return f"{metric.label} {sign} {metric_value(metric, value)}"


def _cost_words(results: Results) -> str:
    words = (
        "The cost model counts the work from the model's shape and fits what a forward and an operation cost. "
        "Each line is predicted by a model that never saw that size. “Server before” is what the server said before "
        "this run."
    )
    if results.cost_model is None:
        return "The shape of this server's model is not known here, so nothing is predicted."
    model = results.cost_model
    return (
        f"{words} Fitted on everything here: {model['base_s']:.3f} s a picture, {model['forward_s'] * 1e3:.2f} ms a "
        f"forward, {_flops(model['flops'])}."
    )


def _method_words(results: Results) -> str:
    return (
        "Over HTTP, one request at a time, against a server whose model was loaded before. Settings took turns and "
        "each repeat started at another one, so that a machine that heats up touches all alike. Prompt and seed are "
        "the same in every column. Pictures of another size are brought to the reference's by Lanczos before they are "
        "compared; the patch seams are measured before."
    )


def _flops(value: float) -> str:
    return f"{value / 1e12:.0f} TFLOP/s" if 1e13 <= value < 1e17 else f"{value / 1e9:.0f} GFLOP/s"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _joined(*parts: Any) -> str:
    return ", ".join(str(part) for part in parts if part)
