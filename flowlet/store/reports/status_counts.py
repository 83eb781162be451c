"""How many instances there are, by workflow and status."""

from __future__ import annotations

import asyncio

from flowlet.clock import Clock
from flowlet.store.connection import Connections
from flowlet.store.counters import CounterStore
from flowlet.store.tables import IS_NOT_DONE, WORKFLOW

__all__ = ["MANY_OPEN", "MAX_AGE_SECONDS", "StatusCounts"]

MANY_OPEN = 100_000
"""With more open instances than this the counts are kept: each open one is an entry of an index that is read."""
MAX_AGE_SECONDS = 5.0

# Two conditions that say the same: SQLite uses a partial index only if its condition is in the statement, and without
# the list of statuses it would read the FAILED instances, which may be many.
_COUNT_OPEN = f"""
SELECT workflow_type, status, COUNT(*) FROM {WORKFLOW}
WHERE status IN ('NEW', 'EXECUTING', 'IN_PROGRESS', 'WAITING', 'PAUSED') AND {IS_NOT_DONE}
GROUP BY workflow_type, status
"""


class StatusCounts:
    """Counts the instances, and keeps the counts for a few seconds where many are open.

    Open and ended ones are kept together: an instance that ends meanwhile is counted once.

    Args:
        connections: The database's.
        clock: Tells how old the counts are.
    """

    def __init__(self, connections: Connections, clock: Clock) -> None:
        self._connections = connections
        self._counters = CounterStore(connections)
        self._clock = clock
        self._turn = asyncio.Lock()
        self._kept: dict[tuple[str, str], int] = {}
        self._kept_until = 0.0

    async def read(self) -> dict[tuple[str, str], int]:
        """Return how many instances of each type have each status. Ended ones come from the counters.

        Raises:
            StoreUnavailableError: If the database is unavailable.
        """
        if self._clock.monotonic() < self._kept_until:
            return dict(self._kept)
        if self._kept:
            async with self._turn:
                return dict(self._kept) if self._clock.monotonic() < self._kept_until else await self._count()
        return await self._count()

    async def _count(self) -> dict[tuple[str, str], int]:
        began = self._clock.monotonic()
        rows = await self._connections.read(lambda session: session.fetch_rows(_COUNT_OPEN))
        found = {(type, status): int(count) for type, status, count in rows}
        is_kept = sum(found.values()) > MANY_OPEN
        found |= await self._counters.count_ended_instances()
        found = {key: count for key, count in found.items() if count}
        self._kept, self._kept_until = (dict(found), began + MAX_AGE_SECONDS) if is_kept else ({}, 0.0)
        return found
