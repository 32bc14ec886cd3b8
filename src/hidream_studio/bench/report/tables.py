"""The report's tables as plain strings: one source for the terminal, Markdown and HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hidream_studio.bench.metrics import METRICS_BY_KEY, Metric
from hidream_studio.bench.results import Results
from hidream_studio.bench.summary import PARTS, Row, Spread

DASH = "–"
_PART_LABELS = {"text_s": "text", "steps_s": "steps", "decode_s": "decode", "png_s": "PNG"}


@dataclass(frozen=True)
class Table:
    """Cells by row; a heading names its unit."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: int = 1  # the first so many are words, the others numbers
    marked: tuple[int, ...] = ()  # rows to stand out: the reference


def timing_table(results: Results) -> Table:
    """Size, steps, guidance, seconds and speed-ups of every setting."""
    headings = (
        "variant", "asked", "rendered", "steps", "guidance", "CFG", "seconds", "min–max", "s/step",
        "× reference", "× most steps", "× largest",
    )  # fmt: skip
    table = tuple(
        (
            _names(row), _asked(row), size_text(row.rendered), str(row.setting.resolved.steps),
            f"{row.setting.resolved.guidance_scale:g}", "on" if row.setting.resolved.cfg else "off",
            seconds(row.time.median_s), _range(row.time), seconds(row.step_s),
            times(row.against_reference), times(row.against_most_steps), times(row.against_largest),
        )
        for row in results.rows
    )  # fmt: skip
    return Table(headings, table, text_columns=3, marked=_references(results.rows))


def split_table(results: Results) -> Table:
    """The server's time in its parts, beside what the client waited."""
    parts = [part for part in PARTS if any(part in row.split_s for row in results.rows)]
    labels = (f"{_PART_LABELS[part]} s" for part in parts)
    headings = ("variant", "rendered", "pictures", "server s", *labels, "client s", "client min–max")
    table = tuple(
        (
            _names(row), size_text(row.rendered), str(row.time.count),
            seconds(row.server.median_s if row.server else None),
            *(seconds(row.split_s.get(part)) for part in parts), seconds(row.client.median_s), _range(row.client),
        )
        for row in results.rows
    )  # fmt: skip
    return Table(headings, table, text_columns=2, marked=_references(results.rows))


def loss_table(results: Results) -> Table:
    """Every metric's mean over prompts and seeds, beside what the setting costs."""
    headings = ("variant", "rendered", "seconds", *(_metric_heading(metric) for metric in results.metrics))
    table = tuple(
        (
            _names(row),
            size_text(row.rendered),
            seconds(row.time.median_s),
            *(metric_value(metric, row.losses.get(metric.key)) for metric in results.metrics),
        )
        for row in results.rows
    )
    return Table(headings, table, text_columns=2, marked=_references(results.rows))


def class_table(results: Results, metric: Metric) -> Table:
    """One metric by setting and class of prompt."""
    classes = list(dict.fromkeys(prompt.prompt_class for prompt in results.plan.wishes.prompts))
    hard = {prompt.prompt_class for prompt in results.plan.wishes.prompts if prompt.hard}
    table = []
    for row in results.rows:
        cells = []
        for name in classes:
            values = [
                loss.values[metric.key]
                for loss in results.losses
                if loss.setting_id == row.setting.id and loss.prompt_class == name and metric.key in loss.values
            ]
            cells.append(metric_value(metric, sum(values) / len(values) if values else None))
        table.append((_names(row), size_text(row.rendered), seconds(row.time.median_s), *cells))
    labels = [f"{name} (hard)" if name in hard else name for name in classes]
    return Table(("variant", "rendered", "seconds", *labels), tuple(table), 2, _references(results.rows))


def prediction_table(results: Results) -> Table:
    """What the cost model would have said, beside what was measured."""
    by_id = {row.setting.id: row for row in results.rows}
    table = tuple(
        (
            _names(by_id[p.setting_id]), size_text(by_id[p.setting_id].rendered), seconds(p.measured_s),
            seconds(p.unseen_s), DASH if p.low_s is None else f"{seconds(p.low_s)}–{seconds(p.high_s)}",
            DASH if p.error is None else f"{p.error:+.1%}", seconds(p.server_s), p.learned_from or DASH,
        )
        for p in results.predicted
    )  # fmt: skip
    headings = (
        "variant", "rendered", "measured s", "predicted s", "range s", "error", "server before s", "learned from",
    )  # fmt: skip
    return Table(headings, table, text_columns=2)


def sweet_spot_table(results: Results) -> Table:
    """The cheapest setting within the limits, by class."""
    table = []
    for spot in results.spots:
        if spot.row is None:
            table.append((spot.prompt_class, "none measured stays within the limits", DASH, DASH, DASH, DASH))
            continue
        values = ", ".join(
            f"{METRICS_BY_KEY[key].label} {metric_value(METRICS_BY_KEY[key], value)}"
            for key, value in spot.values.items()
        )
        resolved = spot.row.setting.resolved
        table.append(
            (
                spot.prompt_class, size_text(spot.row.rendered), str(resolved.steps), f"{resolved.guidance_scale:g}",
                seconds(spot.row.time.median_s), values or "the reference itself",
            )
        )  # fmt: skip
    return Table(("prompts", "size", "steps", "guidance", "seconds", "loss there"), tuple(table), text_columns=2)


def preset_table(results: Results) -> Table:
    table = tuple(
        (
            preset.id, size_text(preset.row.rendered), str(preset.row.setting.resolved.steps),
            f"{preset.row.setting.resolved.guidance_scale:g}", seconds(preset.row.time.median_s), preset.why,
        )
        for preset in results.presets
    )  # fmt: skip
    return Table(("preset", "size", "steps", "guidance", "seconds", "because it"), table, text_columns=2)


def summary_table(results: Results) -> Table:
    """What fits a terminal."""
    shown = [m for m in results.metrics if m.key in ("ssim", "gmsd", "quarter_ssim", "detail_ratio", "adherence")]
    headings = (
        "variant", "asked", "rendered", "steps", "g", "CFG", "seconds", "min–max", "client s", "s/step", "× ref",
        *(metric.label for metric in shown),
    )  # fmt: skip
    table = tuple(
        (
            _names(row), _asked(row), size_text(row.rendered), str(row.setting.resolved.steps),
            f"{row.setting.resolved.guidance_scale:g}", "on" if row.setting.resolved.cfg else "off",
            seconds(row.time.median_s), _range(row.time), seconds(row.client.median_s), seconds(row.step_s),
            times(row.against_reference), *(metric_value(metric, row.losses.get(metric.key)) for metric in shown),
        )
        for row in results.rows
    )  # fmt: skip
    return Table(headings, table, text_columns=3)


def plain_text(table: Table) -> str:
    """Columns of equal width, words to the left, numbers to the right."""
    lines = [table.headings, *table.rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.headings))]
    out = []
    for line in lines:
        cells = [
            cell.ljust(width) if column < table.text_columns else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        out.append("  ".join(cells).rstrip())
    return "\n".join(out)


def markdown(table: Table) -> str:
    def cell(text: str) -> str:
        return text.replace("|", "\\|").replace("\n", " ")

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    rules = [":--" if column < table.text_columns else "--:" for column in range(len(table.headings))]
    return "\n".join([line(table.headings), line(rules), *(line([cell(c) for c in row]) for row in table.rows)])


def seconds(value: float | None) -> str:
    """Three digits that mean something."""
    if value is None:
        return DASH
    size = abs(value)
    decimals = 1 if size >= 100 else 2 if size >= 1 else 3 if size >= 0.1 or size == 0 else 4
    return f"{value:.{decimals}f}".replace("-", "−")


def times(value: float | None) -> str:
    return DASH if value is None else f"{value:.2f}"


def metric_value(metric: Metric, value: float | None) -> str:
    return DASH if value is None else f"{value:.{metric.decimals}f}"


def size_text(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"


def _metric_heading(metric: Metric) -> str:
    return f"{metric.label} {metric.unit}".strip()


def _names(row: Row) -> str:
    """The variants' names, each once."""
    names = list(dict.fromkeys(name.rpartition(" at ")[0] for name in row.setting.names))
    if row.setting.is_reference:
        names = [name for name in names if name != "official"]
        names.insert(0, "reference")
    return " = ".join(names)


def _asked(row: Row) -> str:
    if not row.setting.wished:
        return DASH
    return ", ".join(dict.fromkeys(name.rpartition(" at ")[2].replace("x", "×") for name in row.setting.names))


def _range(spread: Spread) -> str:
    return DASH if spread.count < 2 else f"{seconds(spread.min_s)}–{seconds(spread.max_s)}"


def _references(rows: Sequence[Row]) -> tuple[int, ...]:
    return tuple(index for index, row in enumerate(rows) if row.setting.is_reference)
