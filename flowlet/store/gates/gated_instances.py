"""The instances that wait behind version gates: how many, and in which states."""

from __future__ import annotations

from dataclasses import dataclass

from flowlet.instance.version_gate import GATE_PREFIX
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession, build_in_list
from flowlet.store.tables import WORKFLOW

__all__ = ["MAX_GATES", "VERSION_GATES_END", "GatedGroup", "count_gated_by_type", "read_gated_groups"]

VERSION_GATES_END = GATE_PREFIX[:-1] + chr(ord(GATE_PREFIX[-1]) + 1)
"""The first text behind those of all version gates."""
MAX_GATES = 1_000
"""How many gates are looked at: there is one for each lane and each set of versions."""
MAX_GATED_GROUPS = 1_000


@dataclass(frozen=True, slots=True)
class GatedGroup:
    """The instances behind one gate in one state.

    Attributes:
        gate: The gate, as it is stored.
        group: The executor group.
        first_id: The lowest of their ids.
        reason: Why that one waits.
    """

    gate: str
    type: str
    group: str
    state: str
    count: int
    first_id: int
    reason: str = ""


async def count_gated_by_type(connections: Connections) -> dict[str, int]:
    """Return how many instances of each workflow wait for another version. One transaction.

    The index of gates counts them: no row is read, but one of each gate.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    return await connections.read(_count_in_session)


async def read_gated_groups(connections: Connections, *, gated_before: int) -> list[GatedGroup]:
    """Return the instances that have waited for another version since before a time, by workflow and state.

    Args:
        connections: The database's.
        gated_before: In microseconds since 1970 UTC.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    return await connections.read(lambda session: _read_groups(session, gated_before))


async def _count_in_session(session: DatabaseSession) -> dict[str, int]:
    expressions = session.dialect.expressions
    held = f"{expressions.gated_status_column} = 'IN_PROGRESS'"
    sql = (
        f"SELECT gate, COUNT(*) FROM {expressions.gate_index_sql} WHERE gate > :start AND gate < :end AND {held} "
        "GROUP BY gate ORDER BY gate LIMIT :limit"
    )
    values = {"start": GATE_PREFIX, "end": VERSION_GATES_END, "limit": MAX_GATES}
    counts: dict[str, int] = {}
    # All instances behind a gate are of the lane in its name: one of them tells the workflow.
    probe = f"SELECT workflow_type FROM {expressions.gate_index_sql} WHERE gate = :gate AND {held} LIMIT 1"
    for gate, count in await session.fetch_rows(sql, values):
        for (type,) in await session.fetch_rows(probe, {"gate": gate}):
            counts[type] = counts.get(type, 0) + int(count)
    return counts


async def _read_groups(session: DatabaseSession, gated_before: int) -> list[GatedGroup]:
    expressions = session.dialect.expressions
    columns = "gate, workflow_type, executor_group, state"
    sql = (
        f"SELECT {columns}, COUNT(*), MIN(id) FROM {expressions.gate_index_sql} WHERE gate > :start AND gate < :end "
        f"AND {expressions.gated_status_column} = 'IN_PROGRESS' AND modified <= :before "
        f"GROUP BY {columns} ORDER BY workflow_type, state, MIN(id) LIMIT :limit"
    )
    values = {
        "start": GATE_PREFIX,
        "end": VERSION_GATES_END,
        "before": gated_before,
        "limit": MAX_GATED_GROUPS,
    }
    rows = await session.fetch_rows(sql, values)
    binds, ids = build_in_list("id", [row[-1] for row in rows])
    reasons = dict(await session.fetch_rows(f"SELECT id, reason FROM {WORKFLOW} WHERE id IN ({binds})", ids))
    return [
        GatedGroup(gate, type, group, state, int(count), first_id, reasons.get(first_id) or "")
        for gate, type, group, state, count, first_id in rows
    ]
