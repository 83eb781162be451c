"""The instances in flight of a workflow: how many are in which state, and some of them with their variables."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from flowlet.instance.in_flight import IN_FLIGHT_STATUSES, InFlightGroup, InFlightSample
from flowlet.instance.instance import Status
from flowlet.store.connection import Connections
from flowlet.store.database_session import build_in_list
from flowlet.store.tables import IS_NOT_DONE, WORKFLOW

__all__ = ["InFlightScope", "read_in_flight", "read_samples"]

PAGE_SIZE = 25
"""How many instances are read together with their variables."""

_STATUSES = ", ".join(f"'{status}'" for status in IN_FLIGHT_STATUSES)


@dataclass(frozen=True, slots=True)
class InFlightScope:
    """Which instances in flight are looked at.

    Attributes:
        type: Their workflow.
        groups: Their executor groups; empty for all.
        limit: How many at most; None for all. Which ones these are is up to the index of statuses.
    """

    type: str
    groups: Sequence[str] = ()
    limit: int | None = None

    def build_sql(self, columns: str) -> tuple[str, dict[str, Any]]:
        """Return the statement that selects columns of them by the index of statuses, and its binds."""
        values: dict[str, Any] = {"type": self.type}
        where = f"workflow_type = :type AND status IN ({_STATUSES}) AND {IS_NOT_DONE}"
        if self.groups:
            binds, more = build_in_list("group", self.groups)
            where, values = f"{where} AND executor_group IN ({binds})", values | more
        if self.limit is None:
            return f"SELECT {columns} FROM {WORKFLOW} WHERE {where}", values
        return f"SELECT {columns} FROM {WORKFLOW} WHERE {where} LIMIT :limit", {**values, "limit": self.limit}


async def read_in_flight(connections: Connections, scope: InFlightScope) -> list[InFlightGroup]:
    """Return the groups of instances in flight. One statement.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    columns = "definition_version, state, status, vars_version"
    selected, values = scope.build_sql(f"{columns}, id")
    sql = f"SELECT {columns}, COUNT(*), MIN(id), MAX(id) FROM ({selected}) one GROUP BY {columns} ORDER BY MIN(id)"
    rows = await connections.read(lambda session: session.fetch_rows(sql, values))
    return [
        InFlightGroup(scope.type, version, state, Status(status), vars_version, int(count), first, last)
        for version, state, status, vars_version, count, first, last in rows
    ]


async def read_samples(
    connections: Connections, scope: InFlightScope, *, per_group: int
) -> AsyncIterator[list[InFlightSample]]:
    """Yield instances in flight, at most 25 at once: the oldest and the newest of each state and version.

    Args:
        connections: The database's.
        scope: Which ones are looked at.
        per_group: How many of each state and version at most; an even number.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    # Ids alone are sorted: variables may be large. Both ends of a group are found in one pass over the rows.
    selected, values = scope.build_sql("id, state, definition_version, vars_version")
    group = "PARTITION BY state, definition_version, vars_version ORDER BY id"
    sql = (
        f"SELECT id FROM (SELECT id, ROW_NUMBER() OVER ({group}) AS oldest, ROW_NUMBER() OVER ({group} DESC) AS newest "
        f"FROM ({selected}) one) ranked WHERE oldest <= :half OR newest <= :half ORDER BY id"
    )
    values["half"] = max(1, per_group // 2)
    ids = [id for (id,) in await connections.read(lambda session: session.fetch_rows(sql, values))]
    for first in range(0, len(ids), PAGE_SIZE):
        yield await _read_page(connections, ids[first : first + PAGE_SIZE])


async def _read_page(connections: Connections, ids: Sequence[int]) -> list[InFlightSample]:
    """Return those of the instances that are still in flight."""
    binds, values = build_in_list("id", ids)
    sql = (
        "SELECT id, workflow_type, definition_version, state, vars_version, vars "
        f"FROM {WORKFLOW} WHERE id IN ({binds}) AND status IN ({_STATUSES}) ORDER BY id"
    )
    rows = await connections.read(lambda session: session.fetch_rows(sql, values))
    return [InFlightSample(*row) for row in rows]
