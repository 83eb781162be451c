"""The external ids that are kept of instances that were deleted."""

from __future__ import annotations

from dataclasses import dataclass

from flowlet.store.columns import RowReader
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession, build_in_list
from flowlet.store.tables import EXTERNAL_ID

__all__ = [
    "MAX_DELETED_IDS",
    "PrunedInstance",
    "delete_expired_external_ids",
    "find_pruned_by_external_id",
    "find_pruned_by_id",
]

MAX_DELETED_IDS = 200


@dataclass(frozen=True, slots=True)
class PrunedInstance:
    """What is known of a deleted instance whose external id is kept. ``pruned`` is in microseconds since 1970 UTC."""

    external_id: str
    workflow_id: int
    workflow_type: str
    pruned: int


_READER = RowReader(PrunedInstance, {"": EXTERNAL_ID})


async def find_pruned_by_external_id(connections: Connections, external_id: str) -> PrunedInstance | None:
    """Return what is kept of a deleted instance by its external id; None for nothing.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    return await _find(connections, "external_id", external_id)


async def find_pruned_by_id(connections: Connections, id: int) -> PrunedInstance | None:
    """Return what is kept of a deleted instance by its id; None for nothing.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    return await _find(connections, "workflow_id", id)


async def _find(connections: Connections, column: str, value: int | str) -> PrunedInstance | None:
    sql = f"SELECT {_READER.select_list} FROM {EXTERNAL_ID} WHERE {column} = :value"
    rows = await connections.read(lambda session: session.fetch_rows(sql, {"value": value}))
    return _READER.parse(rows[0]) if rows else None


async def delete_expired_external_ids(connections: Connections, *, before: int) -> int:
    """Delete up to 200 external ids of instances that were deleted before a time: one transaction; return how many.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """

    async def delete_oldest(session: DatabaseSession) -> int:
        sql = (
            f"SELECT external_id FROM {EXTERNAL_ID} WHERE pruned < :before ORDER BY pruned LIMIT {MAX_DELETED_IDS} "
            f"{session.dialect.expressions.skip_locked_sql}"
        )
        names = [name for (name,) in await session.fetch_rows(sql, {"before": before})]
        if names:
            binds, values = build_in_list("name", names)
            await session.execute(f"DELETE FROM {EXTERNAL_ID} WHERE external_id IN ({binds})", values)
        return len(names)

    return await connections.write(delete_oldest)
