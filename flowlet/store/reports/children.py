"""The children of an instance, counted by status."""

from __future__ import annotations

from flowlet.instance.instance import Instance, Status
from flowlet.store.connection import Connections
from flowlet.store.tables import WORKFLOW

__all__ = ["MAX_COUNTED_CHILDREN", "count_children_by_status"]

MAX_COUNTED_CHILDREN = 5_000
"""How many children are counted at most: each is a row that is read."""


async def count_children_by_status(connections: Connections, instance: Instance) -> dict[Status, int] | None:
    """Return how many children of an instance have each status, in the order of the statuses.

    None if it has more than ``MAX_COUNTED_CHILDREN``.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    if instance.children > MAX_COUNTED_CHILDREN:
        return None
    if not instance.children:
        return {}
    sql = f"SELECT status, COUNT(*) FROM {WORKFLOW} WHERE parent_id = :id GROUP BY status"
    rows = await connections.read(lambda session: session.fetch_rows(sql, {"id": instance.id}))
    found = {status: int(count) for status, count in rows}
    return {status: found[status] for status in Status if status in found}
