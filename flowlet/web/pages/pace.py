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
READ = {MINUTE: 61, HOUR: 48}
"""How many are asked for. What is older than 70 minutes is known by the hour only, beyond two days by the day."""
LATELY = {MINUTE: (slice(-31, -1), slice(-61, -31)), HOUR: (slice(-24, -1), slice(-48, -25))}
"""Which whole spans are compared with which: half an hour with the one before, the day's hours with yesterday's."""
BEFORE = {MINUTE: "the half hour before", HOUR: "the same hours of the day before"}
TICKS = {MINUTE: ("-60 min", "-45", "-30", "-15", "now"), HOUR: ("-24 h", "-18", "-12", "-6", "now")}
SERIES = (Part("failed attempts", "err"), Part("transitions", "accent"))
"""What each bar counts, from below."""
MEANT = 30
"""How many transitions there have to have been before, for a percentage to mean something."""


def beginning(now: int, step: int) -> tuple[int, int]:
    """Return since when and until when spans are asked for.

    Args:
        now: In microseconds since 1970 UTC.
        step: ``MINUTE`` or ``HOUR``.
    """
    until = now // step * step + step
    return until - READ[step] * step, until


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
        """By how many percent more it was than in the time before; None where that says nothing."""
        lately, before = (sum(span.transitions for span in self.spans[part]) for part in LATELY[self.step])
        return round(100 * (lately - before) / before) if before >= MEANT else None

    @property
    def before(self) -> str:
        """What the change is against."""
        return BEFORE[self.step]

    @property
    def line(self) -> Markup:
        """The transitions as a line without axes, each point five spans; none where there were none."""
        return self._line([span.transitions for span in self._shown], "accent")

    @property
    def failed_line(self) -> Markup:
        """The instances that failed, likewise."""
        return self._line([span.failed for span in self._shown], "err")

    @property
    def chart(self) -> Markup:
        """The chart, with the failed attempts in red."""
        bars = [Bar(self._named(span), (span.failures, span.transitions)) for span in self._shown]
        unit = "hour" if self.is_day else "minute"
        return chart(bars, SERIES, label=f"Transitions and failed attempts by the {unit}", ticks=TICKS[self.step])

    @property
    def legend(self) -> tuple[Part, ...]:
        """What the colours of the chart mean."""
        return SERIES[::-1]

    @property
    def _shown(self) -> Sequence[Span]:
        return self.spans[-SHOWN[self.step] :]

    def _line(self, numbers: Sequence[int], tone: str) -> Markup:
        if not any(numbers):
            return Markup("")
        return sparkline([sum(numbers[place : place + 5]) for place in range(0, len(numbers), 5)], tone=tone)

    def _named(self, span: Span) -> str:
        at = moment(span.start)
        return f"{at:%b} {at:%-d, %H:%M} UTC" if self.is_day else f"{at:%H:%M} UTC"
