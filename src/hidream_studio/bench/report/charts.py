"""Small charts as SVG text, coloured by the page's own style sheet, so that they print and follow a dark screen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 480, 320  # of the viewBox; about a phone's width, so that letters stay readable there
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 12, 44
COLOURS = 6  # classes s0 to s5 of the style sheet
LABEL_CHAR, LABEL_LINE = 6.4, 13.0  # about the size of a label's letter


@dataclass(frozen=True)
class Point:
    x: float
    y: float
    label: str = ""  # beside the point
    hint: str = ""  # shown while it is pointed at


@dataclass(frozen=True)
class Series:
    name: str
    points: tuple[Point, ...]
    line: tuple[tuple[float, float], ...] = ()  # drawn through these
    joined: bool = False  # the points themselves are joined
    ringed: bool = False  # points of a front stand out


def chart(series: Sequence[Series], *, x_title: str, y_title: str, zero_x: bool = True, zero_y: bool = True) -> str:
    """An `<svg>`; axes from zero where that is asked for, which keeps proportions honest.

    A series keeps its colour by its place, also where others are empty; those are not in the legend.
    """
    corners = [(p.x, p.y) for s in series for p in s.points] + [corner for s in series for corner in s.line]
    if not corners:
        return ""
    x_ticks = _ticks(*_range([x for x, _ in corners], zero=zero_x))
    y_ticks = _ticks(*_range([y for _, y in corners], zero=zero_y))
    scale = _Scale(x_ticks[0], x_ticks[-1], y_ticks[0], y_ticks[-1])
    parts = [_axes(x_ticks, y_ticks, scale, x_title, y_title)]
    for index, one in enumerate(series):
        parts.append(_series(one, f"s{index % COLOURS}", scale))
    parts += _labels([point for one in series for point in one.points], scale)
    legend = _legend(series) if sum(bool(one.points) for one in series) > 1 else ""
    label = escape(f"{y_title} against {x_title}")
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
    return f'<div class="chart">{svg}{legend}</div>'


@dataclass(frozen=True)
class _Scale:
    x_low: float
    x_high: float
    y_low: float
    y_high: float

    def x(self, value: float) -> float:
        return LEFT + (value - self.x_low) / (self.x_high - self.x_low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (value - self.y_low) / (self.y_high - self.y_low) * (HEIGHT - TOP - BOTTOM)


def _range(values: Sequence[float], *, zero: bool) -> tuple[float, float]:
    low, high = min(values), max(values)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if high == low:
        margin = abs(high) * 0.1 or 1.0
        return low - margin, high + margin
    return low, high


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers that enclose the range."""
    raw = (high - low) / 5
    power = 10 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, last + 1)]


def _number(value: float) -> str:
    return f"{value:.6g}"


def _axes(x_ticks: list[float], y_ticks: list[float], scale: _Scale, x_title: str, y_title: str) -> str:
    bottom, parts = HEIGHT - BOTTOM, []
    for tick in x_ticks:
        x = scale.x(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{_number(tick)}</text>')
    for tick in y_ticks:
        y = scale.y(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{_number(tick)}</text>')
    centre, middle = (LEFT + WIDTH) / 2, (TOP + bottom) / 2
    parts.append(f'<text class="title" x="{centre:.0f}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_title)}</text>')
    parts.append(
        f'<text class="title" x="13" y="{middle:.0f}" text-anchor="middle" '
        f'transform="rotate(-90 13 {middle:.0f})">{escape(y_title)}</text>'
    )
    return "".join(parts)


def _series(series: Series, colour: str, scale: _Scale) -> str:
    parts = []
    corners = series.line or (tuple((p.x, p.y) for p in series.points) if series.joined else ())
    if len(corners) > 1:
        path = " ".join(f"{scale.x(x):.1f},{scale.y(y):.1f}" for x, y in corners)
        parts.append(f'<polyline class="line {colour}" points="{path}"/>')
    for point in series.points:
        x, y = scale.x(point.x), scale.y(point.y)
        hint = f"<title>{escape(point.hint)}</title>" if point.hint else ""
        if series.ringed:
            parts.append(f'<circle class="ring {colour}" cx="{x:.1f}" cy="{y:.1f}" r="8"/>')
        parts.append(f'<circle class="dot {colour}" cx="{x:.1f}" cy="{y:.1f}" r="4.5">{hint}</circle>')
    return "".join(parts)


@dataclass(frozen=True)
class _Box:
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: _Box) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


def _labels(points: Sequence[Point], scale: _Scale) -> list[str]:
    """A label beside its point, on the first side where it covers nothing; where there is none, the hint has to do."""
    taken = [_Box(scale.x(p.x) - 5, scale.y(p.y) - 5, scale.x(p.x) + 5, scale.y(p.y) + 5) for p in points]
    parts = []
    for point in points:
        if not point.label:
            continue
        x, y, width = scale.x(point.x), scale.y(point.y), len(point.label) * LABEL_CHAR
        for left, middle in (
            (x + 10, y), (x - 10 - width, y), (x - width / 2, y - 15), (x - width / 2, y + 16),
            (x + 8, y - 13), (x + 8, y + 14), (x - 8 - width, y - 13), (x - 8 - width, y + 14),
        ):  # fmt: skip
            box = _Box(left, middle - LABEL_LINE / 2, left + width, middle + LABEL_LINE / 2)
            inside = box.left >= LEFT and box.right <= WIDTH and box.top >= 0 and box.bottom <= HEIGHT - BOTTOM
            if inside and not any(box.meets(other) for other in taken):
                taken.append(box)
                parts.append(f'<text class="label" x="{left:.1f}" y="{middle + 4:.1f}">{escape(point.label)}</text>')
                break
    return parts


def _legend(series: Sequence[Series]) -> str:
    items = "".join(
        f'<span class="key"><span class="swatch s{index % COLOURS}"></span>{escape(one.name)}</span>'
        for index, one in enumerate(series)
        if one.points
    )
    return f'<div class="legend">{items}</div>'
