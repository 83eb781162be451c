"""Current activity: what runs now, what is scheduled next, how late the oldest due instance is, the last actions.

Every statement uses an index and is bounded: it costs the same however many instances have ended.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from flowlet.clock import MICROSECONDS_PER_SECOND
from flowlet.instance.action import Action
from flowlet.instance.instance import Status
from flowlet.store.columns import Expression, RowReader
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession
from flowlet.store.dialects.lanes import Lane
from flowlet.store.limits.table import LanePause
from flowlet.store.tables import ACTION, WORKFLOW

__all__ = [
    "IS_RUNNING",
    "MAX_GROUPS",
    "MAX_WALKED_GROUPS",
    "RUNNING_COLUMNS",
    "RUNNING_SINCE",
    "DueQueue",
    "ExecutorGroups",
    "RecentAction",
    "RunningInstance",
    "UpcomingInstance",
    "compute_lag_seconds",
    "leave_paused_out",
    "read_groups",
    "read_overdue",
    "read_queues",
    "read_recent_actions",
    "read_running",
    "read_upcoming",
]

MAX_GROUPS = 16
"""How many executor groups are read, in the order of their names, and how many more that live executors serve."""
MAX_WALKED_GROUPS = 128
"""How many groups are walked through: those with scheduled instances, and on MySQL those with ended ones too."""
MAX_TYPES = 256
"""How many workflows of one executor group are read at most; on MySQL, how many queues."""
MAX_QUEUES = 160
"""How many queues are searched for the nearest instances: each is a part of one statement."""
GROUPS_PER_WALK = 4
"""How many groups are found before it is seen whether they are enough."""
MAX_SHOWN_TEXT_LENGTH = 300
"""How many characters of a line of history are read."""


@dataclass(frozen=True, slots=True)
class RunningInstance:
    """An instance that an executor holds.

    Attributes:
        executor_id: The executor that holds it.
        since: When it was claimed, or made its last transition in the same lease, whichever was later; in microseconds
            since 1970 UTC.
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
    """The executor groups to show.

    Attributes:
        names: Their names, in order.
        has_more: Whether other groups may have scheduled instances too.
    """

    names: tuple[str, ...]
    has_more: bool


@dataclass(frozen=True, slots=True)
class DueQueue:
    """The instances of a group, a workflow and a priority that have a next activation: at least one.

    Attributes:
        earliest_due: When the first of them runs again, in microseconds since 1970 UTC.
    """

    group: str
    type: str
    priority: int
    earliest_due: int


@dataclass(frozen=True, slots=True)
class UpcomingInstance:
    """An instance that runs in the future.

    Attributes:
        attempt: How many attempts have failed; above 0 it is a retry.
        at: When it runs, in microseconds since 1970 UTC; for a WAITING one, the deadline of the answer.
        group: The executor group that runs it.
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
        action: The line, with the first 300 characters of its text, without traceback and changed variables.
    """

    type: str
    business_key: str
    action: Action


IS_RUNNING = "status = 'EXECUTING' AND executor_id IS NOT NULL"
RUNNING_SINCE = "CASE WHEN claimed > modified THEN claimed ELSE modified END"
RUNNING_COLUMNS = f"id, workflow_type, business_key, state, attempt, executor_id, {RUNNING_SINCE} AS since"
"""The columns of a ``RunningInstance``."""
_EARLIEST = attrgetter("earliest_due")
_RECENT_READER = RowReader(
    Action,
    {"a": ACTION},
    expressions={
        "text": Expression(f"SUBSTR(a.text, 1, {MAX_SHOWN_TEXT_LENGTH})"),
        "detail": Expression("NULL"),
        "changes_json": Expression("NULL"),
        "vars_json": Expression("NULL"),
    },
)


async def read_running(connections: Connections, *, limit: int) -> list[RunningInstance]:
    """Return the running instances, the longest first, so that a hanging one is seen and the list changes slowly."""
    # As many as there are slots, by the index of open instances; sorting them costs nothing.
    sql = f"SELECT {RUNNING_COLUMNS} FROM {WORKFLOW} WHERE {IS_RUNNING} ORDER BY since, id LIMIT :limit"
    rows = await connections.read(lambda session: session.fetch_rows(sql, {"limit": limit}))
    return [RunningInstance(*row) for row in rows]


async def read_groups(connections: Connections, *, served: Collection[str] = ()) -> ExecutorGroups:
    """Return the executor groups to show: the first 16 that have scheduled instances, and those that are served.

    Args:
        connections: The database's.
        served: Groups of live executors; the first 16 of them are shown in any case.
    """
    expressions = connections.dialect.expressions
    # One probe of the due index for each group: SELECT DISTINCT would walk the whole of it. Where the index has the
    # groups of ended instances too, the statement cannot leave them out: each group's queues say whether it has any.
    lists_all, sql = expressions.due_index_has_all_groups, expressions.next_group_sql
    kept = sorted(set(served))[:MAX_GROUPS]

    async def walk_groups(session: DatabaseSession, last: str) -> list[str]:
        names: list[str] = []
        while len(names) < GROUPS_PER_WALK:
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
            if lists_all:
                names = sorted({queue.group for queue in await _read_queues(session, names)})
            found += names
            more = [name for name in found[MAX_GROUPS:] if name not in kept]
            if more or walked >= MAX_WALKED_GROUPS:
                return ExecutorGroups(_merge_groups(found, kept), has_more=True)
        return ExecutorGroups(_merge_groups(found, kept), has_more=False)

    return await connections.read(read_in_session)


def _merge_groups(found: Sequence[str], kept: Sequence[str]) -> tuple[str, ...]:
    """Return the first groups and the kept ones, by name."""
    return tuple(sorted({*found[:MAX_GROUPS], *kept}))


async def read_queues(connections: Connections, groups: Sequence[str]) -> list[DueQueue]:
    """Return the queues of these groups that are not empty: with instances that are due or scheduled."""
    return await connections.read(lambda session: _read_queues(session, groups))


async def _read_queues(session: DatabaseSession, groups: Sequence[str]) -> list[DueQueue]:
    sql = session.dialect.expressions.lanes_sql
    lanes = [
        Lane(*row)
        for group in groups
        for row in await session.fetch_rows(sql, {"group": group, "after": "", "limit": MAX_TYPES})
    ]
    return [
        DueQueue(lane.group, lane.type, lane.priority, lane.earliest_due)
        for lane in lanes
        if lane.earliest_due is not None
    ]


def compute_lag_seconds(queues: Iterable[DueQueue], *, now: int) -> float:
    """Return how late the oldest due instance of these queues is, in seconds; 0 if none is due."""
    return max(0.0, (now - min((queue.earliest_due for queue in queues), default=now)) / MICROSECONDS_PER_SECOND)


def leave_paused_out(queues: Iterable[DueQueue], paused: Collection[LanePause]) -> list[DueQueue]:
    """Return the queues from which executors claim: none of a paused lane."""
    return [queue for queue in queues if not any(pause.includes(queue.type, queue.group) for pause in paused)]


async def read_upcoming(
    connections: Connections, queues: Sequence[DueQueue], *, now: int, limit: int
) -> list[UpcomingInstance]:
    """Return the instances that run after ``now`` in these queues: timers, retries, deadlines, the earliest first."""
    # Of those whose first instance is still to come, no more than the limit can be among the nearest.
    begun = [queue for queue in queues if queue.earliest_due <= now]
    coming = sorted((queue for queue in queues if queue.earliest_due > now), key=_EARLIEST)[:limit]
    nearest = [*coming, *sorted(begun, key=_EARLIEST)][:MAX_QUEUES]
    return await _read_nearest(connections, nearest, ">", {"now": now, "limit": limit})


async def read_overdue(
    connections: Connections, queues: Sequence[DueQueue], *, now: int, limit: int
) -> list[UpcomingInstance]:
    """Return the instances that are due in these queues at ``now`` and do not run yet, the longest due first."""
    late = sorted((queue for queue in queues if queue.earliest_due <= now), key=_EARLIEST)
    return await _read_nearest(connections, late[: min(limit, MAX_QUEUES)], "<=", {"now": now, "limit": limit})


async def read_recent_actions(connections: Connections, *, limit: int) -> list[RecentAction]:
    """Return the last lines of all histories, the newest first."""
    # The newest ids are the end of the primary key; each line's instance is found by its own key.
    sql = (
        f"SELECT w.workflow_type, w.business_key, {_RECENT_READER.select_list} "
        f"FROM (SELECT id FROM {ACTION} ORDER BY id DESC LIMIT :limit) newest "
        f"JOIN {ACTION} a ON a.id = newest.id JOIN {WORKFLOW} w ON w.id = a.workflow_id ORDER BY a.id DESC"
    )
    rows = await connections.read(lambda session: session.fetch_rows(sql, {"limit": limit}))
    return [RecentAction(type, key, _RECENT_READER.parse(columns)) for type, key, *columns in rows]


async def _read_nearest(
    connections: Connections, queues: Sequence[DueQueue], sign: str, values: dict[str, Any]
) -> list[UpcomingInstance]:
    if not queues:
        return []
    expressions = connections.dialect.expressions
    column, is_scheduled = expressions.due_column, expressions.is_scheduled_sql
    due_type = expressions.due_type_column
    # One subquery for each queue walks the due index from its nearest entry and stops at the limit.
    legs = " UNION ALL ".join(
        f"SELECT * FROM (SELECT id AS found, {column} AS moment FROM {WORKFLOW} "
        f"WHERE executor_group = :group_{place} AND {due_type} = :type_{place} AND priority = {queue.priority} "
        f"AND {is_scheduled} AND {column} {sign} :now ORDER BY {column} LIMIT :limit) leg_{place}"
        for place, queue in enumerate(queues)
    )
    sql = (
        f"SELECT id, workflow_type, business_key, state, status, attempt, moment, executor_group FROM {WORKFLOW} "
        f"JOIN (SELECT found, moment FROM ({legs}) legs ORDER BY moment, found LIMIT :limit) nearest ON id = found "
        "ORDER BY moment, id"
    )
    values |= {f"group_{place}": queue.group for place, queue in enumerate(queues)}
    values |= {f"type_{place}": queue.type for place, queue in enumerate(queues)}
    rows = await connections.read(lambda session: session.fetch_rows(sql, values))
    return [
        UpcomingInstance(id, type, key, state, Status(status), attempt, at, group)
        for id, type, key, state, status, attempt, at, group in rows
    ]
