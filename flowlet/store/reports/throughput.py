"""How much happened in each minute or hour: transitions, failures, ends, and what was opened."""

from __future__ import annotations

from dataclasses import dataclass

from flowlet.store.connection import Connections
from flowlet.store.counter_buckets import COUNTER_COLUMNS
from flowlet.store.counters import CounterStore

__all__ = ["ThroughputInterval", "read_throughput"]


@dataclass(frozen=True, slots=True)
class ThroughputInterval:
    """The counts of a span of time.

    Attributes:
        start: The span's first microsecond since 1970 UTC.
        transitions: How many transitions activations made.
        failures: How many attempts raised.
        finished: How many instances became FINISHED.
        failed: How many became FAILED.
        cancelled: How many became CANCELLED.
        opened: How many were created, or opened again after their end.
    """

    start: int
    transitions: int
    failures: int
    finished: int
    failed: int
    cancelled: int
    opened: int = 0

    @property
    def ended(self) -> int:
        """How many ended, whatever their status then."""
        return self.finished + self.failed + self.cancelled


async def read_throughput(
    connections: Connections, *, since: int, until: int, step_microseconds: int, type: str | None = None
) -> list[ThroughputInterval]:
    """Return the counts from ``since`` to ``until`` in spans of one step, the oldest first, empty spans included.

    It reads a few rows for each minute and type, however many transitions there were. Counts older than 70 minutes may
    be kept by the hour only, beyond two days by the day, and beyond 400 days not at all: they are part of the span in
    which their hour or day begins.

    Args:
        connections: The database's.
        since: The first moment, in microseconds since 1970 UTC; rounded down to a whole step.
        until: The moment before which the last span begins.
        step_microseconds: The length of each span, in microseconds; whole minutes.
        type: The workflow whose instances are counted; None for all.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    first = since - since % step_microseconds
    spans = {start: [0] * len(COUNTER_COLUMNS) for start in range(first, until, step_microseconds)}
    for start, *numbers in await CounterStore(connections).sum_by_start(since=first, until=until, type=type):
        sums = spans[start - start % step_microseconds]
        for place, number in enumerate(numbers):
            sums[place] += number
    return [ThroughputInterval(start, *sums) for start, sums in spans.items()]
