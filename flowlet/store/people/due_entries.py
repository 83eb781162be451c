"""The entries in the inbox that are due for a reminder or an escalation."""

from __future__ import annotations

from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession
from flowlet.store.people.tables import INBOX
from flowlet.store.tables import WORKFLOW

__all__ = ["find_due_entries", "find_next_due_entry"]

_DUE_COLUMNS = ("remind_at", "escalate_at")
# What is paused stays due until it waits again. What has come to its deadline is not asked any more.
_WAITING = f"{INBOX} i JOIN {WORKFLOW} w ON w.id = i.workflow_id AND w.visit = i.visit AND w.status = 'WAITING'"


async def find_due_entries(connections: Connections, *, now: int, limit: int) -> list[int]:
    """Return the instances whose questions are due for a reminder or an escalation, by id; of each kind so many.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """

    async def find(session: DatabaseSession) -> list[int]:
        found: set[int] = set()
        for column in _DUE_COLUMNS:
            due = f"i.{column} <= :now AND (w.next_activation IS NULL OR w.next_activation > :now)"
            sql = f"SELECT i.workflow_id FROM {_WAITING} WHERE {due} ORDER BY i.{column} LIMIT :row_limit"
            found |= {int(id) for (id,) in await session.fetch_rows(sql, {"now": now, "row_limit": limit})}
        return sorted(found)

    return await connections.read(find)


async def find_next_due_entry(connections: Connections, *, now: int) -> int | None:
    """Return when the next question is due for a reminder or an escalation, after ``now``; None if none ever is.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """

    async def find(session: DatabaseSession) -> int | None:
        dues = []
        for column in _DUE_COLUMNS:
            sql = f"SELECT MIN(i.{column}) FROM {_WAITING} WHERE i.{column} > :now"
            dues += [at for (at,) in await session.fetch_rows(sql, {"now": now}) if at is not None]
        return min(dues, default=None)

    return await connections.read(find)
