"""What an executor has claimed lately, and how many rows a batch or a claim may have beside it.

A batch of 160 transitions takes five times as long as a single one, on each database. That is the best that a crowd can
do for itself, and what a workflow waits for, again and again, that comes while a crowd is under way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from flowlet.clock import Clock
from flowlet.engine.batches.waiting_items import Rank
from flowlet.instance.instance import Instance
from flowlet.instance.transition import Transition
from flowlet.store.dialects.batch import ClaimRequest

__all__ = ["ROWS_BELOW", "ROWS_BESIDE_FEW", "Traffic", "rank_transition"]

WINDOW_SECONDS = 0.5
"""What was claimed counts for one to two windows."""
FEW = 20
"""A source has few instances, if that is a twentieth of all, and one source, a crowd, has half of all."""
ROWS_BESIDE_FEW = 32
"""How many rows are written at once while a source of few has something: that takes about twice as long as one."""
ROWS_BELOW = 12
"""How many rows of a lower priority are written at once: with 16 a lone workflow took a fifth longer on SQLite."""


def _rank_instance(instance: Instance) -> Rank:
    """Return the rank of an instance: each workflow, and each parent's children of it, have their turn."""
    return Rank(instance.priority, (instance.type, instance.parent_id))


def rank_transition(transition: Transition) -> Rank:
    """Return the rank of a transition: that of its instance."""
    return _rank_instance(transition.instance)


class Traffic:
    """The instances that one executor has claimed within the last second, counted by priority and source."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._window_began = clock.monotonic()
        self._current: Counter[Rank] = Counter()
        self._former: Counter[Rank] = Counter()
        self._highest, self._has_few = 0, False

    @property
    def is_mixed(self) -> bool:
        """Whether instances of several sources were claimed, of which one has few."""
        self._move_window()
        return self._has_few

    def note(self, instances: Iterable[Instance]) -> None:
        """Count what a claim has returned."""
        self._move_window()
        self._current.update(map(_rank_instance, instances))
        self._judge()

    def limit_rows(self, rows: int) -> int:
        """Return how many of so many rows may be written at once, whatever their priority."""
        return min(rows, ROWS_BESIDE_FEW) if self.is_mixed else rows

    def limit_batch(self, priority: int, rows: int) -> int:
        """Return how many of so many rows of a priority may be written at once."""
        limit = self.limit_rows(rows)
        return min(limit, ROWS_BELOW) if priority < self._highest else limit

    def limit_claim(self, request: ClaimRequest) -> ClaimRequest:
        """Return the request, limited in what it wants of lower priorities."""
        self._move_window()
        return replace(request, full_priority=self._highest, limit_below=ROWS_BELOW) if self._highest else request

    def _move_window(self) -> None:
        passed = self._clock.monotonic() - self._window_began
        if passed < WINDOW_SECONDS:
            return
        self._former = self._current if passed < 2 * WINDOW_SECONDS else Counter()
        self._current, self._window_began = Counter(), self._clock.monotonic()
        self._judge()

    def _judge(self) -> None:
        counts = self._current + self._former
        self._highest = max((rank.priority for rank in counts), default=0)
        total = counts.total()
        has_crowd = 2 * max(counts.values(), default=0) >= total
        self._has_few = has_crowd and FEW * min(counts.values(), default=total) <= total and len(counts) > 1
