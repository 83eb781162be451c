"""The pace: how many transitions were made lately, as a number, a chart, and against the time before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from flowlet.clock import moment
from flowlet.store.reports.throughput import Span
from flowlet.web.pages.charts import Bar, Part, chart, sparkline

__all__ = ["HOUR", "MINUTE", "Pace", "beginning"]

MINUTE, HOUR = 60_000_000, 3_600_000_000
"""In microseconds: how long a span of the chart is."""
SHOWN = {MINUTE: 60, HOUR: 24}
"""How many spans are shown, the one that has begun included."""
TICKS = {MINUTE: ("-60 min", "-45", "-30", "-15", "now"), HOUR: ("-24 h", "-18", "-12", "-6", "now")}
SERIES = (Part("failed", "err"), Part("ok", "accent"))
"""What each bar counts, from below."""
MEANT = 30
"""How many transitions there have to have been before, for a percentage to mean something."""


def beginning(now: int, step: int) -> tuple[int, int]:
    """Return since when and until when spans are asked for: those that are shown, and as many whole ones before.

    Args:
        now: In microseconds since 1970 UTC.
        step: ``MINUTE`` or ``HOUR``.
    """
    until = now // step * step + step
    return until - (2 * SHOWN[step] + 1) * step, until


@dataclass(frozen=True, slots=True)
class Pace:
    """What was done in a length of time, and in the one before.

    Attributes:
        step: How long each span is, in microseconds.
        spans: As ``beginning`` asked for them; the last one has only begun.
    """

    step: int
    spans: Sequence[Span]

    @property
    def is_day(self) -> bool:
        """Whether it is the day's, by the hour."""
        return self.step == HOUR

    @property
    def total(self) -> int:
        """How many transitions there were in the spans that are shown."""
        return sum(span.transitions for span in self._shown)

    @property
    def failed(self) -> int:
        """How many instances became FAILED in the spans that are shown."""
        return sum(span.failed for span in self._shown)

    @property
    def failures(self) -> int:
        """How many attempts failed in the spans that are shown."""
        return sum(span.failures for span in self._shown)

    @property
    def rate(self) -> str:
        """How many transitions a minute, over the spans that are shown."""
        rate = self.total * MINUTE / (self.step * SHOWN[self.step])
        return f"{rate:,.0f}" if rate >= 100 else f"{rate:,.1f}"

    @property
    def change(self) -> int | None:
        """By how many percent more it was than in the time before, by whole spans; None where that says nothing."""
        before, lately = (sum(one.transitions for one in spans) for spans in (self._before, self._whole))
        return round(100 * (lately - before) / before) if before >= MEANT else None

    @property
    def line(self) -> Markup:
        """The transitions as a line without axes, each point five spans."""
        return self._line([span.transitions for span in self._whole], "accent")

    @property
    def failed_line(self) -> Markup:
        """The instances that failed, likewise."""
        return self._line([span.failed for span in self._whole], "err")

    @property
    def chart(self) -> Markup:
        """The chart, with the failed attempts in red."""
        bars = [Bar(self._named(span), (span.failures, span.transitions - span.failures)) for span in self._shown]
        unit = "hour" if self.is_day else "minute"
        return chart(bars, SERIES, label=f"Transitions by the {unit}", ticks=TICKS[self.step])

    @property
    def legend(self) -> tuple[Part, ...]:
        """What the colours of the chart mean."""
        return SERIES[::-1]

    @property
    def _shown(self) -> Sequence[Span]:
        return self.spans[-SHOWN[self.step] :]

    @property
    def _before(self) -> Sequence[Span]:
        return self.spans[: SHOWN[self.step]]

    @property
    def _whole(self) -> Sequence[Span]:
        return self.spans[-SHOWN[self.step] - 1 : -1]

    def _line(self, numbers: Sequence[int], tone: str) -> Markup:
        return sparkline([sum(numbers[place : place + 5]) for place in range(0, len(numbers), 5)], tone=tone)

    def _named(self, span: Span) -> str:
        return (
            f"{moment(span.start):%b} {moment(span.start):%-d, %H:%M} UTC"
            if self.is_day
            else f"{moment(span.start):%H:%M} UTC"
        )
