"""The highest line of history that was deleted: below it a stream of events may have missed some."""

from __future__ import annotations

from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession
from flowlet.store.tables import RETENTION

__all__ = ["raise_pruned_line", "read_pruned_line"]

PRUNED_LINE = "pruned_line"
"""The name of the row of this number."""


async def read_pruned_line(connections: Connections) -> int:
    """Return the highest id of a line of history that was deleted; 0 if none was.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    sql = f"SELECT value FROM {RETENTION} WHERE name = :name"
    rows = await connections.read(lambda session: session.fetch_rows(sql, {"name": PRUNED_LINE}))
    return int(rows[0][0]) if rows else 0


async def raise_pruned_line(session: DatabaseSession, line: int) -> None:
    """Note that a line was deleted, in the caller's transaction; a lower one than the noted one changes nothing.

    Two transactions that both note the very first line: one of them is refused, and has to be run again.
    """
    lock = session.dialect.expressions.for_update_sql
    sql = f"SELECT value FROM {RETENTION} WHERE name = :name {lock}"
    rows = await session.fetch_rows(sql, {"name": PRUNED_LINE})
    if not rows:
        await session.insert_many(RETENTION, RETENTION.columns, [(PRUNED_LINE, line)])
    elif rows[0][0] < line:
        sql = f"UPDATE {RETENTION} SET value = :line WHERE name = :name"
        await session.execute(sql, {"name": PRUNED_LINE, "line": line})
