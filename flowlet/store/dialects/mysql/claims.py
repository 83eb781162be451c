"""Claims on MariaDB and MySQL: which groups and priorities have something due, then the rows, which are locked.

Neither has UPDATE ... RETURNING, and both use the due index only where the statement names it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowlet.instance.instance import Instance
from flowlet.store.columns import Expression, RowReader
from flowlet.store.dialects.batch import PRIORITY_ORDER, ClaimRequest
from flowlet.store.dialects.mysql.schema import DUE_COLUMN
from flowlet.store.dialects.mysql.statement import fetch_rows
from flowlet.store.dialects.transaction import begin_transaction
from flowlet.store.tables import DUE_INDEX, IS_READY, WORKFLOW

__all__ = ["claim_instances"]

_LEASED = RowReader(
    Instance,
    {"": WORKFLOW},
    expressions={
        "status": Expression("'EXECUTING'"),
        "executor_id": Expression("%s"),
        "token": Expression("token + 1"),
        "waits_for_children": Expression("0"),
        "started_us": Expression("COALESCE(started, %s)"),
    },
).select_list
"""The columns of an instance as the UPDATE leaves them: the rows are read before, because they are locked first."""

_LEASE = f"""
UPDATE {WORKFLOW} SET status = 'EXECUTING', executor_id = %s, token = token + 1, started = COALESCE(started, %s),
    waits_for_children = 0, woken = 0
WHERE id IN ({{ids}})
"""
_DUE_INDEX = f"{WORKFLOW} FORCE INDEX ({DUE_INDEX.name})"


async def claim_instances(raw: Any, request: ClaimRequest) -> list[Sequence[Any]]:
    """Lease due instances, the higher priority first, and return their rows. One transaction."""
    levels = await _find_due_priorities(raw, request)
    if not levels:
        return []
    async with begin_transaction(raw.query):
        leased: list[Sequence[Any]] = []
        for group, level in levels:
            leased += await _lock_due_instances(raw, request, group, level, request.limit - len(leased))
            if len(leased) == request.limit:
                break
        if leased:
            ids = ", ".join(str(id) for id, *_ in leased)
            await fetch_rows(raw, _LEASE.format(ids=ids), (request.executor_id, request.now))
    return leased


async def _find_due_priorities(raw: Any, request: ClaimRequest) -> Sequence[Any]:
    """Return the groups and priorities in which something is due: one probe of the index for each."""
    probe = (
        f"(SELECT %s AS executor_group, {{level}} AS level FROM {_DUE_INDEX} "
        f"WHERE executor_group = %s AND priority = {{level}} AND {DUE_COLUMN} >= 0 AND {DUE_COLUMN} <= %s LIMIT 1)"
    )
    probes = [probe.format(level=level) for level in PRIORITY_ORDER for _ in request.groups]
    values = [value for _ in PRIORITY_ORDER for group in request.groups for value in (group, group, request.now)]
    return await fetch_rows(raw, " UNION ALL ".join(probes), values)


async def _lock_due_instances(raw: Any, request: ClaimRequest, group: str, level: int, limit: int) -> Sequence[Any]:
    # The lower bound matters: without it MariaDB walked over every NULL of the index, which is every ended instance.
    types = ", ".join(["%s"] * len(request.types))
    sql = (
        f"SELECT {_LEASED} FROM {_DUE_INDEX} "
        f"WHERE executor_group = %s AND priority = %s AND {DUE_COLUMN} >= 0 AND {DUE_COLUMN} <= %s AND {IS_READY} "
        f"AND workflow_type IN ({types}) ORDER BY {DUE_COLUMN} LIMIT %s FOR UPDATE SKIP LOCKED"
    )
    values = [request.executor_id, request.now, group, level, request.now, *request.types, limit]
    return list(await fetch_rows(raw, sql, values))
