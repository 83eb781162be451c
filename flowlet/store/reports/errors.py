"""Errors that are alike, grouped."""

from __future__ import annotations

from dataclasses import dataclass

from flowlet.store.connection import Connections

__all__ = ["ErrorGroup", "error_groups"]


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Instances that failed alike.

    Attributes:
        count: How many attempts failed so.
        failed: How many instances are FAILED by it.
        first: When it was seen first, in microseconds since 1970 UTC.
        last: When it was seen last.
        newest_id: The instance where it was.
    """

    fingerprint: str
    type: str
    state: str
    message: str
    count: int
    failed: int
    first: int
    last: int
    newest_id: int


async def error_groups(connections: Connections, *, limit: int = 50, type: str | None = None) -> list[ErrorGroup]:
    """Return groups of errors, the last failed first."""
    where = "status = 'FAILED'" + (" AND workflow_type = :type" if type is not None else "")
    sql = (
        "SELECT workflow_type, state, reason, COUNT(*), MIN(ended), MAX(ended), MAX(id) FROM workflow "
        f"WHERE {where} GROUP BY workflow_type, state, reason ORDER BY MAX(ended) DESC LIMIT :limit"
    )
    values = {"limit": limit} | ({"type": type} if type is not None else {})
    rows = await connections.read(lambda session: session.rows(sql, values))
    return [
        ErrorGroup(f"{row[0]}:{row[1]}", row[0], row[1], row[2] or "", row[3], row[3], row[4], row[5], row[6])
        for row in rows
    ]
