"""Errors, grouped: which failures are the same one, how many instances have it, and when they failed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from flowlet.definition.versions.state_names import NO_RENAMES, StateNames
from flowlet.instance.fingerprint import extract_message
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession, build_in_list
from flowlet.store.reports.bounded_errors import fetch_bounded_groups, fetch_bounded_types, has_many_failing
from flowlet.store.search.failed_states import FailedInstance, find_failed_states
from flowlet.store.search.renamed_states import list_fingerprints
from flowlet.store.tables import IS_FAILING, WORKFLOW

__all__ = ["MAX_COUNTED_FAILED", "ErrorGroup", "ErrorOrder", "count_failed", "read_error_groups", "read_failing_types"]

MAX_COUNTED_FAILED = 10_000
"""Up to how many FAILED instances are counted."""

_TYPE = "COALESCE(workflow_type, '')"
"""The type as an expression: otherwise SQLite would walk the index of types."""


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Instances whose last attempt failed with the same error.

    Attributes:
        state: The state in which they failed, also if they ended in an error state after it.
        message: The error message of the instance that failed last.
        count: How many instances.
        failed: How many of them are FAILED; the others will be retried, or are paused.
        first: The earliest of the instances' last failures, in microseconds since 1970 UTC; from ``read_first_seen``
            the first failed attempt with the error.
        last: The latest failure.
        newest_id: The instance that failed last.
        oldest_id: The instance that was created first.
        is_at_least: Whether more instances have it than are counted; more than 50,000 are failing then.
        all_fingerprints: Its fingerprints: one for each name under which the state was entered.
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
    oldest_id: int = field(default=0, compare=False)
    all_fingerprints: tuple[str, ...] = field(default=(), compare=False)
    is_at_least: bool = field(default=False, compare=False)


class ErrorOrder(StrEnum):
    """The order of error groups."""

    LATEST = "latest"
    """The latest failure first."""
    HARM = "harm"
    """The most FAILED instances first, then the most that will be retried."""


_ORDERS = {
    ErrorOrder.LATEST: ("last DESC", "fingerprint"),
    ErrorOrder.HARM: ("failed_count DESC", "instances DESC", "last DESC", "fingerprint"),
}


_SORT_KEYS: Mapping[ErrorOrder, Callable[[tuple[Any, ...]], tuple[Any, ...]]] = {
    ErrorOrder.LATEST: lambda row: (-row[7], row[0]),
    ErrorOrder.HARM: lambda row: (-row[5], -row[4], -row[7], row[0]),
}
"""The same orders of rows that have been read."""


async def read_error_groups(
    connections: Connections,
    *,
    names: StateNames = NO_RENAMES,
    limit: int = 50,
    type: str | None = None,
    order: ErrorOrder = ErrorOrder.LATEST,
) -> list[ErrorGroup]:
    """Return the groups, by default the latest failure first.

    If more than 50,000 instances are failing, at most 500 errors are read, and each is counted up to a limit: 10,000,
    or fewer if there are many errors. The time is then bounded, whatever has happened.

    Args:
        connections: The database's.
        names: The names of all states. Errors of a state that was renamed are one group, under its present name.
        limit: How many groups at most.
        type: Only groups of this workflow; None for all.
        order: Which groups come first.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    where, values = (f"{IS_FAILING} AND {_TYPE} = :type", {"type": type}) if type is not None else (IS_FAILING, {})

    async def read_groups(session: DatabaseSession) -> list[ErrorGroup]:
        if await has_many_failing(session):
            rows = [row for row in await fetch_bounded_groups(session) if type in (None, row[1])]
            groups = [
                _build_group(several, names)
                for several in _merge_rows(sorted(rows, key=_SORT_KEYS[order]), names).values()
            ]
            return groups[:limit]
        # Each group consists of as many fingerprints as its state has names.
        found = await _fetch_groups(session, where, values, limit=limit * names.most_names, order=order)
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
    session: DatabaseSession,
    where: str,
    values: Mapping[str, Any],
    *,
    limit: int,
    order: ErrorOrder = ErrorOrder.LATEST,
) -> list[tuple[Any, ...]]:
    status = session.dialect.expressions.failing_status_column
    # Grouped by the index alone, in its order; whole rows are read only for the newest instance of each group. Of
    # several that failed in the same microsecond that is the one with the highest id. A fingerprint has one type.
    sql = f"""
    SELECT g.fingerprint, w.workflow_type, w.state, w.reason,
        g.instances, g.failed_count, g.first, g.last, w.id, g.oldest
    FROM (
        SELECT fingerprint, COUNT(*) AS instances,
            SUM(CASE WHEN {status} = 'FAILED' THEN 1 ELSE 0 END) AS failed_count,
            MIN(failed) AS first, MAX(failed) AS last, MIN(id) AS oldest
        FROM {WORKFLOW} WHERE {where} GROUP BY fingerprint
        ORDER BY {", ".join(_ORDERS[order])} LIMIT :row_limit
    ) g JOIN {WORKFLOW} w ON w.id = (
        SELECT MAX(n.id) FROM {WORKFLOW} n WHERE n.fingerprint = g.fingerprint AND n.failed = g.last
    )
    ORDER BY {", ".join(f"g.{one}" for one in _ORDERS[order])}
    """
    rows = await session.fetch_rows(sql, {**values, "row_limit": limit})
    states = await find_failed_states(session, [FailedInstance(row[8], *row[:4]) for row in rows])
    return [(*row[:2], states[row[8]], *row[3:], False) for row in rows]


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
    fingerprint, type, state, reason = rows[0][:4]
    return ErrorGroup(
        fingerprint,
        type,
        names.resolve(type, state),
        extract_message(reason),
        count=sum(int(row[4]) for row in rows),
        failed=sum(int(row[5]) for row in rows),
        first=min(row[6] for row in rows),
        last=max(row[7] for row in rows),
        newest_id=rows[0][8],
        oldest_id=min(row[9] for row in rows),
        all_fingerprints=tuple(row[0] for row in rows),
        is_at_least=any(row[10] for row in rows),
    )


async def read_failing_types(connections: Connections) -> list[str]:
    """Return the workflows that have errors, in the order of their names.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """

    async def read_types(session: DatabaseSession) -> list[str]:
        if await has_many_failing(session):
            return await fetch_bounded_types(session)
        sql = f"SELECT DISTINCT {_TYPE} AS name FROM {WORKFLOW} WHERE {IS_FAILING} ORDER BY name"
        return [name for (name,) in await session.fetch_rows(sql)]

    return await connections.read(read_types)


async def count_failed(connections: Connections) -> int:
    """Return how many instances are FAILED with a failure that nobody has closed, counted up to 10,000.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """

    async def count_rows(session: DatabaseSession) -> int:
        # From the index of failures alone, in which closed ones are not.
        failed = f"{IS_FAILING} AND {session.dialect.expressions.failing_status_column} = 'FAILED'"
        sql = f"SELECT COUNT(*) FROM (SELECT id FROM {WORKFLOW} WHERE {failed} LIMIT {MAX_COUNTED_FAILED}) counted"
        ((count,),) = await session.fetch_rows(sql)
        return int(count)

    return await connections.read(count_rows)
