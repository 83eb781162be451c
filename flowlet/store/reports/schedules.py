"""The schedules that need attention: those that are due and do not fire, and those that have been paused for long."""

from __future__ import annotations

from datetime import timedelta

from flowlet.clock import MICROSECONDS_PER_SECOND, to_microseconds
from flowlet.store.connection import Connections
from flowlet.store.schedules.statements import find_schedules
from flowlet.store.schedules.table import SCHEDULE, ScheduleRecord

__all__ = ["LONG_PAUSE", "compute_schedule_lag_seconds", "read_troubled_schedules"]

LATE_MICROSECONDS = 60 * MICROSECONDS_PER_SECOND
"""How late a schedule may be before it is a finding."""
LONG_PAUSE = timedelta(days=7)
"""After how long a pause may have been forgotten."""
MAX_TROUBLED = 100


async def read_troubled_schedules(connections: Connections, *, now: int) -> list[ScheduleRecord]:
    """Return the schedules that are late, cannot be fired, or have been paused for a week; at most 100, by name.

    Args:
        connections: The database's.
        now: The store's time, in microseconds since 1970 UTC.
    """
    where = (
        "disabled = 0 AND (next_fire < :late OR (fault IS NOT NULL AND paused IS NULL) OR paused < :long) "
        "ORDER BY name LIMIT :limit"
    )
    values = {"late": now - LATE_MICROSECONDS, "long": now - to_microseconds(LONG_PAUSE), "limit": MAX_TROUBLED}
    return await connections.read(lambda session: find_schedules(session, where, values))


async def compute_schedule_lag_seconds(connections: Connections, *, now: int) -> float:
    """Return how long the schedule has been due that has been due the longest; 0 if none is."""
    sql = f"SELECT MIN(next_fire) FROM {SCHEDULE} WHERE next_fire IS NOT NULL"
    ((first,),) = await connections.read(lambda session: session.fetch_rows(sql))
    return 0.0 if first is None else max(0.0, (now - first) / MICROSECONDS_PER_SECOND)
