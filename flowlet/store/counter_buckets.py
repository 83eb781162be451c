"""Counts of transitions: by minute, in the transaction that commits them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from flowlet.clock import MICROSECONDS_PER_SECOND
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.instance.transition import Transition
from flowlet.store.tables import COUNTER

__all__ = [
    "ALL_TIME",
    "COUNTER_COLUMNS",
    "COUNTER_KEY",
    "COUNTER_ROW_NAMES",
    "END_COLUMNS",
    "MINUTE",
    "PRUNED",
    "SHARED_WRITER_ID",
    "CounterBucket",
    "count_activations",
    "count_end",
    "count_opened",
    "count_transitions",
    "sum_buckets",
]

MINUTE = 60 * MICROSECONDS_PER_SECOND

COUNTER_KEY = COUNTER.primary_key
"""The columns that a row of the counters is found by."""

COUNTER_COLUMNS = tuple(column.name for column in COUNTER.omit_columns(*COUNTER_KEY))
"""The columns of the counters that are added up."""

COUNTER_ROW_NAMES = ("writer", *(column.name for column in COUNTER.omit_columns("writer")))
"""The columns in the order of a row to be written: the writer, then the fields of a ``CounterBucket``."""

END_COLUMNS = {Status.FINISHED: "finished", Status.FAILED: "failed", Status.CANCELLED: "cancelled"}
"""Which column counts the instances that end with a status."""

_MOVE, _ERROR = ActionKind.TRANSITION, ActionKind.ERROR  # read for each line, which is slow from an enum
_TRANSITIONS, _FAILURES = COUNTER_COLUMNS.index("transitions"), COUNTER_COLUMNS.index("failures")
_END_PLACES = {status: COUNTER_COLUMNS.index(column) for status, column in END_COLUMNS.items()}

SHARED_WRITER_ID = 0
"""The writer of the common rows, into which the roll-up merges the rows of all others."""

ALL_TIME = 0
"""The ``minutes`` of the span that has no start: all that is too old to be kept by the day."""

PRUNED = -1
"""The ``minutes`` of the span of what was deleted: the rows of the table and this span together are all other spans."""


class CounterBucket(NamedTuple):
    """What happened to the instances of a type in a span of time.

    Attributes:
        minutes: The length of the span; ``ALL_TIME`` for all that is older than any other, ``PRUNED`` for ended
            instances that were deleted.
        start: Its first microsecond since 1970 UTC; 0 for ``ALL_TIME`` and ``PRUNED``.
        transitions: How often an activation led into a state.
        failures: How many activations failed.
        finished: How many instances became FINISHED. For ``ALL_TIME`` it may be negative, as the other two.
        failed: How many became FAILED.
        cancelled: How many became CANCELLED.
        opened: How many were created, or opened again after their end.
    """

    minutes: int
    start: int
    type: str
    transitions: int = 0
    failures: int = 0
    finished: int = 0
    failed: int = 0
    cancelled: int = 0
    opened: int = 0


def count_activations(transition: Transition) -> tuple[int, int]:
    """Return how often an activation led into a state, and how many failed, by the transition's lines of history."""
    moves = failures = 0
    for action in transition.actions:
        if action.kind is _MOVE:
            moves += 1
        elif action.kind is _ERROR:
            failures += 1
    return moves, failures


def count_transitions(transitions: Sequence[Transition]) -> list[CounterBucket]:
    """Return the counts of these transitions, by minute and type, in a stable order."""
    sums: dict[tuple[int, int, str], list[int]] = {}
    for transition in transitions:
        key = (1, transition.at_us - transition.at_us % MINUTE, transition.instance.type)
        numbers = sums.get(key)
        if numbers is None:
            numbers = sums[key] = [0] * len(COUNTER_COLUMNS)
        moves, failures = count_activations(transition)
        numbers[_TRANSITIONS] += moves
        numbers[_FAILURES] += failures
        place = _END_PLACES.get(transition.status)
        if place is not None:
            numbers[place] += 1
    return _build_buckets(sums)


def count_end(status: Status, *, minutes: int, start: int, type: str, amount: int = 1) -> CounterBucket:
    """Return the count of an end with this status."""
    return CounterBucket(
        minutes, start, type, *(amount if column == END_COLUMNS[status] else 0 for column in COUNTER_COLUMNS)
    )


def count_opened(types: Iterable[str], now: int, *, amount: int = 1) -> list[CounterBucket]:
    """Return the counts of instances of these types that are created, or opened again, now."""
    start = now - now % MINUTE
    return [CounterBucket(1, start, type, opened=amount * count) for type, count in sorted(Counter(types).items())]


def sum_buckets(counts: Iterable[CounterBucket]) -> list[CounterBucket]:
    """Return one count for each span and type, in the order of the key; those whose sums are all 0 are left out."""
    sums: dict[tuple[int, int, str], list[int]] = {}
    for count in counts:
        numbers = sums.setdefault(count[:3], [0] * len(COUNTER_COLUMNS))
        for place, number in enumerate(count[3:]):
            numbers[place] += number
    return _build_buckets(sums)


def _build_buckets(sums: dict[tuple[int, int, str], list[int]]) -> list[CounterBucket]:
    return [CounterBucket(*key, *numbers) for key, numbers in sorted(sums.items()) if any(numbers)]
