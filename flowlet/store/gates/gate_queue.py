"""The queue behind one gate: when its first instances are due, which are locked for a claim, and their lease."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from flowlet.instance.instance import PRIORITIES, Instance
from flowlet.store.changes import build_select
from flowlet.store.database_session import DatabaseSession, build_in_list
from flowlet.store.rows import INSTANCE_READER
from flowlet.store.tables import WORKFLOW

__all__ = [
    "Line",
    "QueueFilter",
    "QueuePart",
    "find_next_due",
    "lease_instances",
    "lock_due",
    "lock_parts",
    "read_first_due",
]


class Line(NamedTuple):
    """The instances behind a gate that have one status and one priority."""

    status: str
    priority: int


class QueuePart(NamedTuple):
    """A line behind a gate, and how many of its instances to lock at most."""

    gate: str
    line: Line
    limit: int


@dataclass(frozen=True, slots=True)
class QueueFilter:
    """A further condition of the instances to lock, and the values of its binds; it begins with AND."""

    sql: str = ""
    values: Mapping[str, Any] | None = None


NO_FILTER = QueueFilter()


async def read_first_due(session: DatabaseSession, gate: str) -> dict[Line, int]:
    """Return when the first instance of each priority behind a version gate is due, the higher priorities first.

    One probe of the index for each, however many instances there are: MariaDB would read all of them to find the
    highest priority among those that are due.
    """
    expressions = session.dialect.expressions
    lines = [Line("IN_PROGRESS", priority) for priority in reversed(PRIORITIES)]
    sql = " UNION ALL ".join(
        f"SELECT {place}, (SELECT MIN({expressions.gated_due_column}) FROM {expressions.gate_index_sql} "
        f"WHERE gate = :gate AND {expressions.gated_status_column} = '{line.status}' AND priority = {line.priority})"
        for place, line in enumerate(lines)
    )
    found = {place: due for place, due in await session.fetch_rows(sql, {"gate": gate}) if due is not None}
    return {line: int(found[place]) for place, line in enumerate(lines) if place in found}


def find_next_due(first_due: Mapping[Line, int], now: int) -> int | None:
    """Return when the next line becomes due, after ``now``; None if none does."""
    return min((due for due in first_due.values() if due > now), default=None)


async def lock_due(
    session: DatabaseSession, gate: str, line: Line, *, now: int, limit: int, also: QueueFilter = NO_FILTER
) -> list[int]:
    """Lock the longest due of a line, without those that others have locked, and return their ids."""
    expressions = session.dialect.expressions
    due = expressions.gated_due_column
    rows = await session.fetch_rows(
        f"SELECT id FROM {expressions.gate_index_sql} WHERE gate = :gate "
        f"AND {expressions.gated_status_column} = '{line.status}' AND priority = :priority AND {due} <= :now "
        f"{also.sql} ORDER BY {due} LIMIT :limit {expressions.skip_locked_sql}",
        {"gate": gate, "now": now, "priority": line.priority, "limit": limit, **(also.values or {})},
    )
    return [id for (id,) in rows]


async def lock_parts(
    session: DatabaseSession, parts: Sequence[QueuePart], *, now: int, also: QueueFilter = NO_FILTER
) -> list[list[int]]:
    """Lock the longest due of several lines by one statement, as ``lock_due``, and return the ids of each.

    The statement has a part for each line, up to the next power of two, so that few different ones are prepared.
    """
    padded = [*parts, *[parts[-1]._replace(limit=0)] * ((1 << (len(parts) - 1).bit_length()) - len(parts))]
    values: dict[str, Any] = {"now": now, **(also.values or {})}
    for place, part in enumerate(padded):
        values |= {f"gate_{place}": part.gate, f"status_{place}": part.line.status}
        values |= {f"priority_{place}": part.line.priority, f"limit_{place}": part.limit}
    sql = " UNION ALL ".join(_build_part_sql(session, place, also.sql) for place in range(len(padded)))
    found: list[list[int]] = [[] for _ in parts]
    for place, id in await session.fetch_rows(sql, values):
        found[place].append(id)
    return found


def _build_part_sql(session: DatabaseSession, place: int, also: str) -> str:
    """Return one part: a table of its own, since a set operation has neither an order nor locks for each side."""
    expressions = session.dialect.expressions
    due = expressions.gated_due_column
    return (
        f"SELECT {place} AS place, id FROM (SELECT id FROM {expressions.gate_index_sql} WHERE gate = :gate_{place} "
        f"AND {expressions.gated_status_column} = :status_{place} AND priority = :priority_{place} AND {due} <= :now "
        f"{also} ORDER BY {due} LIMIT :limit_{place} {expressions.skip_locked_sql}) part_{place}"
    )


async def lease_instances(
    session: DatabaseSession, ids: Sequence[int], *, executor_id: str, now: int
) -> list[Instance]:
    """Lease instances that the transaction has locked, and return them. They keep their gate."""
    if not ids:
        return []
    binds, values = build_in_list("id", ids)
    await session.execute(
        f"UPDATE {WORKFLOW} SET status = 'EXECUTING', executor_id = :executor_id, token = token + 1, "
        f"started = COALESCE(started, :now), claimed = :now, wake_at_open_children = NULL, woken = 0, "
        f"reason = CASE WHEN attempt > 0 THEN reason END WHERE id IN ({binds})",
        {**values, "executor_id": executor_id, "now": now},
    )
    rows = await session.fetch_rows(build_select(f"id IN ({binds}) ORDER BY priority DESC, id"), values)
    return INSTANCE_READER.parse_all(rows)
