"""Claims on MariaDB and MySQL: which groups and priorities have something due, then the rows, which are locked.

Neither has UPDATE ... RETURNING, and both walk what is due only where they are told by which index.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowlet.store.dialects.base import PRIORITIES, ClaimRequest, begin_transaction
from flowlet.store.rows import INSTANCE_COLUMNS

__all__ = ["claim_instances", "fetch_rows"]

_READY = "status IN ('NEW', 'IN_PROGRESS', 'WAITING')"


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
            ids = ", ".join(str(row[0]) for row in leased)
            await fetch_rows(
                raw,
                "UPDATE workflow SET status = 'EXECUTING', executor_id = %s, token = token + 1, "
                "started = COALESCE(started, %s), waits_for_children = 0, woken = 0 "
                f"WHERE id IN ({ids})",
                (request.executor_id, request.now),
            )
    return [_mark_leased(row, request) for row in leased]


async def fetch_rows(raw: Any, sql: str, values: Sequence[Any] = ()) -> Sequence[Any]:
    """Run a statement and return its rows."""
    async with raw.cursor() as cursor:
        await cursor.execute(sql, values or None)
        found: Sequence[Any] = await cursor.fetchall()
        return found


async def _find_due_priorities(raw: Any, request: ClaimRequest) -> Sequence[Any]:
    """Return the groups and priorities in which something is due: one probe of the index for each."""
    probe = (
        "(SELECT %s AS executor_group, {level} AS level FROM workflow FORCE INDEX (workflow_due) "
        "WHERE executor_group = %s AND priority = {level} AND due >= 0 AND due <= %s LIMIT 1)"
    )
    probes = [probe.format(level=level) for level in PRIORITIES for _ in request.groups]
    values = [value for _ in PRIORITIES for group in request.groups for value in (group, group, request.now)]
    return await fetch_rows(raw, " UNION ALL ".join(probes), values)


async def _lock_due_instances(raw: Any, request: ClaimRequest, group: str, level: int, limit: int) -> Sequence[Any]:
    # The lower bound matters: without it MariaDB walked over every NULL of the index, which is every ended instance.
    types = ", ".join(["%s"] * len(request.types))
    sql = (
        f"SELECT {', '.join(INSTANCE_COLUMNS)} FROM workflow FORCE INDEX (workflow_due) "
        f"WHERE executor_group = %s AND priority = %s AND due >= 0 AND due <= %s AND {_READY} "
        f"AND workflow_type IN ({types}) ORDER BY due LIMIT %s FOR UPDATE SKIP LOCKED"
    )
    return list(await fetch_rows(raw, sql, [group, level, request.now, *request.types, limit]))


def _mark_leased(row: Sequence[Any], request: ClaimRequest) -> Sequence[Any]:
    """Return the row as the UPDATE has left it."""
    place = {name: index for index, name in enumerate(INSTANCE_COLUMNS)}
    values = list(row)
    values[place["status"]] = "EXECUTING"
    values[place["executor_id"]] = request.executor_id
    values[place["token"]] += 1
    values[place["waits_for_children"]] = 0
    if values[place["started"]] is None:
        values[place["started"]] = request.now
    return values
