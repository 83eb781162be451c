"""The counts of ended instances beside the rows that they count, in one snapshot."""

from __future__ import annotations

from dataclasses import dataclass

from flowlet.store.connection import Connections
from flowlet.store.counter_buckets import END_COLUMNS, PRUNED
from flowlet.store.tables import COUNTER, WORKFLOW

__all__ = ["WrongCount", "find_wrong_counts"]

_ENDED = ", ".join(f"'{status.value}'" for status in END_COLUMNS)
# One statement reads one snapshot: instances that end meanwhile are in both parts, or in none.
_COUNTED = " UNION ALL ".join(
    f"SELECT workflow_type, '{status.value}' AS status, "
    f"SUM(CASE WHEN minutes = {PRUNED} THEN -{column} ELSE {column} END) AS counted, 0 AS found, 0 AS first_id "
    f"FROM {COUNTER} GROUP BY workflow_type"
    for status, column in END_COLUMNS.items()
)
_RECOUNT = f"""
SELECT workflow_type, status, SUM(counted), SUM(found), MAX(first_id) FROM (
    SELECT workflow_type, status, 0 AS counted, COUNT(*) AS found, MIN(id) AS first_id FROM {WORKFLOW}
    WHERE status IN ({_ENDED}) GROUP BY workflow_type, status
    UNION ALL {_COUNTED}
) both_counts GROUP BY workflow_type, status HAVING SUM(counted) <> SUM(found)
"""


@dataclass(frozen=True, slots=True)
class WrongCount:
    """The ended instances of a workflow and a status of which the counters say another number than there are rows.

    Attributes:
        counted: What the counters say, without those that were deleted.
        found: How many rows there are.
        first_id: The first of these; 0 if there is none.
    """

    type: str
    status: str
    counted: int
    found: int
    first_id: int

    def describe(self) -> str:
        """Return what is wrong, in words."""
        return (
            f"{self.found:,} of {self.type!r} are {self.status}, but {self.counted:,} are counted and not deleted. "
            "Were rows changed by something else than Flowlet?"
        )


async def find_wrong_counts(connections: Connections) -> list[WrongCount]:
    """Return where rows and the deleted ones together are not the ones that were counted. Reads every instance.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    rows = await connections.read(lambda session: session.fetch_rows(_RECOUNT))
    return [
        WrongCount(type, status, int(counted), int(found), int(first))
        for type, status, counted, found, first in sorted(rows)
    ]
