"""The table of counters: how much happened, by minute, later by hour and day. It saves counting a million rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from flowlet.instance.instance import MICROSECONDS_PER_DAY
from flowlet.store.connection import Connections
from flowlet.store.counter_buckets import (
    ALL_TIME,
    COUNTER_COLUMNS,
    COUNTER_KEY,
    COUNTER_ROW_NAMES,
    END_COLUMNS,
    MINUTE,
    PRUNED,
    SHARED_WRITER_ID,
    CounterBucket,
    sum_buckets,
)
from flowlet.store.database_session import DatabaseSession
from flowlet.store.tables import COUNTER

__all__ = ["MAX_ROLLUP_ROWS", "CounterStore"]

MAX_ROLLUP_ROWS = 100
"""How many rows one transaction rolls up at most."""

HOUR = 60 * MINUTE
SETTLE_AGE = 5 * MINUTE
"""The age at which a minute's rows are merged into a common one: until then each connection has its own."""

ROLLUP_LEVELS = (
    (400 * MICROSECONDS_PER_DAY, ALL_TIME, MICROSECONDS_PER_DAY),
    (2 * MICROSECONDS_PER_DAY, 1440, MICROSECONDS_PER_DAY),
    (70 * MINUTE, 60, HOUR),
    (SETTLE_AGE, 1, MINUTE),
)
"""By age of the span's end, the oldest first: the ``minutes`` of a row, and its span in microseconds."""

# Each reads one range of the key.
_ROLLUP_CONDITIONS = {
    "minutes = 1 AND start < :before_1 AND writer <> 0": "before_1",
    "minutes = 1 AND start < :before_60": "before_60",
    "minutes = 60 AND start < :before_1440": "before_1440",
    "minutes = 1440 AND start < :before_0": "before_0",
    "minutes = 0 AND start < :before_0 AND writer <> 0": "before_0",
}
"""The conditions of the rows to roll up, and the bind of each one's limit."""
_SUMS = ", ".join(f"SUM({column}) AS {column}" for column in COUNTER_COLUMNS)
_REMAINING = ", ".join(
    f"SUM(CASE WHEN minutes = {PRUNED} THEN -{column} ELSE {column} END) AS {column}" for column in COUNTER_COLUMNS
)


class CounterStore:
    """Reads the counters and rolls them up. A method that writes is one transaction."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def needs_rollup(self, *, now: int) -> bool:
        """Return whether ``roll_up`` would find rows."""
        probes = " UNION ALL ".join(
            f"SELECT * FROM (SELECT 1 AS one FROM {COUNTER} WHERE {where} LIMIT 1) probe_{place}"
            for place, where in enumerate(_ROLLUP_CONDITIONS)
        )
        return bool(await self._connections.read(lambda session: session.fetch_rows(probes, _build_age_limits(now))))

    async def roll_up(self, *, now: int) -> int:
        """Merge up to 100 rows that are old enough into common ones of longer spans; return how many.

        Rows that another transaction is writing, or rolling up, are left for the next call. The sums of the table are
        the same before, after and at any moment between: one transaction deletes a row and adds it elsewhere.
        """
        return await self._connections.write(lambda session: _roll_up_rows(session, now))

    async def sum_by_start(self, *, since: int, until: int, type: str | None) -> list[tuple[int, ...]]:
        """Return the sums of the spans that start from ``since`` until before ``until``, for one type or for all.

        Each is the start, in microseconds since 1970 UTC, and the sum of each of ``COUNTER_COLUMNS``.
        """
        values: dict[str, Any] = {"since": since, "until": until}
        where = "minutes IN (1, 60, 1440) AND start >= :since AND start < :until"
        if type is not None:
            where += " AND workflow_type = :type"
            values["type"] = type
        sql = f"SELECT start, {_SUMS} FROM {COUNTER} WHERE {where} GROUP BY start"
        rows = await self._connections.read(lambda session: session.fetch_rows(sql, values))
        return [tuple(map(int, row)) for row in rows]

    async def count_ended_instances(self) -> dict[tuple[str, str], int]:
        """Return how many instances of each type have ended with each status, and were neither resumed nor deleted."""
        sql = f"SELECT workflow_type, {_REMAINING} FROM {COUNTER} GROUP BY workflow_type"
        rows = await self._connections.read(lambda session: session.fetch_rows(sql))
        counts = [CounterBucket(ALL_TIME, 0, type, *map(int, sums)) for type, *sums in rows]
        return {
            (count.type, status.value): getattr(count, END_COLUMNS[status])
            for count in counts
            for status in END_COLUMNS
        }

    async def count_pruned_instances(self) -> dict[str, int]:
        """Return how many instances of each type were deleted after their end."""
        numbers = " + ".join(END_COLUMNS.values())
        sql = f"SELECT workflow_type, SUM({numbers}) FROM {COUNTER} WHERE minutes = {PRUNED} GROUP BY workflow_type"
        rows = await self._connections.read(lambda session: session.fetch_rows(sql))
        return {type: int(count) for type, count in rows}


def _build_age_limits(now: int) -> dict[str, int]:
    """Return the limit of each roll-up level: rows that start before it are merged into the level's spans."""
    return {f"before_{minutes}": now - age - (now - age) % length for age, minutes, length in ROLLUP_LEVELS}


class _Row(NamedTuple):
    """A row of the counters: its writer, and the fields of a ``CounterBucket``."""

    writer: int
    bucket: CounterBucket

    @property
    def key(self) -> dict[str, Any]:
        """The values of the primary key by column."""
        values = dict(zip(COUNTER_ROW_NAMES, (self.writer, *self.bucket), strict=True))
        return {column: values[column] for column in COUNTER_KEY}


async def _roll_up_rows(session: DatabaseSession, now: int) -> int:
    rows = await _lock_rows(session, now)
    if not rows:
        return 0
    await _delete_rows(session, rows)
    limits = _build_age_limits(now)
    counts = sum_buckets(_roll_up_bucket(row.bucket, limits) for row in rows)
    await session.dialect.writes.add_counts(session.raw, SHARED_WRITER_ID, counts)
    return len(rows)


async def _lock_rows(session: DatabaseSession, now: int) -> list[_Row]:
    """Lock and return rows that are old enough. Rows that others have locked are left out: a roll-up never waits."""
    limits = _build_age_limits(now)
    rows: dict[_Row, None] = {}  # a row may be old enough in two ways
    for where, limit in _ROLLUP_CONDITIONS.items():
        if most := MAX_ROLLUP_ROWS - len(rows):
            sql = (
                f"SELECT {', '.join(COUNTER_ROW_NAMES)} FROM {COUNTER} WHERE {where} LIMIT :most "
                f"{session.dialect.expressions.skip_locked_sql}"
            )
            found = await session.fetch_rows(sql, {limit: limits[limit], "most": most})
            rows |= dict.fromkeys(_Row(writer, CounterBucket(*bucket)) for writer, *bucket in found)
    return list(rows)


async def _delete_rows(session: DatabaseSession, rows: Sequence[_Row]) -> None:
    """Delete these rows and no other: a row that was added since has not been read."""
    ors = []
    values: dict[str, Any] = {}
    for place, row in enumerate(rows):
        ors.append(f"({' AND '.join(f'{column} = :{column}_{place}' for column in COUNTER_KEY)})")
        values |= {f"{column}_{place}": value for column, value in row.key.items()}
    await session.execute(f"DELETE FROM {COUNTER} WHERE {' OR '.join(ors)}", values)


def _roll_up_bucket(count: CounterBucket, limits: Mapping[str, int]) -> CounterBucket:
    """Return the same counts in the span that fits the row's age."""
    for _, minutes, length in ROLLUP_LEVELS:
        if minutes == ALL_TIME and (count.minutes == ALL_TIME or count.start < limits["before_0"]):
            return count._replace(minutes=ALL_TIME, start=0)
        if count.start < limits[f"before_{minutes}"]:
            return count._replace(minutes=minutes, start=count.start - count.start % length)
    return count
