"""What the numbers say, in sentences, and the charts that show it. Every sentence holds its own figures."""

from __future__ import annotations

from collections import defaultdict

from hidream_studio.bench.metrics import METRICS_BY_KEY, Metric
from hidream_studio.bench.report.charts import Point, Series, chart
from hidream_studio.bench.report.tables import metric_value, seconds, size_text
from hidream_studio.bench.results import Results
from hidream_studio.bench.summary import Row, pareto_front

CHARTED = ("adherence", "ms_ssim", "ssim", "quarter_ssim", "detail_ratio")  # at most MAX_LOSS_CHARTS of them
MAX_LOSS_CHARTS = 4
IDEAL_AT_ONE = ("ssim", "ms_ssim", "quarter_ssim", "quarter_ms_ssim", "detail_ratio")
FRONT_NAME = "Pareto front: no other is both faster and better"


def findings(results: Results) -> list[str]:
    """One sentence each, the most useful first."""
    return [
        *_line_sentences(results),
        *_guidance_sentences(results),
        *_size_sentences(results),
        *_front_sentences(results),
        *_cost_sentences(results),
    ]


def charted_metrics(results: Results) -> list[Metric]:
    """The metrics worth a chart here: those that at least two settings have."""
    shown = []
    for key in CHARTED:
        if sum(key in row.losses for row in results.rows) >= 2:
            shown.append(METRICS_BY_KEY[key])
    return shown[:MAX_LOSS_CHARTS]


def steps_chart(results: Results) -> str:
    """Seconds against steps, with the fitted lines."""
    groups: dict[tuple[tuple[int, int], float], list[Row]] = defaultdict(list)
    for row in results.rows:
        groups[row.rendered, row.setting.resolved.guidance_scale].append(row)
    fits = {(fit.size, fit.guidance_scale): fit for fit in results.fits}
    series = []
    for (size, guidance), rows in groups.items():
        fit = fits.get((size, guidance))
        most = max(row.setting.resolved.steps for row in rows)
        line = ((0.0, fit.base_s), (float(most), fit.base_s + fit.step_s * most)) if fit else ()
        points = tuple(Point(row.setting.resolved.steps, row.time.median_s, hint=_hint(row)) for row in rows)
        series.append(Series(f"{size_text(size)}, g {guidance:g}", points, line))
    return chart(series, x_title="steps", y_title="seconds a picture")


def size_chart(results: Results) -> str:
    """Seconds against megapixels, joined where steps and guidance are equal. Empty with one size."""
    if len({row.rendered for row in results.rows}) < 2:
        return ""
    groups: dict[tuple[int, float], list[Row]] = defaultdict(list)
    for row in results.rows:
        groups[row.setting.resolved.steps, row.setting.resolved.guidance_scale].append(row)
    series = []
    for (steps, guidance), rows in sorted(groups.items(), reverse=True):
        points = sorted((Point(_megapixels(r), r.time.median_s, hint=_hint(r)) for r in rows), key=lambda p: p.x)
        series.append(Series(f"{steps} steps, g {guidance:g}", tuple(points), joined=True))
    return chart(series, x_title="megapixels", y_title="seconds a picture")


def loss_chart(results: Results, metric: Metric) -> str:
    """The metric against seconds; the settings that no other beats are ringed and joined."""
    front = pareto_front(results.rows, metric)
    rest = [row for row in results.rows if metric.key in row.losses and row not in front]

    def point(row: Row, *, labelled: bool) -> Point:
        value = row.losses[metric.key]
        label = _short(row) if labelled else ""
        return Point(row.time.median_s, value, label, f"{_hint(row)}, {metric.label} {metric_value(metric, value)}")

    series = [
        Series(FRONT_NAME, tuple(point(row, labelled=True) for row in front), joined=True, ringed=True),
        Series("beaten", tuple(point(row, labelled=len(rest) <= 4) for row in rest)),
        Series("reference", tuple(_reference_point(row, metric) for row in results.rows if _is_ideal(row, metric))),
    ]
    unit = f", {metric.unit}" if metric.unit else ""
    return chart(
        [s for s in series if s.points], x_title="seconds a picture", y_title=metric.label + unit, zero_y=False
    )


def _is_ideal(row: Row, metric: Metric) -> bool:
    """Whether the row is a reference whose value against itself is 1 by definition."""
    return row.setting.is_reference and metric.key not in row.losses and metric.key in IDEAL_AT_ONE


def _reference_point(row: Row, metric: Metric) -> Point:
    return Point(row.time.median_s, 1.0, _short(row), f"{_hint(row)}, the reference")


def _line_sentences(results: Results) -> list[str]:
    return [
        f"At {size_text(fit.size)}, guidance {fit.guidance_scale:g}, a step takes {seconds(fit.step_s)} s, and a "
        f"picture {seconds(fit.base_s)} s beside its steps (line through {len(fit.points)} settings, "
        f"R² = {fit.r_squared:.5f})."
        for fit in results.fits
    ]


def _guidance_sentences(results: Results) -> list[str]:
    if not results.ratios:
        return []
    each = ", ".join(
        f"{ratio.ratio:.2f} at {size_text(ratio.size)}{f'/{ratio.steps}' if ratio.steps else ' by step'} "
        f"(g {ratio.without:g} against g {ratio.with_:g})"
        for ratio in results.ratios
    )
    return [f"Without guidance a picture takes one forward a step instead of two; of the time with it: {each}."]


def _size_sentences(results: Results) -> list[str]:
    """For the setting that was measured at most sizes; at most steps where several were."""
    groups: dict[tuple[int, float], list[Row]] = defaultdict(list)
    for row in results.rows:
        groups[row.setting.resolved.steps, row.setting.resolved.guidance_scale].append(row)
    (steps, guidance), rows = max(groups.items(), key=lambda item: (len(item[1]), item[0]))
    sizes = sorted(rows, key=lambda row: row.rendered[0] * row.rendered[1], reverse=True)
    if len(sizes) < 2:
        return []
    whole = sizes[0].time.median_s
    shares = ", ".join(f"{size_text(row.rendered)} {row.time.median_s / whole:.2f}" for row in sizes[1:])
    return [
        f"At {steps} steps, guidance {guidance:g}, of the {seconds(whole)} s of {size_text(sizes[0].rendered)} the "
        f"smaller sizes take: {shares}."
    ]


def _front_sentences(results: Results) -> list[str]:
    sentences = []
    for metric in charted_metrics(results)[:1]:
        front = pareto_front(results.rows, metric)
        way = " → ".join(
            f"{_short(row)} ({seconds(row.time.median_s)} s, {metric_value(metric, row.losses[metric.key])})"
            for row in front
        )
        sentences.append(f"By {metric.label}, no setting is both faster and better than these: {way}.")
    return sentences


def _cost_sentences(results: Results) -> list[str]:
    errors = [(abs(p.error), p) for p in results.predicted if p.error is not None]
    if not errors:
        return []
    worst, where = max(errors, key=lambda pair: pair[0])
    row = next(row for row in results.rows if row.setting.id == where.setting_id)
    what = "size" if "×" in where.learned_from else "setting"
    return [
        f"The cost model, fitted without the {what} that it predicts, is off by at most {worst:.1%} ({_short(row)})."
    ]


def _short(row: Row) -> str:
    width, height = row.rendered
    size = f"{width}²" if width == height else size_text(row.rendered)
    return f"{size}/{row.setting.resolved.steps}/g{row.setting.resolved.guidance_scale:g}"


def _hint(row: Row) -> str:
    return f"{row.label}: {seconds(row.time.median_s)} s"


def _megapixels(row: Row) -> float:
    return row.rendered[0] * row.rendered[1] / 1e6
