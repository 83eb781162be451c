"""What the doctor reads: the stored state of instances, and the paths they took. Nothing here writes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from flowlet.instance.action import ActionKind
from flowlet.instance.instance import ENDED_STATUSES, Status
from flowlet.store.children.unmade import UNMADE_COUNT_SQL
from flowlet.store.columns import Codec, Expression, RowReader
from flowlet.store.connection import Connections
from flowlet.store.database_session import build_in_list
from flowlet.store.people.tables import INBOX
from flowlet.store.tables import ACTION, MESSAGE, WORKFLOW

__all__ = ["PATH_KINDS", "InspectedInstance", "PathEntry", "inspect_instances", "inspect_instances_after", "read_paths"]

PATH_KINDS = (ActionKind.CREATED, ActionKind.TRANSITION, ActionKind.MOVED, ActionKind.FORCED)
"""The lines of history that say in which state an instance is from then on."""

PAGE_SIZE = 5_000
"""How many lines of history one statement reads at most."""

_KINDS = ", ".join(f"'{kind.value}'" for kind in PATH_KINDS)
_ENDED = ", ".join(f"'{status.value}'" for status in sorted(ENDED_STATUSES))


@dataclass(frozen=True, slots=True)
class InspectedInstance:
    """An instance as the doctor examines it; the fields are columns of ``flowlet_workflow``.

    Attributes:
        counted_open_children: How many children have not ended or are still to be made, counted; ``open_children`` is
            the number in the instance's row.
        entry_visit: The visit for which it has an entry in the inbox; None for none.
        counted_unread: How many messages it has not consumed, counted; ``unread`` is the number in the instance's row.
    """

    id: int
    type: str
    definition_version: int
    executor_group: str
    status: Status
    state: str
    next_activation: int | None
    gate: str | None
    executor_id: str | None
    token: int
    version: int
    open_children: int
    wake_at_open_children: int | None
    held_status: Status | None
    counted_open_children: int
    unread: int
    unread_seen: int
    awaits_json: str | None
    counted_unread: int
    entry_visit: int | None
    visit: int


@dataclass(frozen=True, slots=True)
class PathEntry:
    """A line of history that is a part of an instance's path."""

    workflow_id: int
    id: int
    kind: ActionKind
    from_state: str | None
    to_state: str | None
    version: int | None


# Children and messages are counted in the same statement as the row's own counts are read: one snapshot, so that a
# child that ends meanwhile, or a message that is sent, cannot make the two differ.
_COUNT_CHILDREN = f"(SELECT COUNT(*) FROM {WORKFLOW} c WHERE c.parent_id = w.id AND c.status NOT IN ({_ENDED}))"
_COUNT_UNREAD = f"(SELECT COUNT(*) FROM {MESSAGE} m WHERE m.workflow_id = w.id AND m.consumed IS NULL)"
_INSTANCE_READER = RowReader(
    InspectedInstance,
    {"w": WORKFLOW},
    expressions={
        "counted_open_children": Expression(f"{_COUNT_CHILDREN} + {UNMADE_COUNT_SQL}", Codec(decode=int)),
        "counted_unread": Expression(_COUNT_UNREAD),
        "entry_visit": Expression(f"(SELECT e.visit FROM {INBOX} e WHERE e.workflow_id = w.id)"),
    },
)
_SELECT = f"SELECT {_INSTANCE_READER.select_list} FROM {WORKFLOW} w"
_PATH_READER = RowReader(PathEntry, {"": ACTION})


async def inspect_instances_after(connections: Connections, id: int, *, limit: int) -> list[InspectedInstance]:
    """Return the instances whose id is above the given one, ordered by id, at most ``limit``.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    sql = f"{_SELECT} WHERE w.id > :after ORDER BY w.id LIMIT :limit"
    rows = await connections.read(lambda session: session.fetch_rows(sql, {"after": id, "limit": limit}))
    return _INSTANCE_READER.parse_all(rows)


async def inspect_instances(connections: Connections, ids: Sequence[int]) -> dict[int, InspectedInstance]:
    """Return the given instances by id; unknown ones are left out.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    binds, values = build_in_list("id", ids)
    sql = f"{_SELECT} WHERE w.id IN ({binds})"
    rows = await connections.read(lambda session: session.fetch_rows(sql, values))
    return {instance.id: instance for instance in _INSTANCE_READER.parse_all(rows)}


async def read_paths(connections: Connections, ids: Sequence[int]) -> AsyncIterator[PathEntry]:
    """Yield the paths of the given instances, by instance and then in order; read at most 5,000 lines at once.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    binds, values = build_in_list("id", ids)
    # Each read starts after the last line of the one before, by the index on workflow_id.
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
        entries = _PATH_READER.parse_all(rows)
        for entry in entries:
            yield entry
        if len(entries) < PAGE_SIZE:
            return
        last = (entries[-1].workflow_id, entries[-1].id)
