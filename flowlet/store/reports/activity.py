"""What goes on: what runs now, what comes next, how late the oldest due instance is, and what happened last.

Every statement begins at an index and is bounded: it costs the same however many instances have ended.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from flowlet.clock import MICROSECONDS_PER_SECOND
from flowlet.instance.instance import Action, ActionKind, Status
from flowlet.store.connection import Connections, DatabaseSession
from flowlet.store.dialects.base import PRIORITIES, Dialect

__all__ = [
    "MAX_GROUPS",
    "MAX_WALKED_GROUPS",
    "DueQueue",
    "ExecutorGroups",
    "RecentAction",
    "RunningInstance",
    "UpcomingInstance",
    "compute_lag_seconds",
    "read_groups",
    "read_overdue",
    "read_queues",
    "read_recent_actions",
    "read_running",
    "read_upcoming",
]

MAX_GROUPS = 16
"""How many executor groups are looked at, in the order of their names, and how many others that are served."""
MAX_WALKED_GROUPS = 128
"""How many groups are passed on the way: those that have something to come, and on MySQL all that there were."""
GROUPS_PER_STATEMENT = 4
"""How many of them in one statement: asyncpg keeps the plans of short ones (16 groups: 31 ms in one, 3 in four)."""
MAX_SHOWN_TEXT_LENGTH = 300
"""How much of a line of history is read."""


@dataclass(frozen=True, slots=True)
class RunningInstance:
    """An instance that an executor holds.

    Attributes:
        executor_id: Whose it is.
        since: When it became due, or made its last transition in the same lease, whichever was later; in microseconds
            since 1970 UTC. A claim writes no time of its own.
    """

    id: int
    type: str
    business_key: str
    state: str
    attempt: int
    executor_id: str
    since: int


@dataclass(frozen=True, slots=True)
class ExecutorGroups:
    """The executor groups that are looked at.

    Attributes:
        names: In their order.
        has_more: Whether others may have a next activation too.
    """

    names: tuple[str, ...]
    has_more: bool


@dataclass(frozen=True, slots=True)
class DueQueue:
    """The instances of a group and a priority that have a next activation: at least one.

    Attributes:
        earliest_due: When the first of them runs again, in microseconds since 1970 UTC.
    """

    group: str
    priority: int
    earliest_due: int


@dataclass(frozen=True, slots=True)
class UpcomingInstance:
    """An instance that runs at a time to come.

    Attributes:
        attempt: How many attempts have failed; above 0 it is a retry.
        at: When, in microseconds since 1970 UTC; for one that is WAITING, the deadline of the answer.
        group: Which executors run it.
    """

    id: int
    type: str
    business_key: str
    state: str
    status: Status
    attempt: int
    at: int
    group: str


@dataclass(frozen=True, slots=True)
class RecentAction:
    """A line of some instance's history.

    Attributes:
        action: The line, with the first 300 characters of its text, without traceback and variables.
    """

    type: str
    business_key: str
    action: Action


async def read_running(connections: Connections, *, limit: int) -> list[RunningInstance]:
    """Return what runs, the longest first: what hangs is seen, and the list does not turn over with every instance."""
    # As many as there are slots, by the index of what has not ended; sorting them costs nothing.
    since = "CASE WHEN next_activation > modified THEN next_activation ELSE modified END"
    sql = (
        f"SELECT id, workflow_type, business_key, state, attempt, executor_id, {since} AS since FROM workflow "
        "WHERE status = 'EXECUTING' AND executor_id IS NOT NULL ORDER BY since, id LIMIT :limit"
    )
    rows = await connections.read(lambda session: session.fetch_rows(sql, {"limit": limit}))
    return [RunningInstance(*row) for row in rows]


async def read_groups(connections: Connections, *, served: Collection[str] = ()) -> ExecutorGroups:
    """Return the executor groups to look at: the first 16 that have a next activation, and those that are served.

    Args:
        connections: The database's.
        served: Groups of live executors; the first 16 of them are looked at wherever their names stand.
    """
    _, is_open = _get_due_column(connections.dialect)
    is_mysql = connections.dialect.name == "mysql"
    # One probe of the due index for each: SELECT DISTINCT would walk the whole of it. On MySQL the index has what has
    # ended too, so that its groups are seen only by a look at each one's queues.
    sql = (
        f"SELECT MIN(executor_group) FROM workflow WHERE {'' if is_mysql else f'{is_open} AND '}executor_group > :last"
    )
    kept = sorted(set(served))[:MAX_GROUPS]

    async def walk_groups(session: DatabaseSession, last: str) -> list[str]:
        names: list[str] = []
        while len(names) < GROUPS_PER_STATEMENT:
            ((name,),) = await session.fetch_rows(sql, {"last": names[-1] if names else last})
            if name is None:
                break
            names.append(name)
        return names

    async def read_in_session(session: DatabaseSession) -> ExecutorGroups:
        found: list[str] = []
        last, walked = "", 0
        while names := await walk_groups(session, last):
            last, walked = names[-1], walked + len(names)
            if is_mysql:
                names = sorted({queue.group for queue in await _read_queues(session, names)})
            found += names
            more = [name for name in found[MAX_GROUPS:] if name not in kept]
            if more or walked >= MAX_WALKED_GROUPS:
                return ExecutorGroups(_merge_groups(found, kept), has_more=True)
        return ExecutorGroups(_merge_groups(found, kept), has_more=False)

    return await connections.read(read_in_session)


def _merge_groups(found: Sequence[str], kept: Sequence[str]) -> tuple[str, ...]:
    """Return the first groups and those that are kept, by name."""
    return tuple(sorted({*found[:MAX_GROUPS], *kept}))


async def read_queues(connections: Connections, groups: Sequence[str]) -> list[DueQueue]:
    """Return the queues of these groups that are not empty: what is due, and what has a time to come."""

    async def read_parts(session: DatabaseSession) -> list[DueQueue]:
        parts = [groups[place : place + GROUPS_PER_STATEMENT] for place in range(0, len(groups), GROUPS_PER_STATEMENT)]
        return [queue for part in parts for queue in await _read_queues(session, part)]

    return await connections.read(read_parts)


async def _read_queues(session: DatabaseSession, groups: Sequence[str]) -> list[DueQueue]:
    column, is_open = _get_due_column(session.dialect)
    # One probe of the due index for each priority and group, its first entry.
    sql = " UNION ALL ".join(
        f"SELECT {place} AS place, {level} AS level, MIN({column}) AS earliest FROM workflow "
        f"WHERE executor_group = :group_{place} AND priority = {level} AND {is_open}"
        for place in range(len(groups))
        for level in PRIORITIES
    )
    rows = await session.fetch_rows(sql, {f"group_{place}": group for place, group in enumerate(groups)})
    return [DueQueue(groups[int(place)], level, earliest) for place, level, earliest in rows if earliest is not None]


def compute_lag_seconds(queues: Sequence[DueQueue], *, now: int) -> float:
    """Return how late the oldest due instance of these queues is, in seconds; 0 if none is due."""
    return max(0.0, (now - min((queue.earliest_due for queue in queues), default=now)) / MICROSECONDS_PER_SECOND)


async def read_upcoming(
    connections: Connections, queues: Sequence[DueQueue], *, now: int, limit: int
) -> list[UpcomingInstance]:
    """Return what runs next after ``now`` in these queues: timers, retries, deadlines, the earliest first."""
    return await _read_nearest(connections, queues, ">", {"now": now, "limit": limit})


async def read_overdue(
    connections: Connections, queues: Sequence[DueQueue], *, now: int, limit: int
) -> list[UpcomingInstance]:
    """Return what is due in these queues at ``now`` and runs not yet, the longest due first."""
    late = [queue for queue in queues if queue.earliest_due <= now]
    return await _read_nearest(connections, late, "<=", {"now": now, "limit": limit})


async def read_recent_actions(connections: Connections, *, limit: int) -> list[RecentAction]:
    """Return the last lines of all histories, the newest first."""
    # The newest ids are the end of the primary key; each line's instance is found by its own.
    sql = (
        "SELECT w.workflow_type, w.business_key, a.id, a.workflow_id, a.kind, a.at, a.from_state, a.to_state, "
        f"SUBSTR(a.text, 1, {MAX_SHOWN_TEXT_LENGTH}), a.attempt, a.duration_ms, a.executor_id, a.username "
        "FROM (SELECT id FROM workflow_action ORDER BY id DESC LIMIT :limit) newest "
        "JOIN workflow_action a ON a.id = newest.id JOIN workflow w ON w.id = a.workflow_id ORDER BY a.id DESC"
    )
    rows = await connections.read(lambda session: session.fetch_rows(sql, {"limit": limit}))
    return [RecentAction(row[0], row[1], _parse_action(row)) for row in rows]


def _parse_action(row: Sequence[Any]) -> Action:
    _, _, id, workflow_id, kind, at, source, target, text, attempt, took, executor_id, username = row
    return Action(
        ActionKind(kind),
        at,
        from_state=source,
        to_state=target,
        text=text,
        attempt=attempt,
        duration_ms=took,
        executor_id=executor_id,
        username=username,
        id=id,
        workflow_id=workflow_id,
    )


async def _read_nearest(
    connections: Connections, queues: Sequence[DueQueue], sign: str, values: dict[str, Any]
) -> list[UpcomingInstance]:
    if not queues:
        return []
    column, is_open = _get_due_column(connections.dialect)
    # A leg for each queue walks the due index from its nearest entry and stops at the limit.
    legs = " UNION ALL ".join(
        f"SELECT * FROM (SELECT id AS found, {column} AS moment FROM workflow WHERE executor_group = :group_{place} "
        f"AND priority = {queue.priority} AND {is_open} AND {column} {sign} :now ORDER BY {column} LIMIT :limit) "
        f"leg_{place}"
        for place, queue in enumerate(queues)
    )
    sql = (
        "SELECT id, workflow_type, business_key, state, status, attempt, moment, executor_group FROM workflow "
        f"JOIN (SELECT found, moment FROM ({legs}) legs ORDER BY moment, found LIMIT :limit) nearest ON id = found "
        "ORDER BY moment, id"
    )
    values |= {f"group_{place}": queue.group for place, queue in enumerate(queues)}
    rows = await connections.read(lambda session: session.fetch_rows(sql, values))
    return [
        UpcomingInstance(id, type, key, state, Status(status), attempt, at, group)
        for id, type, key, state, status, attempt, at, group in rows
    ]


def _get_due_column(dialect: Dialect) -> tuple[str, str]:
    """Return the column of the due index that has the time, and what says that an instance is in it."""
    if dialect.name == "mysql":
        return "due", "due > 0"
    return "next_activation", "status IN ('NEW', 'IN_PROGRESS', 'WAITING') AND next_activation > 0"
