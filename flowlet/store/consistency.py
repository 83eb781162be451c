"""What a doctor reads: where each instance stands, and the path it took. Nothing here writes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from flowlet.instance.instance import ENDED_STATUSES, ActionKind, Status
from flowlet.store.columns import Expression, RowReader
from flowlet.store.connection import Connections, build_in_list
from flowlet.store.tables import ACTION, WORKFLOW

__all__ = ["PATH_KINDS", "InspectedInstance", "PathEntry", "inspect_instances", "inspect_instances_after", "read_paths"]

PATH_KINDS = (ActionKind.CREATED, ActionKind.TRANSITION, ActionKind.MOVED, ActionKind.FORCED)
"""The lines of history that say in which state an instance is from then on."""

PAGE_SIZE = 5_000
"""How many lines of history are read at once at most."""

_KINDS = (ActionKind.CREATED, ActionKind.TRANSITION, ActionKind.MOVED, ActionKind.FORCED)
"""The lines of history that say in which state an instance is from then on."""

PAGE_SIZE = 5_000
"""How many lines of history are read at once at most."""

_COLUMNS = (
    *("id", "workflow_type", "definition_version", "executor_group", "status", "state", "next_activation"),
    *("executor_id", "token", "version", "open_children", "waits_for_children", "held_status"),
)
_KINDS = ", ".join(f"'{kind.value}'" for kind in PATH_KINDS)
_ENDED = ", ".join(f"'{status.value}'" for status in sorted(ENDED_STATUSES))


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


# The children are counted in the same statement as the parent's own count is read: one snapshot, so that a child that
# ends meanwhile cannot make the two differ.
_COUNT_CHILDREN = f"(SELECT COUNT(*) FROM {WORKFLOW} c WHERE c.parent_id = w.id AND c.status NOT IN ({_ENDED}))"
_INSTANCE_READER = RowReader(
    InspectedInstance, {"w": WORKFLOW}, expressions={"counted_open_children": Expression(_COUNT_CHILDREN)}
)
_SELECT = f"SELECT {_INSTANCE_READER.select_list} FROM {WORKFLOW} w"
_PATH_READER = RowReader(PathEntry, {"": ACTION})


async def inspect_instances_after(connections: Connections, id: int, *, limit: int) -> list[InspectedInstance]:
    """Return where the instances stand whose id is above the given one, by id, at most ``limit``.

    Raises:
        StoreUnavailableError: If the database is away.
    """
    sql = f"{_SELECT} WHERE w.id > :after ORDER BY w.id LIMIT :limit"
    rows = await connections.read(lambda session: session.fetch_rows(sql, {"after": id, "limit": limit}))
    return _INSTANCE_READER.parse_all(rows)


async def inspect_instances(connections: Connections, ids: Sequence[int]) -> dict[int, InspectedInstance]:
    """Return where the given instances stand, by id; those that there are not are left out.

    Raises:
        StoreUnavailableError: If the database is away.
    """
    binds, values = build_in_list("id", ids)
    sql = f"{_SELECT} WHERE w.id IN ({binds})"
    rows = await connections.read(lambda session: session.fetch_rows(sql, values))
    return {instance.id: instance for instance in _INSTANCE_READER.parse_all(rows)}


async def read_paths(connections: Connections, ids: Sequence[int]) -> AsyncIterator[PathEntry]:
    """Yield the paths of the given instances, by instance and then in order; read a bounded number of lines at once.

    Raises:
        StoreUnavailableError: If the database is away.
    """
    binds, values = build_in_list("id", ids)
    # Each read goes on behind the last line of the one before, by the index on workflow_id.
    sql = (
        f"SELECT {_PATH_READER.select_list} FROM {ACTION} "
        f"WHERE workflow_id IN ({binds}) AND kind IN ({_KINDS}) "
        "AND workflow_id >= :instance AND (workflow_id > :instance OR id > :line) "
        "ORDER BY workflow_id, id LIMIT :limit"
    )
    last = (0, 0)
    while True:
        cursor = {"instance": last[0], "line": last[1], "limit": PAGE_SIZE}
        rows = await connections.read(lambda session, cursor=cursor: session.fetch_rows(sql, {**values, **cursor}))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        entry = None
        for entry in _PATH_READER.parse_all(rows):
            yield entry
        if entry is None or len(rows) < PAGE_SIZE:
            return
        last = (entry.workflow_id, entry.id)
