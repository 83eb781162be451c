"""What is counted of transitions: by minute, in the transaction that commits them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from flowlet.clock import SECOND
from flowlet.instances import ActionKind, Status
from flowlet.transitions import Transition

__all__ = [
    "COMMON",
    "COUNTED",
    "ENDS",
    "EVER",
    "MINUTE",
    "TALLY_KEY",
    "Count",
    "counted",
    "ended",
    "happened",
    "summed",
]

MINUTE = 60 * SECOND

COUNTED = ("transitions", "failures", "finished", "failed", "cancelled")
"""The columns of ``workflow_tally`` that are added up."""

TALLY_KEY = ("minutes", "start", "writer", "workflow_type")
"""The primary key of ``workflow_tally``. Time comes first: reports and folding read a range of it."""

ENDS = {Status.FINISHED: "finished", Status.FAILED: "failed", Status.CANCELLED: "cancelled"}
"""Which column counts the instances that end with a status."""

_END_PLACES = {status: COUNTED.index(column) for status, column in ENDS.items()}

COMMON = 0
"""The writer of the rows into which those of all others are folded."""

EVER = 0
"""The length of the span that has no start: all that is too old to be told by the day."""


class Count(NamedTuple):
    """What happened to the instances of a type in a span of time.

    Attributes:
        minutes: How long the span is; ``EVER`` for all that is older than any other.
        start: Its first microsecond since 1970 UTC; 0 for ``EVER``.
        transitions: How often an activation led into a state.
        failures: How many activations failed.
        finished: How many instances became FINISHED. For ``EVER`` it may be negative, as the other two.
        failed: How many became FAILED.
        cancelled: How many became CANCELLED.
    """

    minutes: int
    start: int
    type: str
    transitions: int = 0
    failures: int = 0
    finished: int = 0
    failed: int = 0
    cancelled: int = 0


def happened(transition: Transition) -> tuple[int, int]:
    """Return how often an activation led into a state, and how many failed, as the transition's history tells it."""
    moves = failures = 0
    for action in transition.actions:
        if action.kind is ActionKind.TRANSITION:
            moves += 1
        elif action.kind is ActionKind.ERROR:
            failures += 1
    return moves, failures


def counted(transitions: Sequence[Transition]) -> list[Count]:
    """Return what happens with these transitions, by minute and type, in a stable order."""
    sums: dict[tuple[int, int, str], list[int]] = {}
    for transition in transitions:
        key = (1, transition.at - transition.at % MINUTE, transition.instance.type)
        numbers = sums.get(key)
        if numbers is None:
            numbers = sums[key] = [0] * len(COUNTED)
        moves, failures = happened(transition)
        numbers[0] += moves
        numbers[1] += failures
        place = _END_PLACES.get(transition.status)
        if place is not None:
            numbers[place] += 1
    return _counts(sums)


def ended(status: Status, *, minutes: int, start: int, type: str, by: int = 1) -> Count:
    """Return the count of an end with this status."""
    return Count(minutes, start, type, *(by if column == ENDS[status] else 0 for column in COUNTED))


def summed(counts: Iterable[Count]) -> list[Count]:
    """Return one count for each span and type, in the order of the key; what adds up to nothing is left out."""
    sums: dict[tuple[int, int, str], list[int]] = {}
    for count in counts:
        numbers = sums.setdefault(count[:3], [0] * len(COUNTED))
        for place, number in enumerate(count[3:]):
            numbers[place] += number
    return _counts(sums)


def _counts(sums: dict[tuple[int, int, str], list[int]]) -> list[Count]:
    return [Count(*key, *numbers) for key, numbers in sorted(sums.items()) if any(numbers)]
