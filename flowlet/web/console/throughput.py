"""The pace: how many transitions were made lately, as a number, a chart, and against the time before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from flowlet.clock import to_datetime
from flowlet.store.reports.throughput import ThroughputInterval
from flowlet.web.console.charts import Bar, ChartSegment, render_chart, render_sparkline

__all__ = ["HOUR_MICROSECONDS", "MINUTE_MICROSECONDS", "Throughput", "compute_window"]

MINUTE_MICROSECONDS, HOUR_MICROSECONDS = 60_000_000, 3_600_000_000
"""In microseconds: how long a span of the chart is."""
SPANS_SHOWN = {MINUTE_MICROSECONDS: 60, HOUR_MICROSECONDS: 24}
"""How many spans are shown, the one that has begun included."""
SPANS_READ = {MINUTE_MICROSECONDS: 61, HOUR_MICROSECONDS: 48}
"""How many are asked for. What is older than 70 minutes is known by the hour only, beyond two days by the day."""
COMPARED_SPANS = {
    MINUTE_MICROSECONDS: (slice(-31, -1), slice(-61, -31)),
    HOUR_MICROSECONDS: (slice(-24, -1), slice(-48, -25)),
}
"""Which whole spans are compared with which: half an hour with the one before, the day's hours with yesterday's."""
COMPARISON_LABELS = {MINUTE_MICROSECONDS: "the half hour before", HOUR_MICROSECONDS: "the same hours of the day before"}
TICK_LABELS = {
    MINUTE_MICROSECONDS: ("-60 min", "-45", "-30", "-15", "now"),
    HOUR_MICROSECONDS: ("-24 h", "-18", "-12", "-6", "now"),
}
SERIES = (ChartSegment("failed attempts", "err"), ChartSegment("transitions", "accent"))
"""What each bar counts, from below."""
MIN_COMPARED_TRANSITIONS = 30
"""How many transitions there have to have been before, for a percentage to mean something."""


def compute_window(now: int, step_microseconds: int) -> tuple[int, int]:
    """Return since when and until when spans are asked for.

    Args:
        now: In microseconds since 1970 UTC.
        step_microseconds: ``MINUTE`` or ``HOUR``.
    """
    until = now // step_microseconds * step_microseconds + step_microseconds
    return until - SPANS_READ[step_microseconds] * step_microseconds, until


@dataclass(frozen=True, slots=True)
class Throughput:
    """What was done in a length of time, and in the one before.

    Attributes:
        step_microseconds: How long each span is, in microseconds.
        spans: As ``beginning`` asked for them; the last one has only begun.
    """

    step_microseconds: int
    spans: Sequence[ThroughputInterval]

    @property
    def is_day(self) -> bool:
        """Whether it is the day's, by the hour."""
        return self.step_microseconds == HOUR_MICROSECONDS

    @property
    def transition_count(self) -> int:
        """How many transitions there were in the spans that are shown."""
        return sum(span.transitions for span in self._shown_spans)

    @property
    def failed_count(self) -> int:
        """How many instances became FAILED in the spans that are shown."""
        return sum(span.failed for span in self._shown_spans)

    @property
    def failed_attempts(self) -> int:
        """How many attempts failed in the spans that are shown."""
        return sum(span.failures for span in self._shown_spans)

    @property
    def rate_per_minute(self) -> str:
        """How many transitions a minute, over the spans that are shown."""
        rate = (
            self.transition_count * MINUTE_MICROSECONDS / (self.step_microseconds * SPANS_SHOWN[self.step_microseconds])
        )
        return f"{rate:,.0f}" if rate >= 100 else f"{rate:,.1f}"

    @property
    def change_percent(self) -> int | None:
        """By how many percent more it was than in the time before; None where that says nothing."""
        lately, before = (
            sum(span.transitions for span in self.spans[part]) for part in COMPARED_SPANS[self.step_microseconds]
        )
        return round(100 * (lately - before) / before) if before >= MIN_COMPARED_TRANSITIONS else None

    @property
    def comparison_label(self) -> str:
        """What the change is against."""
        return COMPARISON_LABELS[self.step_microseconds]

    @property
    def transition_line(self) -> Markup:
        """The transitions as a line without axes, each point five spans; none where there were none."""
        return self._render_line([span.transitions for span in self._shown_spans], "accent")

    @property
    def failed_line(self) -> Markup:
        """The instances that failed, likewise."""
        return self._render_line([span.failed for span in self._shown_spans], "err")

    @property
    def chart(self) -> Markup:
        """The chart, with the failed attempts in red."""
        bars = [Bar(self._format_span(span), (span.failures, span.transitions)) for span in self._shown_spans]
        unit = "hour" if self.is_day else "minute"
        return render_chart(
            bars,
            SERIES,
            label=f"Transitions and failed attempts by the {unit}",
            ticks=TICK_LABELS[self.step_microseconds],
        )

    @property
    def legend(self) -> tuple[ChartSegment, ...]:
        """What the colours of the chart mean."""
        return SERIES[::-1]

    @property
    def _shown_spans(self) -> Sequence[ThroughputInterval]:
        return self.spans[-SPANS_SHOWN[self.step_microseconds] :]

    def _render_line(self, numbers: Sequence[int], tone: str) -> Markup:
        if not any(numbers):
            return Markup("")
        return render_sparkline([sum(numbers[place : place + 5]) for place in range(0, len(numbers), 5)], tone=tone)

    def _format_span(self, span: ThroughputInterval) -> str:
        at = to_datetime(span.start)
        return f"{at:%b} {at:%-d, %H:%M} UTC" if self.is_day else f"{at:%H:%M} UTC"
