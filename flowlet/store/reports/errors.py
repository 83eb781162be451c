"""Errors, grouped: which failures are the same one, how many instances have it, and when they failed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowlet.definition.versions.state_names import NO_RENAMES, StateNames
from flowlet.instance.fingerprint import extract_message
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession, build_in_list
from flowlet.store.search.renamed_states import list_fingerprints
from flowlet.store.tables import IS_FAILING, IS_NOT_DONE, WORKFLOW

__all__ = ["MAX_COUNTED_FAILED", "ErrorGroup", "count_failed", "read_error_groups", "read_failing_types"]

MAX_COUNTED_FAILED = 10_000
"""Up to how many FAILED instances are counted."""

_TYPE = "COALESCE(workflow_type, '')"
"""The type as an expression: otherwise SQLite would walk the index of types."""


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Instances whose last attempt failed with the same error.

    Attributes:
        message: The error message of the instance that failed last.
        count: How many instances.
        failed: How many of them are FAILED; the others will be retried, or are paused.
        first: The earliest of the instances' last failures, in microseconds since 1970 UTC: the error may be older.
        last: The latest failure.
        newest_id: The instance that failed last.
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


async def read_error_groups(
    connections: Connections, *, names: StateNames = NO_RENAMES, limit: int = 50, type: str | None = None
) -> list[ErrorGroup]:
    """Return the groups, the latest failure first.

    Args:
        connections: The database's.
        names: The names of all states. Errors of a state that was renamed are one group, under its present name.
        limit: How many groups at most.
        type: Only groups of this workflow; None for all.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    where, values = (f"{IS_FAILING} AND {_TYPE} = :type", {"type": type}) if type is not None else (IS_FAILING, {})

    async def read_groups(session: DatabaseSession) -> list[ErrorGroup]:
        # Each group consists of as many fingerprints as its state has names.
        found = await _fetch_groups(session, where, values, limit=limit * names.most_names)
        if not names.has_renames:
            return [_build_group([row]) for row in found]
        merged = _merge_rows(found, names)
        kept = dict(list(merged.items())[:limit])
        known = {row[0] for row in found}
        if missing := [one for fingerprints in kept for one in fingerprints if one not in known]:
            binds, more = build_in_list("fingerprint", missing)
            part = f"{IS_FAILING} AND fingerprint IN ({binds})"
            for key, rows in _merge_rows(await _fetch_groups(session, part, more, limit=len(missing)), names).items():
                kept[key] += rows
        return [_build_group(rows, names) for rows in kept.values()]

    return await connections.read(read_groups)


async def _fetch_groups(
    session: DatabaseSession, where: str, values: Mapping[str, Any], *, limit: int
) -> list[tuple[Any, ...]]:
    status = session.dialect.expressions.failing_status_column
    # Grouped by the index alone, in its order; whole rows are read only for the newest instance of each group. Of
    # several that failed in the same microsecond that is the one with the highest id. A fingerprint has one type.
    sql = f"""
    SELECT g.fingerprint, w.workflow_type, w.state, w.reason, g.instances, g.ended, g.first, g.last, w.id
    FROM (
        SELECT fingerprint, COUNT(*) AS instances,
            SUM(CASE WHEN {status} = 'FAILED' THEN 1 ELSE 0 END) AS ended, MIN(failed) AS first, MAX(failed) AS last
        FROM {WORKFLOW} WHERE {where} GROUP BY fingerprint
        ORDER BY MAX(failed) DESC, fingerprint LIMIT :row_limit
    ) g JOIN {WORKFLOW} w ON w.id = (
        SELECT MAX(n.id) FROM {WORKFLOW} n WHERE n.fingerprint = g.fingerprint AND n.failed = g.last
    )
    ORDER BY g.last DESC, g.fingerprint
    """
    return list(await session.fetch_rows(sql, {**values, "row_limit": limit}))


def _merge_rows(rows: Iterable[tuple[Any, ...]], names: StateNames) -> dict[tuple[str, ...], list[tuple[Any, ...]]]:
    """Return the rows by the fingerprints of their error under all names of its state, in the order of the rows."""
    merged: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
    for row in rows:
        fingerprint, type, state, reason, *_ = row
        key = tuple(sorted(list_fingerprints(fingerprint, type, state, reason, names)))
        merged.setdefault(key, []).append(row)
    return merged


def _build_group(rows: Sequence[tuple[Any, ...]], names: StateNames = NO_RENAMES) -> ErrorGroup:
    """Return the group of one error, of which the first row has the latest failure."""
    fingerprint, type, state, reason, *_, newest_id = rows[0]
    return ErrorGroup(
        fingerprint,
        type,
        names.resolve(type, state),
        extract_message(reason),
        count=sum(int(row[4]) for row in rows),
        failed=sum(int(row[5]) for row in rows),
        first=min(row[6] for row in rows),
        last=max(row[7] for row in rows),
        newest_id=newest_id,
    )


async def read_failing_types(connections: Connections) -> list[str]:
    """Return the workflows that have errors, in the order of their names.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    sql = f"SELECT DISTINCT {_TYPE} AS name FROM {WORKFLOW} WHERE {IS_FAILING} ORDER BY name"
    return [name for (name,) in await connections.read(lambda session: session.fetch_rows(sql))]


async def count_failed(connections: Connections) -> int:
    """Return how many instances are FAILED, counted up to 10,000.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    # The second condition repeats the index's own, so that the databases use it.
    failed = f"status = 'FAILED' AND {IS_NOT_DONE}"
    sql = f"SELECT COUNT(*) FROM (SELECT status FROM {WORKFLOW} WHERE {failed} LIMIT {MAX_COUNTED_FAILED}) counted"
    ((count,),) = await connections.read(lambda session: session.fetch_rows(sql))
    return int(count)
