"""What waits for a person: how many workflows, in which states, and which of them come first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flowlet.instance.instance import ENTRY_KINDS, Instance, Status
from flowlet.store.connection import Connections, DatabaseSession
from flowlet.store.rows import INSTANCE_COLUMNS, parse_instance_row
from flowlet.store.search.cursor import decode_cursor, encode_cursor
from flowlet.store.search.query import MAX_COUNTED, SearchQuery
from flowlet.text import MAX_INTEGER

__all__ = ["MAX_BADGE_COUNT", "Inbox", "InboxGroup", "WaitingInstance", "count_waiting", "read_inbox"]

MAX_BADGE_COUNT = 100
"""Up to how many are counted for the navigation, which says "99+"."""
MAX_GROUPED_INSTANCES = 2_000
"""How many are looked at to tell their groups."""
MAX_GROUPS = 50

_WAITING = "status = 'WAITING' AND status NOT IN ('FINISHED', 'CANCELLED')"
"""The second part says nothing new, but that the index of what is open has all of them."""
_COLUMNS = ", ".join(INSTANCE_COLUMNS)
_ORDERS = {"next_activation": f"COALESCE(next_activation, {MAX_INTEGER})", "modified": "modified"}
"""By what they are sorted; what has no deadline comes last."""


@dataclass(frozen=True, slots=True)
class WaitingInstance:
    """A workflow that waits for an answer.

    Attributes:
        since: When it entered its state, in microseconds since 1970 UTC.
    """

    instance: Instance
    since: int


@dataclass(frozen=True, slots=True)
class InboxGroup:
    """How many wait in one state of one type."""

    type: str
    state: str
    count: int


@dataclass(frozen=True, slots=True)
class Inbox:
    """A page of what waits. Beyond 10,000 nothing is counted: ``total`` and ``waiting`` are 10,001 then.

    Attributes:
        waiting_instances: In the order asked for.
        total: How many fit on all pages together.
        next_cursor: What gives the next page; None on the last one.
        waiting: How many wait at all, whatever was asked for.
        groups: Of these, the largest first, at most 50.
        has_partial_groups: Whether they are of the 2,000 workflows only that were looked at for them.
    """

    waiting_instances: tuple[WaitingInstance, ...]
    total: int
    next_cursor: str | None
    waiting: int
    groups: tuple[InboxGroup, ...]
    has_partial_groups: bool


async def count_waiting(connections: Connections) -> int:
    """Return how many workflows wait for a person, counted no further than ``NOTED``.

    Raises:
        StoreUnavailableError: If the database is away.
    """
    return await connections.read(lambda session: _count_up_to(session, MAX_BADGE_COUNT))


async def read_inbox(
    connections: Connections,
    *,
    type: str | None = None,
    state: str | None = None,
    by_deadline: bool = True,
    limit: int = 25,
    cursor: str | None = None,
) -> Inbox:
    """Return what waits for a person.

    Args:
        connections: The database's.
        type: The workflow's; None for any.
        state: The manual state's name; None for any.
        by_deadline: Whether the nearest deadline comes first, and then, by age, what has none. Else comes first what
            has been left alone for longest: an edit or a pause counts as a change.
        limit: At most so many, 1 to 1,000.
        cursor: What the page before gave as ``next_cursor``, for the same order.

    Raises:
        SearchError: If a value cannot be looked for; each one is named.
        StoreUnavailableError: If the database is away.
    """
    query = SearchQuery(
        workflow_type=type,
        state=state,
        status=Status.WAITING,
        order_by="next_activation" if by_deadline else "modified",
        descending=False,
        limit=limit,
        cursor=cursor,
    )

    async def read_in_session(session: DatabaseSession) -> Inbox:
        found = await _read_page(session, query)
        has_more, found = len(found) > limit, found[:limit]
        entered = await _read_entry_times(session, [instance.id for instance in found])
        groups, waiting = await _read_groups(session), await _count_up_to(session, MAX_COUNTED + 1)
        return Inbox(
            tuple(WaitingInstance(one, entered.get(one.id, one.modified_us)) for one in found),
            await _count_matches(session, query, waiting) if has_more or cursor else len(found),
            encode_cursor(query.order, _get_sort_value(query, found[-1]), found[-1].id) if has_more else None,
            waiting,
            groups,
            has_partial_groups=waiting > MAX_GROUPED_INSTANCES,
        )

    return await connections.read(read_in_session)


async def _read_page(session: DatabaseSession, query: SearchQuery) -> list[Instance]:
    """Return the page's instances, and one more if there is another page."""
    where, values = _build_conditions(query)
    key = _ORDERS[query.order_by]
    if query.cursor is not None:
        values["after_key"], values["after_id"] = decode_cursor(query.cursor, query.order)
        where += f" AND {key} >= :after_key AND ({key} > :after_key OR id > :after_id)"
    # Not by the search, which counts too: where 20,000 wait, that reads each row a second time.
    ids = f"SELECT id AS found FROM workflow WHERE {where} ORDER BY {key}, id LIMIT :row_limit"
    sql = f"SELECT {_COLUMNS} FROM workflow JOIN ({ids}) page ON id = found ORDER BY {key}, id"
    return [parse_instance_row(row) for row in await session.fetch_rows(sql, {**values, "row_limit": query.limit + 1})]


def _build_conditions(query: SearchQuery) -> tuple[str, dict[str, Any]]:
    given = {"workflow_type": query.workflow_type, "state": query.state}
    values = {name: value for name, value in given.items() if value is not None}
    return " AND ".join([_WAITING, *(f"{name} = :{name}" for name in values)]), values


def _get_sort_value(query: SearchQuery, instance: Instance) -> int:
    value = instance.modified_us if query.order_by == "modified" else instance.next_activation_us
    return MAX_INTEGER if value is None else value


async def _count_matches(session: DatabaseSession, query: SearchQuery, waiting: int) -> int:
    where, values = _build_conditions(query)
    if not values:
        return waiting
    sql = f"SELECT COUNT(*) FROM (SELECT id FROM workflow WHERE {where} LIMIT {MAX_COUNTED + 1}) fitting"
    ((count,),) = await session.fetch_rows(sql, values)
    return int(count)


async def _count_up_to(session: DatabaseSession, most: int) -> int:
    """Return how many wait, counted no further than told."""
    # In the index's own order, and of its columns alone, PostgreSQL reads entries of the index until there are enough:
    # a hundred in 0.2 ms. Without, it collects all that wait first, which takes 4 ms where 20,000 do.
    some = f"SELECT workflow_type FROM workflow WHERE {_WAITING} ORDER BY status, workflow_type LIMIT {most}"
    ((count,),) = await session.fetch_rows(f"SELECT COUNT(*) FROM ({some}) waiting")
    return int(count)


async def _read_entry_times(session: DatabaseSession, ids: Sequence[int]) -> dict[int, int]:
    """Return when each of these last entered a state: the time of its row may be that of an edit."""
    if not ids:
        return {}
    kinds = ", ".join(f"'{kind}'" for kind in ENTRY_KINDS)
    sql = (
        "SELECT workflow_id, MAX(at) FROM workflow_action "
        f"WHERE workflow_id IN ({session.dialect.build_ids_sql('ids')}) AND kind IN ({kinds}) GROUP BY workflow_id"
    )
    return dict(await session.fetch_rows(sql, {"ids": session.dialect.encode_ids(ids)}))


async def _read_groups(session: DatabaseSession) -> tuple[InboxGroup, ...]:
    # Bounded inside, for the state is in no index: where a million wait, these are the groups of the first ones.
    some = f"SELECT workflow_type, state FROM workflow WHERE {_WAITING} LIMIT {MAX_GROUPED_INSTANCES}"
    sql = (
        f"SELECT workflow_type, state, COUNT(*) AS amount FROM ({some}) waiting "
        f"GROUP BY workflow_type, state ORDER BY amount DESC, workflow_type, state LIMIT {MAX_GROUPS}"
    )
    return tuple(InboxGroup(type, state, int(count)) for type, state, count in await session.fetch_rows(sql))
