"""How much happened in each minute or hour: transitions, failures, ends."""

from __future__ import annotations

from dataclasses import dataclass

from flowlet.store.connection import Connections
from flowlet.store.counters import CounterStore

__all__ = ["ThroughputInterval", "read_throughput"]


@dataclass(frozen=True, slots=True)
class ThroughputInterval:
    """What happened in a span of time.

    Attributes:
        start: Its first microsecond since 1970 UTC.
        transitions: How many transitions activations made.
        failures: How many attempts raised.
        finished: How many instances became FINISHED.
        failed: How many became FAILED.
        cancelled: How many became CANCELLED.
    """

    start: int
    transitions: int
    failures: int
    finished: int
    failed: int
    cancelled: int


async def read_throughput(
    connections: Connections, *, since: int, until: int, step_microseconds: int, type: str | None = None
) -> list[ThroughputInterval]:
    """Return what happened from ``since`` to ``until`` in spans of ``step_microseconds``, the oldest first, empty ones too.

    It reads a few rows for each minute and type, however much has happened. What is older than 70 minutes may be known
    by the hour only, beyond two days by the day, and beyond 400 days not at all: it counts for the span in which its
    hour or day begins.

    Args:
        connections: Where to read.
        since: The first moment, in microseconds since 1970 UTC; rounded down to a whole step.
        until: The moment before which the last span begins.
        step_microseconds: How long each span is, in microseconds; whole minutes.
        type: The workflow whose instances to tell of; None for all.

    Raises:
        StoreUnavailableError: If the database is away.
    """
    first = since - since % step_microseconds
    spans = {start: [0, 0, 0, 0, 0] for start in range(first, until, step_microseconds)}
    for start, *numbers in await CounterStore(connections).sum_by_start(since=first, until=until, type=type):
        sums = spans[start - start % step_microseconds]
        for place, number in enumerate(numbers):
            sums[place] += number
    return [ThroughputInterval(start, *sums) for start, sums in spans.items()]
