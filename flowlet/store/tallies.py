"""The table of counts: what happened, by minute, later by hour and day, so that nobody counts a million rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flowlet.instances import DAY
from flowlet.store.connection import Connections, Session
from flowlet.store.counts import COMMON, COUNTED, ENDS, EVER, MINUTE, TALLY_KEY, Count, summed

__all__ = ["FOLDED", "TallyStore"]

FOLDED = 100
"""How many rows one transaction folds at most."""

HOUR = 60 * MINUTE
SETTLED = 5 * MINUTE
"""After how long a minute is common: until then each connection has its own row of it."""

AGES = ((400 * DAY, EVER, DAY), (2 * DAY, 1440, DAY), (70 * MINUTE, 60, HOUR), (SETTLED, 1, MINUTE))
"""From which age on, the oldest first, a row has which minutes, and how long that is: the age of its span's end."""

# Each reads one range of the key.
_FOLDABLE = {
    "minutes = 1 AND start < :before_1 AND writer <> 0": "before_1",
    "minutes = 1 AND start < :before_60": "before_60",
    "minutes = 60 AND start < :before_1440": "before_1440",
    "minutes = 1440 AND start < :before_0": "before_0",
    "minutes = 0 AND start < :before_0 AND writer <> 0": "before_0",
}
"""Which rows are to be folded, and the bind of the limit that says so."""
_SUMS = ", ".join(f"SUM({column}) AS {column}" for column in COUNTED)


class TallyStore:
    """The counts of what happened. One method that writes is one transaction."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def needs_folding(self, *, now: int) -> bool:
        """Return whether ``fold`` would find something."""
        probes = " UNION ALL ".join(
            f"SELECT * FROM (SELECT 1 AS one FROM workflow_tally WHERE {where} LIMIT 1) probe_{place}"
            for place, where in enumerate(_FOLDABLE)
        )
        return bool(await self._connections.read(lambda session: session.rows(probes, _limits(now))))

    async def fold(self, *, now: int) -> int:
        """Fold up to 100 rows that are old enough into common ones of longer spans; return how many those were.

        Rows that another transaction is writing, or folding, are left for the next time. Added up, the table says the
        same before and after, and at any moment between: a row leaves it in the transaction that adds it elsewhere.
        """
        return await self._connections.write(lambda session: _fold(session, now))

    async def starting(self, *, since: int, until: int, type: str | None) -> list[tuple[int, ...]]:
        """Return what happened in the spans that start from ``since`` until before ``until``, of a type or of all.

        Each is the start, in microseconds since 1970 UTC, and the sum of each of ``COUNTED``.
        """
        values: dict[str, Any] = {"since": since, "until": until}
        where = "minutes IN (1, 60, 1440) AND start >= :since AND start < :until"
        if type is not None:
            where += " AND workflow_type = :type"
            values["type"] = type
        sql = f"SELECT start, {_SUMS} FROM workflow_tally WHERE {where} GROUP BY start"
        rows = await self._connections.read(lambda session: session.rows(sql, values))
        return [tuple(map(int, row)) for row in rows]

    async def ends(self) -> dict[tuple[str, str], int]:
        """Return how many instances of each type have ended with each status, and have not gone on since."""
        sql = f"SELECT workflow_type, {_SUMS} FROM workflow_tally GROUP BY workflow_type"
        rows = await self._connections.read(lambda session: session.rows(sql))
        counts = [Count(EVER, 0, row[0], *map(int, row[1:])) for row in rows]
        return {(count.type, status.value): getattr(count, ENDS[status]) for count in counts for status in ENDS}


def _limits(now: int) -> dict[str, int]:
    """Return before which start a row becomes one of how many minutes."""
    return {f"before_{minutes}": now - age - (now - age) % length for age, minutes, length in AGES}


async def _fold(session: Session, now: int) -> int:
    rows = await _locked(session, now)
    if not rows:
        return 0
    await _delete(session, rows)
    limits = _limits(now)
    counts = summed(_folded(Count(*row[:2], *row[3:]), limits) for row in rows)
    await session.dialect.count(session.raw, COMMON, counts)
    return len(rows)


async def _locked(session: Session, now: int) -> list[tuple[Any, ...]]:
    """Lock and return rows that are to be folded. What others have locked is left out, so that folding never waits."""
    columns = ", ".join((*TALLY_KEY, *COUNTED))
    limits = _limits(now)
    rows: dict[tuple[Any, ...], tuple[Any, ...]] = {}  # by key: a row may be old enough in two ways
    for where, limit in _FOLDABLE.items():
        if most := FOLDED - len(rows):
            sql = f"SELECT {columns} FROM workflow_tally WHERE {where} LIMIT :most {session.dialect.skip_locked}"
            found = await session.rows(sql, {limit: limits[limit], "most": most})
            rows |= {row[: len(TALLY_KEY)]: row for row in found}
    return list(rows.values())


async def _delete(session: Session, rows: Sequence[tuple[Any, ...]]) -> None:
    """Delete these rows and no other: one that has come since has not been read."""
    ors = []
    values: dict[str, Any] = {}
    for place, row in enumerate(rows):
        ors.append(f"({' AND '.join(f'{column} = :{column}_{place}' for column in TALLY_KEY)})")
        values |= {f"{column}_{place}": value for column, value in zip(TALLY_KEY, row, strict=False)}
    await session.execute(f"DELETE FROM workflow_tally WHERE {' OR '.join(ors)}", values)


def _folded(count: Count, limits: Mapping[str, int]) -> Count:
    """Return what becomes of a row: the same counts in the span that its age asks for."""
    for _, minutes, length in AGES:
        if minutes == EVER and (count.minutes == EVER or count.start < limits["before_0"]):
            return count._replace(minutes=EVER, start=0)
        if count.start < limits[f"before_{minutes}"]:
            return count._replace(minutes=minutes, start=count.start - count.start % length)
    return count
