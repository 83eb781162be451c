"""Items that wait to be written, in the order in which batches take them."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable
from typing import Generic, NamedTuple, TypeVar

__all__ = ["NO_RANK", "Rank", "WaitingItems"]

T = TypeVar("T")

LOW_TURN = 8
"""Every eighth item is of the lowest priority, so that no item waits for ever behind those of higher ones."""


class Rank(NamedTuple):
    """What decides when an item is taken.

    Attributes:
        priority: The higher one first.
        source: Where it comes from; the sources of one priority are served in turns.
    """

    priority: int
    source: Hashable


NO_RANK = Rank(0, None)


class WaitingItems(Generic[T]):
    """A queue of items: the highest priority first, and of one priority one item of each source in its turn."""

    def __init__(self) -> None:
        self._sources: dict[int, dict[Hashable, deque[T]]] = {}
        self._count = self._turn = 0

    def __len__(self) -> int:
        return self._count

    def add(self, rank: Rank, item: T) -> None:
        """Add an item behind the others of its source."""
        self._get_queue(rank).append(item)
        self._count += 1

    def put_back(self, rank: Rank, item: T) -> None:
        """Add an item that was taken: it is the next one of its source, and the source the next of its priority."""
        self._get_queue(rank).appendleft(item)
        sources = self._sources[rank.priority]
        if len(sources) > 1:
            self._sources[rank.priority] = {rank.source: sources.pop(rank.source), **sources}
        self._count += 1
        self._turn -= 1

    def pop(self, *, above: int | None = None) -> T | None:
        """Return the next item and remove it; None if there is none, or none with a priority above the given one.

        Its source has its next turn behind the others.
        """
        if not self._sources:
            return None
        priority = next(iter(self._sources)) if len(self._sources) == 1 else self._find_priority(above)
        if above is not None and priority <= above:
            return None
        sources = self._sources[priority]
        source, queue = next(iter(sources.items()))
        item = queue.popleft()
        if len(sources) > 1:
            del sources[source]
            if queue:
                sources[source] = queue
        elif not queue:
            del self._sources[priority]
        self._count -= 1
        self._turn += above is None
        return item

    def clear(self) -> Iterable[T]:
        """Remove all items, and return them."""
        items = [item for sources in self._sources.values() for queue in sources.values() for item in queue]
        self._sources.clear()
        self._count = 0
        return items

    def _get_queue(self, rank: Rank) -> deque[T]:
        sources = self._sources.get(rank.priority)
        if sources is None:
            sources = self._sources[rank.priority] = {}
        queue = sources.get(rank.source)
        if queue is None:
            queue = sources[rank.source] = deque()
        return queue

    def _find_priority(self, above: int | None) -> int:
        is_low_turn = above is None and self._turn % LOW_TURN == LOW_TURN - 1
        return min(self._sources) if is_low_turn else max(self._sources)
