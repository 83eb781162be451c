"""The roots of trees, for an export and by a business key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from flowlet.store.connection import Connections
from flowlet.store.retention.ended_trees import EndedRoot
from flowlet.store.tables import HAS_BUSINESS_KEY, WORKFLOW

__all__ = ["count_roots", "find_roots_by_key", "list_roots"]

PAGE_SIZE = 100
_COLUMNS = "id, COALESCE(ended, 0) AS ended, children"


async def list_roots(connections: Connections, *, type: str | None = None) -> AsyncIterator[list[EndedRoot]]:
    """Yield all roots in the order of their ids, 100 at a time; ``ended`` is 0 for one that has not ended.

    Args:
        connections: The database's.
        type: Only those of this workflow; None for all.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    where = "id > :after AND root_id IS NULL" + (" AND workflow_type = :type" if type is not None else "")
    sql = f"SELECT {_COLUMNS} FROM {WORKFLOW} WHERE {where} ORDER BY id LIMIT {PAGE_SIZE}"
    last = 0
    while True:
        values: dict[str, Any] = {"after": last} | ({} if type is None else {"type": type})
        rows = await connections.read(lambda session, values=values: session.fetch_rows(sql, values))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        if not rows:
            return
        yield [EndedRoot(*row) for row in rows]
        last = rows[-1][0]


async def count_roots(connections: Connections, *, type: str | None = None) -> int:
    """Return how many roots there are, of one workflow or of all. Reads every instance.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    where = "root_id IS NULL" + (" AND workflow_type = :type" if type is not None else "")
    values = {} if type is None else {"type": type}
    sql = f"SELECT COUNT(*) FROM {WORKFLOW} WHERE {where}"
    ((count,),) = await connections.read(lambda session: session.fetch_rows(sql, values))
    return int(count)


async def find_roots_by_key(connections: Connections, key: str) -> list[EndedRoot]:
    """Return the roots of the trees that have an instance with this business key; ``ended`` as for ``list_roots``.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    keyed = f"SELECT COALESCE(root_id, id) FROM {WORKFLOW} WHERE business_key = :key AND {HAS_BUSINESS_KEY}"
    ids = sorted({id for (id,) in await connections.read(lambda session: session.fetch_rows(keyed, {"key": key}))})
    expressions = connections.dialect.expressions
    sql = f"SELECT {_COLUMNS} FROM {WORKFLOW} WHERE id IN ({expressions.build_ids_sql('ids')}) ORDER BY id"
    rows = await connections.read(lambda session: session.fetch_rows(sql, {"ids": expressions.encode_ids(ids)}))
    return [EndedRoot(*row) for row in rows]
