"""What a doctor reads: where each instance stands, and the path it took. Nothing here writes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from flowlet.instance.instance import ENDED_STATUSES, ActionKind, Status
from flowlet.store.connection import Connections, build_in_list

__all__ = ["PATH_KINDS", "InspectedInstance", "PathEntry", "inspect_instances", "inspect_instances_after", "read_paths"]

PATH_KINDS = (ActionKind.CREATED, ActionKind.TRANSITION, ActionKind.MOVED, ActionKind.FORCED)
"""The lines of history that say in which state an instance is from then on."""

PAGE_SIZE = 5_000
"""How many lines of history are read at once at most."""

_COLUMNS = (
    *("id", "workflow_type", "definition_version", "executor_group", "status", "state", "next_activation"),
    *("executor_id", "token", "version", "open_children", "waits_for_children", "held_status"),
)
_KINDS = ", ".join(f"'{kind.value}'" for kind in PATH_KINDS)
_ENDED = ", ".join(f"'{status.value}'" for status in sorted(ENDED_STATUSES))
# The children are counted in the same statement as the parent's own count is read: one snapshot, so that a child that
# ends meanwhile cannot make the two differ.
_SELECT = (
    f"SELECT {', '.join(f'w.{column}' for column in _COLUMNS)}, (SELECT COUNT(*) FROM workflow c "
    f"WHERE c.parent_id = w.id AND c.status NOT IN ({_ENDED})) FROM workflow w "
)


@dataclass(frozen=True, slots=True)
class InspectedInstance:
    """Where an instance stands; the fields are those of ``Instance``.

    Attributes:
        counted_open_children: How many children that have not ended there are; ``open_children`` is what the instance's
            row says.
    """

    id: int
    type: str
    definition_version: int
    executor_group: str
    status: Status
    state: str
    next_activation: int | None
    executor_id: str | None
    token: int
    version: int
    open_children: int
    waits_for_children: bool
    held_status: Status | None
    counted_open_children: int


@dataclass(frozen=True, slots=True)
class PathEntry:
    """A line of history that is a part of an instance's path."""

    workflow_id: int
    id: int
    kind: ActionKind
    from_state: str | None
    to_state: str | None
    version: int | None


async def inspect_instances_after(connections: Connections, id: int, *, limit: int) -> list[InspectedInstance]:
    """Return where the instances stand whose id is above the given one, by id, at most ``limit``.

    Raises:
        StoreUnavailableError: If the database is away.
    """
    sql = f"{_SELECT} WHERE w.id > :after ORDER BY w.id LIMIT :limit"
    rows = await connections.read(lambda session: session.fetch_rows(sql, {"after": id, "limit": limit}))
    return [_parse_row(row) for row in rows]


async def inspect_instances(connections: Connections, ids: Sequence[int]) -> dict[int, InspectedInstance]:
    """Return where the given instances stand, by id; those that there are not are left out.

    Raises:
        StoreUnavailableError: If the database is away.
    """
    binds, values = build_in_list("id", ids)
    sql = f"{_SELECT} WHERE w.id IN ({binds})"
    rows = await connections.read(lambda session: session.fetch_rows(sql, values))
    return {row[0]: _parse_row(row) for row in rows}


async def read_paths(connections: Connections, ids: Sequence[int]) -> AsyncIterator[PathEntry]:
    """Yield the paths of the given instances, by instance and then in order; read a bounded number of lines at once.

    Raises:
        StoreUnavailableError: If the database is away.
    """
    binds, values = build_in_list("id", ids)
    # Each read goes on behind the last line of the one before, by the index on workflow_id.
    sql = (
        "SELECT workflow_id, id, kind, from_state, to_state, definition_version FROM workflow_action "
        f"WHERE workflow_id IN ({binds}) AND kind IN ({_KINDS}) "
        "AND workflow_id >= :instance AND (workflow_id > :instance OR id > :line) "
        "ORDER BY workflow_id, id LIMIT :limit"
    )
    last = (0, 0)
    while True:
        cursor = {"instance": last[0], "line": last[1], "limit": PAGE_SIZE}
        rows = await connections.read(lambda session, cursor=cursor: session.fetch_rows(sql, {**values, **cursor}))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        for row in rows:
            yield PathEntry(row[0], row[1], ActionKind(row[2]), *row[3:])
        if len(rows) < PAGE_SIZE:
            return
        last = (rows[-1][0], rows[-1][1])


def _parse_row(row: Sequence[object]) -> InspectedInstance:
    values = list(row)
    values[4] = Status(str(row[4]))
    values[11] = bool(row[11])
    values[12] = Status(str(row[12])) if row[12] else None
    return InspectedInstance(*values)  # type: ignore[arg-type]  # columns are typed by the schema
