"""The backlog: how many workflows were open at the end of each interval, and how many were opened and ended in it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

from markupsafe import Markup

from flowlet.web.console.charts import Bar, ChartSegment, render_chart
from flowlet.web.console.throughput import TICK_LABELS, Throughput

__all__ = ["Backlog"]

SERIES = (ChartSegment("open", "warn"),)


@dataclass(frozen=True, slots=True)
class Backlog:
    """The open workflows of the shown period, counted back from now: no statement counts what was open in the past.

    Attributes:
        throughput: The counts of the period, the same as those of the chart of transitions.
        open_count: How many workflows are open now.
    """

    throughput: Throughput
    open_count: int

    @property
    def opened_count(self) -> int:
        """How many were created in the period, or opened again by a retry or a move."""
        return sum(span.opened for span in self.throughput.shown_spans)

    @property
    def ended_count(self) -> int:
        """How many ended in the period."""
        return sum(span.ended for span in self.throughput.shown_spans)

    @property
    def change(self) -> int:
        """By how many more are open now than at the beginning of the period."""
        return self.opened_count - self.ended_count

    @property
    def open_counts(self) -> list[int]:
        """How many were open at the end of each interval, the earliest first."""
        spans = self.throughput.shown_spans
        counts = accumulate((span.ended - span.opened for span in spans[:0:-1]), initial=self.open_count)
        # Each is read by itself: what is created meanwhile may be counted as ended, and not yet as open.
        return [max(0, count) for count in counts][::-1]

    @property
    def chart(self) -> Markup:
        """The chart of open workflows; each bar names those that were opened and ended too."""
        bars = [
            Bar(f"{self.throughput.format_span(span)}: {span.opened:,} opened, {span.ended:,} ended", (count,))
            for span, count in zip(self.throughput.shown_spans, self.open_counts, strict=True)
        ]
        step = self.throughput.step_microseconds
        return render_chart(bars, SERIES, label="Open workflows", ticks=TICK_LABELS[step])
