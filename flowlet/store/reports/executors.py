"""The executors as the console lists them: the live ones first, and those that died silently as LOST."""

from __future__ import annotations

from dataclasses import replace

from flowlet.store.connection import Connections
from flowlet.store.executors import EXECUTOR_READER, SELECT_EXECUTORS, ExecutorRecord

__all__ = ["read_executors"]


async def read_executors(connections: Connections, *, now: int, limit: int = 100) -> list[ExecutorRecord]:
    """Return the executors, the live ones first, then those with the latest beat.

    One whose lease has run out is LOST, whether another executor has noticed it or not.

    Args:
        connections: The database's.
        now: The time by which leases are judged, in microseconds since 1970 UTC.
        limit: How many at most: the live ones, then those whose lease ended last.
    """
    sql = f"{SELECT_EXECUTORS} ORDER BY name, started DESC, id"
    rows = await connections.read(lambda session: session.fetch_rows(sql, {"limit": limit}))
    found = [_judge_lease(record, now) for record in EXECUTOR_READER.parse_all(rows)]
    gone = sorted((record for record in found if not record.is_live), key=lambda record: -record.beat)
    return [record for record in found if record.is_live] + gone


def _judge_lease(record: ExecutorRecord, now: int) -> ExecutorRecord:
    """Return the record, as LOST if its lease has run out."""
    return replace(record, status="LOST") if record.is_live and record.lease_until < now else record
