"""Throughput: the recent number of transitions, as a rate, a chart, and a comparison with the previous period."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from flowlet.clock import to_datetime
from flowlet.store.reports.throughput import ThroughputInterval
from flowlet.web.console.charts import Bar, ChartSegment, render_chart, render_sparkline

__all__ = ["HOUR_MICROSECONDS", "MINUTE_MICROSECONDS", "Throughput", "compute_window"]

MINUTE_MICROSECONDS, HOUR_MICROSECONDS = 60_000_000, 3_600_000_000
"""The length of an interval of the chart, in microseconds."""
SPANS_SHOWN = {MINUTE_MICROSECONDS: 60, HOUR_MICROSECONDS: 24}
"""How many intervals are shown, including the current one."""
SPANS_READ = {MINUTE_MICROSECONDS: 61, HOUR_MICROSECONDS: 48}
"""How many are read. Counts older than 70 minutes exist by the hour only, older than two days by the day."""
COMPARED_SPANS = {
    MINUTE_MICROSECONDS: (slice(-31, -1), slice(-61, -31)),
    HOUR_MICROSECONDS: (slice(-24, -1), slice(-48, -25)),
}
"""The complete intervals that are compared: half an hour with the previous one, hours with the previous day's."""
COMPARISON_LABELS = {
    MINUTE_MICROSECONDS: "previous half hour",
    HOUR_MICROSECONDS: "same hours of the previous day",
}
TICK_LABELS = {
    MINUTE_MICROSECONDS: ("-60 min", "-45", "-30", "-15", "now"),
    HOUR_MICROSECONDS: ("-24 h", "-18", "-12", "-6", "now"),
}
SERIES = (ChartSegment("failed attempts", "err"), ChartSegment("transitions", "accent"))
"""The series of each bar, from the bottom."""
MIN_COMPARED_TRANSITIONS = 30
"""The minimum number of transitions in the previous period for a percentage to be meaningful."""


def compute_window(now: int, step_microseconds: int) -> tuple[int, int]:
    """Return the start and the end of the window to read.

    Args:
        now: In microseconds since 1970 UTC.
        step_microseconds: ``MINUTE_MICROSECONDS`` or ``HOUR_MICROSECONDS``.
    """
    until = now // step_microseconds * step_microseconds + step_microseconds
    return until - SPANS_READ[step_microseconds] * step_microseconds, until


@dataclass(frozen=True, slots=True)
class Throughput:
    """The transitions of a period and of the previous one.

    Attributes:
        step_microseconds: The length of each interval, in microseconds.
        spans: The intervals of ``compute_window``; the last one is incomplete.
    """

    step_microseconds: int
    spans: Sequence[ThroughputInterval]

    @property
    def is_day(self) -> bool:
        """Whether the period is a day, by the hour."""
        return self.step_microseconds == HOUR_MICROSECONDS

    @property
    def transition_count(self) -> int:
        """The number of transitions in the shown intervals."""
        return sum(span.transitions for span in self.shown_spans)

    @property
    def failed_count(self) -> int:
        """The number of instances that became FAILED in the shown intervals."""
        return sum(span.failed for span in self.shown_spans)

    @property
    def failed_attempts(self) -> int:
        """The number of failed attempts in the shown intervals."""
        return sum(span.failures for span in self.shown_spans)

    @property
    def rate_per_minute(self) -> str:
        """The transitions per minute, averaged over the shown intervals."""
        rate = (
            self.transition_count * MINUTE_MICROSECONDS / (self.step_microseconds * SPANS_SHOWN[self.step_microseconds])
        )
        return f"{rate:,.0f}" if rate >= 100 else f"{rate:,.1f}"

    @property
    def change_percent(self) -> int | None:
        """The change from the previous period in percent; None if too few transitions make it meaningless."""
        lately, before = (
            sum(span.transitions for span in self.spans[part]) for part in COMPARED_SPANS[self.step_microseconds]
        )
        return round(100 * (lately - before) / before) if before >= MIN_COMPARED_TRANSITIONS else None

    @property
    def comparison_label(self) -> str:
        """The period that the change is measured against."""
        return COMPARISON_LABELS[self.step_microseconds]

    @property
    def transition_line(self) -> Markup:
        """The transitions as a sparkline, a point for each five intervals; "" if there were none."""
        return self._render_line([span.transitions for span in self.shown_spans], "accent")

    @property
    def failed_line(self) -> Markup:
        """The failed instances, likewise."""
        return self._render_line([span.failed for span in self.shown_spans], "err")

    @property
    def chart(self) -> Markup:
        """The chart of transitions, with failed attempts in red."""
        bars = [Bar(self.format_span(span), (span.failures, span.transitions)) for span in self.shown_spans]
        unit = "hour" if self.is_day else "minute"
        return render_chart(
            bars,
            SERIES,
            label=f"Transitions and failed attempts per {unit}",
            ticks=TICK_LABELS[self.step_microseconds],
        )

    @property
    def legend(self) -> tuple[ChartSegment, ...]:
        """The legend of the chart."""
        return SERIES[::-1]

    @property
    def shown_spans(self) -> Sequence[ThroughputInterval]:
        """The intervals that are shown, the earliest first."""
        return self.spans[-SPANS_SHOWN[self.step_microseconds] :]

    def _render_line(self, numbers: Sequence[int], tone: str) -> Markup:
        if not any(numbers):
            return Markup("")
        return render_sparkline([sum(numbers[place : place + 5]) for place in range(0, len(numbers), 5)], tone=tone)

    def format_span(self, span: ThroughputInterval) -> str:
        """Return the beginning of an interval, in UTC."""
        at = to_datetime(span.start)
        return f"{at:%b} {at:%-d, %H:%M} UTC" if self.is_day else f"{at:%H:%M} UTC"
