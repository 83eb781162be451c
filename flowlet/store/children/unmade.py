"""The children of large spawns: made part by part, or dropped with their parent's cancellation.

A part is one row. The transaction that creates its children deletes it, so that each child is created once, whatever is
killed. Parents count the children from the spawning commit on: making them writes no row of a parent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from flowlet.instance.action import Action, ActionKind
from flowlet.instance.new_instance import NewInstance
from flowlet.instance.spawn_part import MAX_PART_CHILDREN, parse_requests
from flowlet.store.commits import Commit
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession, build_in_list
from flowlet.store.dialects.batch import Followups
from flowlet.store.dialects.write_lock import mark_work
from flowlet.store.rows import OPERATION_ACTION_COLUMNS, encode_operation_action_row
from flowlet.store.tables import ACTION, SPAWN, WORKFLOW

__all__ = [
    "UNMADE_COUNT_SQL",
    "UnmadeChildren",
    "count_unmade",
    "drop_unmade",
    "find_parents_of_unmade",
    "list_spawning",
    "make_part",
]

UNMADE_COUNT_SQL = f"(SELECT COALESCE(SUM(s.children), 0) FROM {SPAWN} s WHERE s.workflow_id = w.id)"
"""How many children of the instance ``w`` are still to be made."""
MAX_NAMED_CHILDREN = 10
"""How many children that cannot be created are named in their parent's history."""
_IS_PART = "workflow_id = :id AND visit = :visit AND part = :part"


class UnmadeChildren(NamedTuple):
    """An instance with children that are still to be made.

    Attributes:
        parent_id: The instance.
        children: How many children these are.
        since: When the first of them were spawned, in microseconds since 1970 UTC.
    """

    parent_id: int
    children: int
    since: int


async def list_spawning(connections: Connections, *, after: int = 0, limit: int) -> list[UnmadeChildren]:
    """Return the instances with children that are still to be made, ordered by id, from behind the given one.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    sql = (
        f"SELECT workflow_id, SUM(children), MIN(created) FROM {SPAWN} WHERE workflow_id > :after "
        "GROUP BY workflow_id ORDER BY workflow_id LIMIT :limit"
    )
    values = {"after": after, "limit": limit}
    rows = await connections.read(lambda session: session.fetch_rows(sql, values))
    return [UnmadeChildren(id, int(count), since) for id, count, since in rows]


async def count_unmade(connections: Connections, parent_id: int) -> int:
    """Return how many children of an instance are still to be made.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    sql = f"SELECT COALESCE(SUM(children), 0) FROM {SPAWN} WHERE workflow_id = :id"
    ((count,),) = await connections.read(lambda session: session.fetch_rows(sql, {"id": parent_id}))
    return int(count)


async def make_part(connections: Connections, parent_id: int, *, now: int) -> int:
    """Create the children of the oldest part of an instance: one transaction. Return how many there were.

    0 where no part is left, or another transaction is making this one: children are created in the order in which
    they were spawned. A child whose external id has been taken since it was spawned is not created: its parent's
    history says so, and does not count it any more.

    Raises:
        StoreUnavailableError: If the database is unavailable; the part may have been made.
    """

    async def lock_and_create(session: DatabaseSession) -> int:
        part = await _lock_first_part(session, parent_id, now)
        if part is None:
            return 0
        writes = session.dialect.writes
        created = await writes.create(session.raw, part, now, in_transaction=True)
        taken = [new for new, row in zip(part, created, strict=True) if not row.is_new]
        groups = {new.group for new in part}
        if taken:
            groups.add(await _report_taken(session, parent_id, taken, now))
        session.pending_commit = Commit(frozenset(groups), ())
        return len(part)

    with mark_work(rows=MAX_PART_CHILDREN):
        return await connections.write(lock_and_create)


async def _lock_first_part(session: DatabaseSession, parent_id: int, now: int) -> list[NewInstance] | None:
    """Lock and delete the oldest part of an instance, and return its children; None if there is none to be had."""
    first = f"SELECT visit, part FROM {SPAWN} WHERE workflow_id = :id ORDER BY visit, part LIMIT 1"
    found = await session.fetch_rows(first, {"id": parent_id})
    if not found:
        return None
    key = {"id": parent_id, "visit": found[0][0], "part": found[0][1]}
    skip_locked = session.dialect.expressions.skip_locked_sql
    rows = await session.fetch_rows(f"SELECT requests FROM {SPAWN} WHERE {_IS_PART} {skip_locked}", key)
    if not rows:
        return None
    ((root_id,),) = await session.fetch_rows(f"SELECT root_id FROM {WORKFLOW} WHERE id = :id", {"id": parent_id})
    await session.execute(f"DELETE FROM {SPAWN} WHERE {_IS_PART}", key)
    return parse_requests(rows[0][0], parent_id=parent_id, root_id=root_id or parent_id, now=now)


async def drop_unmade(session: DatabaseSession, ids: Sequence[int], *, now: int) -> dict[int, int]:
    """Drop the children of instances that are still to be made; return how many each of those that had some has less.

    Args:
        session: The transaction, which has locked the instances; a part that is just being made is waited for.
        ids: The instances; few enough for one transaction.
        now: The store's time, in microseconds since 1970 UTC.
    """
    binds, values = build_in_list("id", ids)
    lock = session.dialect.expressions.for_update_sql
    sql = f"SELECT workflow_id, children FROM {SPAWN} WHERE workflow_id IN ({binds}) {lock}"
    dropped: dict[int, int] = {}
    for id, count in await session.fetch_rows(sql, values):
        dropped[id] = dropped.get(id, 0) + count
    if not dropped:
        return {}
    binds, values = build_in_list("id", sorted(dropped))
    await session.execute(f"DELETE FROM {SPAWN} WHERE workflow_id IN ({binds})", values)
    for id, count in sorted(dropped.items()):
        await _uncount(session, id, count, f"{count:,} children that had not been made yet were dropped.", now)
    return dropped


async def find_parents_of_unmade(session: DatabaseSession, ids: Sequence[int]) -> set[int]:
    """Return which of these instances have children that are still to be made."""
    expressions = session.dialect.expressions
    sql = f"SELECT DISTINCT workflow_id FROM {SPAWN} WHERE workflow_id IN ({expressions.build_ids_sql('ids')})"
    return {id for (id,) in await session.fetch_rows(sql, {"ids": expressions.encode_ids(ids)})}


async def _report_taken(session: DatabaseSession, parent_id: int, taken: Sequence[NewInstance], now: int) -> str:
    """Count children no more that cannot be created; return their parent's executor group: it may be due now."""
    named = ", ".join(repr(new.external_id) for new in taken[:MAX_NAMED_CHILDREN])
    more = f", and {len(taken) - MAX_NAMED_CHILDREN:,} more" if len(taken) > MAX_NAMED_CHILDREN else ""
    text = f"{len(taken):,} children were not created, because their external ids were taken meanwhile: {named}{more}."
    return await _uncount(session, parent_id, len(taken), text, now)


async def _uncount(session: DatabaseSession, parent_id: int, count: int, text: str, now: int) -> str:
    """Take children off an instance's counts, and write why into its history; return its executor group."""
    ended = Followups((), [(parent_id, count)], ())
    await session.dialect.writes.apply_followups(session.raw, ended, now)
    sql = f"UPDATE {WORKFLOW} SET children = children - :count WHERE id = :id"
    await session.execute(sql, {"id": parent_id, "count": count})
    sql = f"SELECT state, executor_group FROM {WORKFLOW} WHERE id = :id"
    ((state, group),) = await session.fetch_rows(sql, {"id": parent_id})
    line = Action(ActionKind.LOG, now, from_state=state, text=text)
    await session.insert_many(ACTION, OPERATION_ACTION_COLUMNS, [encode_operation_action_row(parent_id, line)])
    return str(group)
