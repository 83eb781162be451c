"""Errors when very many instances have failed: groups that are counted up to a limit, in a bounded time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flowlet.store.database_session import DatabaseSession
from flowlet.store.search.failed_states import FailedInstance, find_failed_states
from flowlet.store.tables import IS_FAILING, WORKFLOW

__all__ = ["fetch_bounded_groups", "fetch_bounded_types", "has_many_failing"]

MAX_GROUPED = 50_000
"""Up to how many failing instances are grouped and counted exactly; of more, as many are read at most."""
LIMITS = (10_000, 5_000, 2_000, 1_000, 500, 200)
"""Up to how many instances of each error are counted: the largest with which all together are not more than these."""
MAX_GROUPS = 500
"""How many errors are read then: the first ones by their fingerprint, which says nothing about them."""
GROUPS_AT_ONCE = 50
"""How many errors one statement reads; SQLite joins 500 SELECTs at most."""

# Each step finds the next fingerprint at the beginning of its range, however many instances have it.
_FINGERPRINTS = f"""
WITH RECURSIVE found (fingerprint) AS (
    SELECT MIN(fingerprint) FROM {WORKFLOW} WHERE {IS_FAILING}
    UNION ALL
    SELECT (SELECT MIN(w.fingerprint) FROM {WORKFLOW} w WHERE w.{IS_FAILING} AND w.fingerprint > found.fingerprint)
    FROM found WHERE found.fingerprint IS NOT NULL
)
SELECT fingerprint FROM found WHERE fingerprint IS NOT NULL
"""


async def has_many_failing(session: DatabaseSession) -> bool:
    """Return whether more instances are failing than are grouped exactly."""
    sql = f"SELECT id FROM {WORKFLOW} WHERE {IS_FAILING} ORDER BY fingerprint LIMIT 1 OFFSET {MAX_GROUPED}"
    return bool(await session.fetch_rows(sql))


async def fetch_bounded_groups(session: DatabaseSession) -> list[tuple[Any, ...]]:
    """Return the rows of at most 500 errors, in no order, as ``errors`` reads them.

    Counted are the instances that failed last. The last value of a row says whether more have the error.
    """
    counts = await _count_instances(session, await _list_fingerprints(session))
    # Few errors have most of the instances: these are counted further, as far as their number permits.
    large = [fingerprint for fingerprint, numbers in counts.items() if numbers[-1]]
    counts |= await _count_instances(session, large)
    found: list[tuple[Any, ...]] = [(*row, *counts[row[0]]) for row in await _read_newest(session, counts)]
    states = await find_failed_states(session, [FailedInstance(row[4], *row[:4]) for row in found])
    return [
        (fingerprint, type, states[id], reason, *numbers[:4], id, *numbers[4:])
        for fingerprint, type, _, reason, id, *numbers in found
    ]


async def fetch_bounded_types(session: DatabaseSession) -> list[str]:
    """Return the workflows of these errors, in the order of their names."""
    # A fingerprint has one type.
    rows = await _fetch_for_each(
        session,
        dict.fromkeys(await _list_fingerprints(session), ()),
        f"SELECT * FROM (SELECT workflow_type, %d AS place FROM {WORKFLOW} "
        f"WHERE {IS_FAILING} AND fingerprint = :fingerprint_%d LIMIT 1) one_%d",
    )
    return sorted({type for _, (type, _) in rows})


async def _list_fingerprints(session: DatabaseSession) -> list[str]:
    sql = f"{_FINGERPRINTS} LIMIT {MAX_GROUPS}"
    return [fingerprint for (fingerprint,) in await session.fetch_rows(sql)]


async def _count_instances(session: DatabaseSession, fingerprints: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return numbers of the instances that failed last with each error.

    They are how many, how many of these are FAILED, the first and the last failure, the oldest id, and whether there
    are more instances.
    """
    budget = MAX_GROUPED // max(1, len(fingerprints))
    most = next((limit for limit in LIMITS if limit <= budget), LIMITS[-1])
    status = session.dialect.expressions.failing_status_column
    # The end of a range of the index of failures for each error.
    rows = await _fetch_for_each(
        session,
        dict.fromkeys(fingerprints, ()),
        "SELECT COUNT(*), SUM(CASE WHEN failing = 'FAILED' THEN 1 ELSE 0 END), MIN(failed), MAX(failed), MIN(id), "
        f"%d AS place FROM (SELECT failed, {status} AS failing, id FROM {WORKFLOW} "
        f"WHERE {IS_FAILING} AND fingerprint = :fingerprint_%d ORDER BY failed DESC LIMIT {most + 1}) newest_%d",
    )
    counts = {fingerprint: tuple(map(int, numbers)) for fingerprint, (*numbers, _) in rows if numbers[0]}
    return {
        fingerprint: (min(count, most), min(failed, most), *more, count > most)
        for fingerprint, (count, failed, *more) in counts.items()
    }


async def _read_newest(session: DatabaseSession, counts: Mapping[str, tuple[int, ...]]) -> list[tuple[Any, ...]]:
    """Return of each error the fingerprint, and the type, state, reason and id of the instance that failed last."""
    rows = await _fetch_for_each(
        session,
        {fingerprint: (numbers[3],) for fingerprint, numbers in counts.items()},
        f"SELECT workflow_type, state, reason, id, %d AS place FROM {WORKFLOW} WHERE id = (SELECT MAX(n.id) "
        f"FROM {WORKFLOW} n WHERE n.fingerprint = :fingerprint_%d AND n.failed = :last_%d)",
    )
    return [(fingerprint, *row[:-1]) for fingerprint, row in rows]


async def _fetch_for_each(
    session: DatabaseSession, errors: Mapping[str, tuple[int, ...]], part: str
) -> list[tuple[str, tuple[Any, ...]]]:
    """Return the rows of a SELECT for each error, with its fingerprint.

    Args:
        session: The database.
        errors: The fingerprints, each with the value of its bind ``last`` if it has one.
        part: The SELECT, with ``%d`` three times for the number of the error, which is its last column.
    """
    found: list[tuple[str, tuple[Any, ...]]] = []
    for start in range(0, len(errors), GROUPS_AT_ONCE):
        some = list(errors.items())[start : start + GROUPS_AT_ONCE]
        sql = " UNION ALL ".join(part % (place, place, place) for place in range(len(some)))
        values: dict[str, Any] = {f"fingerprint_{place}": fingerprint for place, (fingerprint, _) in enumerate(some)}
        values |= {f"last_{place}": last for place, (_, more) in enumerate(some) for last in more}
        found += [(some[row[-1]][0], tuple(row)) for row in await session.fetch_rows(sql, values)]
    return found
