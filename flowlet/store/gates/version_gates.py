"""Claims of instances behind version gates: executors look for these once in a while, not in each claim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from flowlet.instance.instance import PRIORITIES, Instance
from flowlet.instance.version_gate import GATE_PREFIX
from flowlet.store.changes import build_select
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession, build_in_list
from flowlet.store.gates.gated_instances import MAX_GATES, VERSION_GATES_END
from flowlet.store.rows import INSTANCE_READER
from flowlet.store.tables import WORKFLOW

__all__ = ["GatedClaim", "GatedInstances", "VersionGates"]


@dataclass(frozen=True, slots=True)
class GatedClaim:
    """Which instances behind one gate an executor wants. ``now`` is in microseconds since 1970 UTC."""

    executor_id: str
    gate: str
    limit: int
    now: int


class GatedInstances(NamedTuple):
    """The instances that a claim through a gate has leased, and when others behind it are due; None for none."""

    instances: Sequence[Instance]
    next_due: int | None


class VersionGates:
    """The instances behind version gates.

    Args:
        connections: The database's.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def find_gates(self) -> list[str]:
        """Return the version gates that hold instances: one probe of the index of gates for each.

        Raises:
            StoreUnavailableError: If the database is unavailable.
        """
        return await self._connections.read(_find_gates)

    async def claim(self, request: GatedClaim) -> GatedInstances:
        """Lease due instances behind a gate, the higher priority first. They keep it until their next transition.

        Raises:
            StoreUnavailableError: If the database is unavailable.
        """
        return await self._connections.write(lambda session: _claim(session, request))

    async def find_next_due(self, gate: str, *, now: int) -> int | None:
        """Return when the next instance behind a gate becomes due, after ``now``; None if none does.

        Raises:
            StoreUnavailableError: If the database is unavailable.
        """
        first_due = await self._connections.read(lambda session: _read_first_due(session, gate))
        return _find_next_due(first_due, now)


async def _find_gates(session: DatabaseSession) -> list[str]:
    sql = f"SELECT MIN(gate) FROM {WORKFLOW} WHERE gate > :last AND gate < :end"
    found: list[str] = []
    last = GATE_PREFIX
    while len(found) < MAX_GATES:
        ((gate,),) = await session.fetch_rows(sql, {"last": last, "end": VERSION_GATES_END})
        if gate is None:
            break
        found.append(gate)
        last = gate
    return found


async def _claim(session: DatabaseSession, request: GatedClaim) -> GatedInstances:
    first_due = await _read_first_due(session, request.gate)
    ids: list[int] = []
    for priority in sorted(first_due, reverse=True):
        if first_due[priority] <= request.now and len(ids) < request.limit:
            ids += await _lock_due(session, request, priority, request.limit - len(ids))
    next_due = _find_next_due(first_due, request.now)
    if not ids:
        return GatedInstances((), next_due)
    binds, values = build_in_list("id", ids)
    await session.execute(
        f"UPDATE {WORKFLOW} SET status = 'EXECUTING', executor_id = :executor_id, token = token + 1, "
        f"started = COALESCE(started, :now), wake_at_open_children = NULL, woken = 0, "
        f"reason = CASE WHEN attempt > 0 THEN reason END WHERE id IN ({binds})",
        {**values, "executor_id": request.executor_id, "now": request.now},
    )
    rows = await session.fetch_rows(build_select(f"id IN ({binds}) ORDER BY priority DESC, id"), values)
    return GatedInstances(INSTANCE_READER.parse_all(rows), next_due)


async def _read_first_due(session: DatabaseSession, gate: str) -> dict[int, int]:
    """Return when the first instance behind a gate is due, for each priority that has one.

    One probe of the index for each priority, however many instances there are: MariaDB would read all of them to find
    the highest priority among those that are due.
    """
    expressions = session.dialect.expressions
    held = f"gate = :gate AND {expressions.gated_status_column} = 'IN_PROGRESS'"
    sql = " UNION ALL ".join(
        f"SELECT {priority}, (SELECT MIN({expressions.gated_due_column}) FROM {expressions.gate_index_sql} "
        f"WHERE {held} AND priority = {priority})"
        for priority in PRIORITIES
    )
    rows = await session.fetch_rows(sql, {"gate": gate})
    return {priority: due for priority, due in rows if due is not None}


def _find_next_due(first_due: Mapping[int, int], now: int) -> int | None:
    return min((due for due in first_due.values() if due > now), default=None)


async def _lock_due(session: DatabaseSession, request: GatedClaim, priority: int, limit: int) -> list[int]:
    """Lock the longest due of a priority, without those that others have locked, and return their ids."""
    expressions = session.dialect.expressions
    due = expressions.gated_due_column
    rows = await session.fetch_rows(
        f"SELECT id FROM {expressions.gate_index_sql} WHERE gate = :gate "
        f"AND {expressions.gated_status_column} = 'IN_PROGRESS' AND priority = :priority AND {due} <= :now "
        f"ORDER BY {due} LIMIT :limit {expressions.skip_locked_sql}",
        {"gate": request.gate, "now": request.now, "priority": priority, "limit": limit},
    )
    return [id for (id,) in rows]
