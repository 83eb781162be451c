"""Charts as SVG: sparklines, bars and share bars, sized by the page and coloured by its stylesheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

__all__ = ["Bar", "ChartSegment", "render_chart", "render_share_bar", "render_sparkline"]

_WIDTH, _HEIGHT, _PADDING = 112, 34, 4
_SHARE_WIDTH, _MIN_SHARE_WIDTH, _GAP = 200.0, 3.0, 1.0


@dataclass(frozen=True, slots=True)
class ChartSegment:
    """A part of a whole, or a series of a chart.

    Attributes:
        tone: One of ok, warn, err, info, accent, idle; also the colour in a legend.
        count: The amount; unused for a series.
    """

    label: str
    tone: str
    count: int = 0


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar: a number for each series, stacked from the bottom.

    Attributes:
        label: Its label, such as "12:28".
    """

    label: str
    counts: tuple[float, ...]


def render_sparkline(values: Sequence[float], *, tone: str = "accent") -> Markup:
    """Return a line without axes, to show beside a number. Fewer than two values give an empty string."""
    if len(values) < 2:
        return Markup("")
    least, span = min(values), (max(values) - min(values)) or 1
    step, room = _WIDTH / (len(values) - 1), _HEIGHT - 2 * _PADDING
    points = "L".join(f"{i * step:.1f} {_PADDING + room * (1 - (v - least) / span):.1f}" for i, v in enumerate(values))
    return Markup(
        '<svg class="sparkline {}" viewBox="0 0 112 34" preserveAspectRatio="none" aria-hidden="true">'
        '<path class="area" d="M{}L112 34L0 34Z"/><path class="line" d="M{}"/></svg>'
    ).format(tone, points, points)


def render_share_bar(segments: Sequence[ChartSegment], *, full_count: int | None = None) -> Markup:
    """Return a bar of segments, each as wide as its share.

    Args:
        segments: From left to right. Zero segments are left out; every other one is wide enough to be visible.
        full_count: The count of the full width; the sum of the segments if not given.
    """
    there = [part for part in segments if part.count > 0]
    total = max(full_count or 0, sum(part.count for part in there)) or 1
    room = _SHARE_WIDTH - (_MIN_SHARE_WIDTH + _GAP) * len(there)
    x, drawn = 0.0, []
    for part in there:
        width = _MIN_SHARE_WIDTH + room * part.count / total
        drawn.append(
            Markup('<rect class="{}" x="{}" width="{}" height="8"/>').format(part.tone, f"{x:g}", f"{width:g}")
        )
        x += width + _GAP
    label = ", ".join(f"{part.count:,} {part.label}" for part in there) or "none"
    return Markup(
        '<svg class="bar" viewBox="0 0 200 8" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    ).format(label, Markup("").join(drawn))


def render_chart(
    bars: Sequence[Bar], series: Sequence[ChartSegment], *, label: str, ticks: Sequence[str] = ()
) -> Markup:
    """Return a chart of bars with its axes.

    Args:
        bars: From left to right.
        series: The series of a bar's numbers, from the bottom.
        label: The chart's title for screen readers; the largest and the last bar are added.
        ticks: Labels below the chart, from left to right.
    """
    top = _round_up(max((sum(bar.counts) for bar in bars), default=0))
    marks = Markup("").join(Markup("<span>{}</span>").format(f"{top * part / 4:,g}") for part in (4, 3, 2, 1, 0))
    words = Markup("").join(Markup("<span>{}</span>").format(tick) for tick in ticks)
    columns = Markup("").join(_render_column(bar, place, series, top) for place, bar in enumerate(bars))
    return Markup(
        '<div class="chart"><div class="axis-labels" aria-hidden="true">{}</div>'
        '<svg viewBox="0 0 {} 100" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<path class="rule" d="M0 0H{w}M0 25H{w}M0 50H{w}M0 75H{w}M0 100H{w}"/>{}</svg>'
        '<div class="ticks" aria-hidden="true">{}</div></div>'
    ).format(marks, len(bars) or 1, _describe_chart(bars, label), columns, words, w=len(bars) or 1)


def _render_column(bar: Bar, position: int, series: Sequence[ChartSegment], top: float) -> Markup:
    y, drawn = 100.0, []
    for part, count in zip(series, bar.counts, strict=True):
        height = 100 * count / top
        if height:
            y -= height
            size = Markup('y="{}" height="{}"').format(f"{y:.2f}", f"{height:.2f}")
            drawn.append(
                Markup('<rect class="{}" x="{}" width=".7" {}/>').format(part.tone, f"{position + 0.15:.2f}", size)
            )
    numbers = ", ".join(f"{count:,g} {part.label}" for part, count in zip(series, bar.counts, strict=True))
    back = Markup('<rect class="bar-background" x="{}" width="1" height="100"/>').format(position)
    return Markup("<g><title>{}: {}</title>{}{}</g>").format(bar.label, numbers, back, Markup("").join(drawn))


def _describe_chart(bars: Sequence[Bar], label: str) -> str:
    if not bars:
        return f"{label}: no data yet"
    most, last = max(bars, key=lambda bar: sum(bar.counts)), bars[-1]
    return f"{label}: maximum {sum(most.counts):,g} ({most.label}), latest {sum(last.counts):,g}"


def _round_up(value: float) -> float:
    """Return the smallest of 4, 8, 12, 16, 20, 40... that is not below a value: its quarters are round numbers too."""
    size = 1.0
    while True:
        for factor in (4, 8, 12, 16, 20):
            if value <= factor * size:
                return factor * size
        size *= 10
