"""What waits for a person: how many workflows, in which states, and which of them come first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flowlet.instances import ENTERING, Instance, Status
from flowlet.store.connection import Connections, Session
from flowlet.store.search import COUNTED, SearchQuery, search

__all__ = ["NOTED", "Group", "Inbox", "Question", "count_waiting", "read_inbox"]

NOTED = 100
"""Up to how many are counted for the navigation, which says "99+"."""
MOST_GROUPS = 50

_WAITING = "status = 'WAITING' AND status NOT IN ('FINISHED', 'CANCELLED')"
"""The second part says nothing new, but that the index of what is open has all of them."""


@dataclass(frozen=True, slots=True)
class Question:
    """A workflow that waits for an answer.

    Attributes:
        since: When it entered its state, in microseconds since 1970 UTC.
    """

    instance: Instance
    since: int


@dataclass(frozen=True, slots=True)
class Group:
    """How many wait in one state of one type."""

    type: str
    state: str
    count: int


@dataclass(frozen=True, slots=True)
class Inbox:
    """A page of what waits.

    Attributes:
        questions: In the order asked for.
        total: How many fit on all pages together.
        total_is_at_least: Whether there are more: beyond 10,000 they are not counted.
        next_cursor: What gives the next page; None on the last one.
        groups: Of everything that waits, whatever was asked for; the largest first, at most 50. Beyond 10,000
            workflows they are not counted on.
    """

    questions: tuple[Question, ...]
    total: int
    total_is_at_least: bool
    next_cursor: str | None
    groups: tuple[Group, ...]


async def count_waiting(connections: Connections) -> int:
    """Return how many workflows wait for a person, counted no further than ``NOTED``.

    Raises:
        StoreUnavailableError: If the database is away.
    """
    # Every page asks: so it reads a hundred entries of an index at most, however many there are.
    sql = f"SELECT COUNT(*) FROM (SELECT id FROM workflow WHERE {_WAITING} LIMIT {NOTED}) waiting"
    ((count,),) = await connections.read(lambda session: session.rows(sql))
    return int(count)


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

    async def work(session: Session) -> Inbox:
        found = await search(session, query)
        entered = await _entered(session, [instance.id for instance in found.instances])
        questions = tuple(Question(one, entered.get(one.id, one.modified)) for one in found.instances)
        return Inbox(questions, found.total, found.total_is_at_least, found.next_cursor, await _groups(session))

    return await connections.read(work)


async def _entered(session: Session, ids: Sequence[int]) -> dict[int, int]:
    """Return when each of these last entered a state: the time of its row may be that of an edit."""
    if not ids:
        return {}
    kinds = ", ".join(f"'{kind}'" for kind in ENTERING)
    sql = (
        "SELECT workflow_id, MAX(at) FROM workflow_action "
        f"WHERE workflow_id IN ({session.dialect.members('ids')}) AND kind IN ({kinds}) GROUP BY workflow_id"
    )
    return dict(await session.rows(sql, {"ids": session.dialect.members_value(ids)}))


async def _groups(session: Session) -> tuple[Group, ...]:
    # Bounded inside: where a million wait, these are the groups of the first ten thousand.
    some = f"SELECT workflow_type, state FROM workflow WHERE {_WAITING} LIMIT {COUNTED}"
    sql = (
        f"SELECT workflow_type, state, COUNT(*) AS amount FROM ({some}) waiting "
        f"GROUP BY workflow_type, state ORDER BY amount DESC, workflow_type, state LIMIT {MOST_GROUPS}"
    )
    return tuple(Group(type, state, int(count)) for type, state, count in await session.rows(sql))
