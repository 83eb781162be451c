"""Claims of instances behind version gates: executors look for these once in a while, not in each claim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from flowlet.instance.instance import Instance
from flowlet.instance.limit_gate import LIMIT_PREFIX, compute_end, is_limit_gate
from flowlet.instance.version_gate import GATE_PREFIX
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession
from flowlet.store.gates.gate_queue import find_next_due, lease_instances, lock_due, read_first_due
from flowlet.store.gates.gated_instances import MAX_GATES, VERSION_GATES_END
from flowlet.store.tables import WORKFLOW

__all__ = ["FoundGates", "GatedClaim", "GatedInstances", "VersionGates"]


@dataclass(frozen=True, slots=True)
class GatedClaim:
    """Which instances behind one gate an executor wants. ``now`` is in microseconds since 1970 UTC."""

    executor_id: str
    gate: str
    limit: int
    now: int


class FoundGates(NamedTuple):
    """The version gates that hold instances, and the marks of the workflows that have instances behind limits."""

    versions: tuple[str, ...]
    limited_marks: tuple[str, ...]


class GatedInstances(NamedTuple):
    """The instances that a claim through a gate has leased, and when others behind it are due; None for none.

    Those that are due already are locked by another transaction.
    """

    instances: Sequence[Instance]
    next_due: int | None


class VersionGates:
    """The instances behind version gates.

    Args:
        connections: The database's.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def find_gates(self) -> FoundGates:
        """Return the version gates that hold instances, and the workflows that have some behind limits.

        One probe of the index of gates for each.

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
        first_due = await self._connections.read(lambda session: read_first_due(session, gate))
        return find_next_due(first_due, now)


async def _find_gates(session: DatabaseSession) -> FoundGates:
    sql = f"SELECT MIN(gate) FROM {WORKFLOW} WHERE gate > :last AND gate < :end"
    found: list[str] = []
    marks: list[str] = []
    last = LIMIT_PREFIX
    while len(found) < MAX_GATES:
        ((gate,),) = await session.fetch_rows(sql, {"last": last, "end": VERSION_GATES_END})
        if gate is None:
            break
        last = gate
        if is_limit_gate(gate):  # one workflow may have many of these: the next one is looked for behind all of them
            marks.append(gate.partition("/")[0])
            last = compute_end(marks[-1])
        elif gate.startswith(GATE_PREFIX):
            found.append(gate)
    return FoundGates(tuple(found), tuple(marks))


async def _claim(session: DatabaseSession, request: GatedClaim) -> GatedInstances:
    first_due = await read_first_due(session, request.gate)
    ids: list[int] = []
    has_locked = False
    for line, due in first_due.items():
        if due <= request.now and len(ids) < request.limit:
            locked = await lock_due(session, request.gate, line, now=request.now, limit=request.limit - len(ids))
            ids += locked
            has_locked |= not locked
    leased = await lease_instances(session, ids, executor_id=request.executor_id, now=request.now)
    return GatedInstances(leased, request.now if has_locked else find_next_due(first_due, request.now))
