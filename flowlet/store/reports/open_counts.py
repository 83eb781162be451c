"""How many instances are open, by workflow and status."""

from __future__ import annotations

from flowlet.clock import Clock, StoreClock
from flowlet.store.connection import Connections
from flowlet.store.tables import IS_NOT_DONE, WORKFLOW

__all__ = ["MANY_OPEN", "MAX_AGE_SECONDS", "OpenCounts"]

MANY_OPEN = 100_000
"""Beyond so many the counts may be older: each is an entry of an index that is read, 0.2 s for a million."""
MAX_AGE_SECONDS = 5.0

# Two conditions that say the same: SQLite uses a partial index only if its condition is in the statement, and without
# the list of statuses it would read the FAILED instances, which may be many.
_COUNT_OPEN = f"""
SELECT workflow_type, status, COUNT(*) FROM {WORKFLOW}
WHERE status IN ('NEW', 'EXECUTING', 'IN_PROGRESS', 'WAITING', 'PAUSED') AND {IS_NOT_DONE}
GROUP BY workflow_type, status
"""


class OpenCounts:
    """Counts the open instances, and keeps the counts for a few seconds where there are many.

    Args:
        connections: The database's.
        clock: Tells how old the counts are.
    """

    def __init__(self, connections: Connections, clock: Clock | None = None) -> None:
        self._connections = connections
        self._clock = clock or StoreClock()
        self._kept: dict[tuple[str, str], int] = {}
        self._kept_until = 0.0

    async def read(self) -> dict[tuple[str, str], int]:
        """Return how many instances of each type have each status; where many are open, as of 5 s ago at most.

        Raises:
            StoreUnavailableError: If the database is unavailable.
        """
        if self._clock.monotonic() < self._kept_until:
            return self._kept
        rows = await self._connections.read(lambda session: session.fetch_rows(_COUNT_OPEN))
        found = {(name, status): int(count) for name, status, count in rows}
        if sum(found.values()) > MANY_OPEN:
            self._kept, self._kept_until = found, self._clock.monotonic() + MAX_AGE_SECONDS
        return found
