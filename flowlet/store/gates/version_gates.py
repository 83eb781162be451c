"""Claims of instances behind version gates: executors look for these once in a while, not in each claim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from flowlet.instance.instance import Instance
from flowlet.instance.version_gate import GATE_PREFIX
from flowlet.store.changes import build_select
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession, build_in_list
from flowlet.store.gates.gated_instances import VERSION_GATES_END
from flowlet.store.rows import INSTANCE_READER
from flowlet.store.tables import CLAIMED_REASON, WORKFLOW

__all__ = ["GatedClaim", "VersionGates"]

MAX_GATES = 1_000
"""How many gates are looked at: there is one for each lane and each set of versions."""


@dataclass(frozen=True, slots=True)
class GatedClaim:
    """Which instances behind one gate an executor wants. ``now`` is in microseconds since 1970 UTC."""

    executor_id: str
    gate: str
    limit: int
    now: int


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

    async def claim(self, request: GatedClaim) -> list[Instance]:
        """Lease due instances behind a gate, the higher priority first. Each has its former gate in ``gate``.

        Raises:
            StoreUnavailableError: If the database is unavailable.
        """
        return await self._connections.write(lambda session: _claim(session, request))


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


async def _claim(session: DatabaseSession, request: GatedClaim) -> list[Instance]:
    ids = await _lock_due(session, request)
    if not ids:
        return []
    binds, values = build_in_list("id", ids)
    await session.execute(
        f"UPDATE {WORKFLOW} SET status = 'EXECUTING', executor_id = :executor_id, token = token + 1, "
        f"started = COALESCE(started, :now), wake_at_open_children = NULL, woken = 0, reason = {CLAIMED_REASON}, "
        f"gate = NULL, gated_state = NULL WHERE id IN ({binds})",
        {**values, "executor_id": request.executor_id, "now": request.now},
    )
    rows = await session.fetch_rows(build_select(f"id IN ({binds}) ORDER BY priority DESC, id"), values)
    return [replace(instance, gate=request.gate) for instance in INSTANCE_READER.parse_all(rows)]


async def _lock_due(session: DatabaseSession, request: GatedClaim) -> Sequence[int]:
    """Lock the longest due of the highest priority, without those that others have locked, and return their ids."""
    expressions = session.dialect.expressions
    due = expressions.gated_due_column
    held = f"gate = :gate AND {expressions.gated_status_column} = 'IN_PROGRESS'"
    values = {"gate": request.gate, "now": request.now}
    sql = f"SELECT MAX(priority) FROM {expressions.gate_index_sql} WHERE {held} AND {due} <= :now"
    ((priority,),) = await session.fetch_rows(sql, values)
    if priority is None:
        return []
    sql = (
        f"SELECT id FROM {expressions.gate_index_sql} WHERE {held} AND priority = :priority AND {due} <= :now "
        f"ORDER BY {due} LIMIT :limit {expressions.skip_locked_sql}"
    )
    rows = await session.fetch_rows(sql, {**values, "priority": priority, "limit": request.limit})
    return [id for (id,) in rows]
