"""The inbox: the workflows that wait for a person, how many there are, and in which states."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from flowlet.definition.versions.state_names import NO_RENAMES, StateNames
from flowlet.errors import SearchError
from flowlet.instance.inbox_entry import InboxEntry, Vote
from flowlet.instance.instance import Instance, make_instance
from flowlet.store.columns import RowReader
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession
from flowlet.store.people.asked_questions import AskedQuestion, read_votes
from flowlet.store.people.tables import INBOX, build_team_pattern
from flowlet.store.search.cursor import decode_cursor, encode_cursor
from flowlet.store.search.query import MAX_COUNTED, SearchQuery
from flowlet.store.search.renamed_states import build_state_condition
from flowlet.store.tables import WORKFLOW
from flowlet.text import MAX_INTEGER

__all__ = [
    "MAX_BADGE_COUNT",
    "Inbox",
    "InboxGroup",
    "WaitingInstance",
    "count_asking",
    "count_waiting",
    "read_inbox",
]

MAX_BADGE_COUNT = 100
"""Up to how many are counted for the navigation, which says "99+"."""
MAX_GROUPED_INSTANCES = 2_000
"""How many workflows are read to count their groups."""
MAX_GROUPS = 50

_BY_DEADLINE, _BY_ENTRY = "deadline", "entered"
"""The orders, as cursors name them."""
_INSTANCE_READER = RowReader(Instance, {"w": WORKFLOW}, make=make_instance)
_ENTRY_READER = RowReader(InboxEntry, {"e": INBOX})
_WIDTH = len(fields(Instance))


@dataclass(frozen=True, slots=True)
class WaitingInstance:
    """A workflow that waits for an answer.

    Attributes:
        since: When it entered its state, in microseconds since 1970 UTC.
        entry: Its entry in the inbox; None if it has none, which the doctor reports.
        votes: What persons have chosen in this visit of its state.
    """

    instance: Instance
    since: int
    entry: InboxEntry | None = None
    votes: tuple[Vote, ...] = ()

    @property
    def question(self) -> AskedQuestion:
        """Its question, and what has been chosen so far."""
        return AskedQuestion(self.entry, self.votes)


@dataclass(frozen=True, slots=True)
class InboxGroup:
    """How many wait in one state of one type."""

    type: str
    state: str
    count: int


@dataclass(frozen=True, slots=True)
class Inbox:
    """A page of the inbox. Beyond 10,000 nothing is counted: ``total`` and ``waiting`` are 10,001 then.

    Attributes:
        waiting_instances: The page's workflows, in the order of the request.
        total: How many match on all pages together.
        next_cursor: The cursor of the next page; None on the last one.
        waiting: How many workflows wait in all, without the request's filters.
        groups: Their groups, the largest first, at most 50.
        has_partial_groups: Whether the groups were counted among the first 2,000 workflows only.
    """

    waiting_instances: tuple[WaitingInstance, ...]
    total: int
    next_cursor: str | None
    waiting: int
    groups: tuple[InboxGroup, ...]
    has_partial_groups: bool


async def count_waiting(connections: Connections) -> int:
    """Return how many workflows wait for a person, counted up to ``MAX_BADGE_COUNT``.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    return await connections.read(lambda session: _count_up_to(session, MAX_BADGE_COUNT))


async def count_asking(connections: Connections) -> dict[str, int]:
    """Return how many workflows of each type wait for a person, of the 10,001 with the nearest deadlines.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """

    async def read_in_session(session: DatabaseSession) -> list[Any]:
        some = _select_asking(session, "workflow_type", MAX_COUNTED + 1)
        return await session.fetch_rows(f"SELECT workflow_type, COUNT(*) FROM ({some}) waiting GROUP BY workflow_type")

    rows = await connections.read(read_in_session)
    return {type: int(count) for type, count in rows}


async def read_inbox(
    connections: Connections,
    *,
    names: StateNames = NO_RENAMES,
    type: str | None = None,
    state: str | None = None,
    by_deadline: bool = True,
    assignee: str | None = None,
    teams: Collection[str] | None = None,
    limit: int = 25,
    cursor: str | None = None,
) -> Inbox:
    """Return the workflows that wait for a person.

    Args:
        connections: The database's.
        names: The names of all states. A state that was renamed is one group, under its present name.
        type: The workflow's name; None for any.
        state: One of the manual state's names; None for any.
        by_deadline: Whether the nearest deadline comes first, and then, by age, the workflows without one. Otherwise
            the workflow that has waited for the longest time comes first; one without an entry in the inbox, which the
            doctor reports, is not among these.
        assignee: Only those that are assigned to this user; None for any.
        teams: Only those that one of these teams may answer; None for any.
        limit: How many at most, 1 to 1,000.
        cursor: The ``next_cursor`` of the page before, in the same order.

    Raises:
        SearchError: If a value is not allowed; the error names each one.
        StoreUnavailableError: If the database is unavailable.
    """
    query = SearchQuery(workflow_type=type, state=state, limit=limit)
    order = _BY_DEADLINE if by_deadline else _BY_ENTRY
    place = None if cursor is None else _read_cursor(cursor, order)

    async def read_in_session(session: DatabaseSession) -> Inbox:
        where, values = _build_conditions(session, query, names)
        table = session.dialect.expressions.asking_index_sql
        if assignee is not None or teams is not None:
            part, more = _build_entry_condition(assignee, teams)
            # Without the index: the entries leave few instances, which are read by their ids.
            table, where, values = WORKFLOW.name, f"{where} AND {part}", {**values, **more}
        found = await _read_page(session, order, table, where, {**values, "row_limit": limit + 1}, place=place)
        has_more, found = len(found) > limit, found[:limit]
        votes = await read_votes(session, [instance.id for instance, _ in found])
        groups, waiting = await _read_groups(session, names), await _count_up_to(session, MAX_COUNTED + 1)
        return Inbox(
            tuple(_build_waiting(one, entry, votes.get(one.id, [])) for one, entry in found),
            await _count_matches(session, table, where, values, waiting) if has_more or cursor else len(found),
            _build_cursor(order, *found[-1]) if has_more else None,
            waiting,
            groups,
            has_partial_groups=waiting > MAX_GROUPED_INSTANCES,
        )

    return await connections.read(read_in_session)


async def _read_page(
    session: DatabaseSession,
    order: str,
    table: str,
    where: str,
    values: dict[str, Any],
    *,
    place: tuple[int, int] | None,
) -> list[tuple[Instance, InboxEntry | None]]:
    """Return the page's instances with their entries, and one more if there is another page."""
    expressions = session.dialect.expressions
    key, id = expressions.deadline_sql, "id"
    if order == _BY_ENTRY:
        # From the entries on: an index has them in the order of the page.
        table, key, id = f"{INBOX} {expressions.ordered_join_sql} {WORKFLOW}", "entered", "workflow_id"
        where += f" AND id = workflow_id AND {WORKFLOW}.visit = {INBOX}.visit"
    if place is not None:
        values = {**values, "after_key": place[0], "after_id": place[1]}
        where += f" AND {key} >= :after_key AND ({key} > :after_key OR {id} > :after_id)"
    ids = f"SELECT id AS found FROM {table} WHERE {where} ORDER BY {key}, {id} LIMIT :row_limit"
    # With the entries: one that was read later may be gone, and its question would seem to be open to everyone.
    sql = (
        f"SELECT {_INSTANCE_READER.select_list}, {_ENTRY_READER.select_list} FROM {WORKFLOW} w "
        f"JOIN ({ids}) page ON w.id = found LEFT JOIN {INBOX} e ON e.workflow_id = w.id AND e.visit = w.visit "
        f"ORDER BY {key}, id"
    )
    rows = await session.fetch_rows(sql, values)
    return [(_INSTANCE_READER.parse(row[:_WIDTH]), _parse_entry(row[_WIDTH:])) for row in rows]


def _parse_entry(columns: Sequence[Any]) -> InboxEntry | None:
    return None if columns[0] is None else _ENTRY_READER.parse(columns)


def _build_conditions(session: DatabaseSession, query: SearchQuery, names: StateNames) -> tuple[str, dict[str, Any]]:
    part, values = build_state_condition(query.workflow_type, query.state, names)
    parts = [part] if part else []
    if query.workflow_type is not None:
        parts.append("workflow_type = :workflow_type")
        values["workflow_type"] = query.workflow_type
    return " AND ".join([session.dialect.expressions.is_asking_sql, *parts]), values


def _build_cursor(order: str, last: Instance, entry: InboxEntry | None) -> str:
    entered = None if entry is None else entry.entered_us
    value = last.next_activation_us if order == _BY_DEADLINE else entered
    return encode_cursor(order, MAX_INTEGER if value is None else value, last.id)


def _read_cursor(cursor: str, order: str) -> tuple[int, int]:
    try:
        return decode_cursor(cursor, order)
    except ValueError as error:
        raise SearchError({"cursor": str(error)}) from error


async def _count_matches(session: DatabaseSession, table: str, where: str, values: dict[str, Any], waiting: int) -> int:
    if not values:
        return waiting
    fitting = _select_first(session, "id", table, where, MAX_COUNTED + 1)
    ((count,),) = await session.fetch_rows(f"SELECT COUNT(*) FROM ({fitting}) fitting", values)
    return int(count)


async def _count_up_to(session: DatabaseSession, most: int) -> int:
    """Return how many workflows wait, counted up to ``most``."""
    some = _select_asking(session, "id", most)
    ((count,),) = await session.fetch_rows(f"SELECT COUNT(*) FROM ({some}) waiting")
    return int(count)


def _select_asking(session: DatabaseSession, columns: str, most: int) -> str:
    """Return the statement that reads the first rows of all that wait for a person."""
    expressions = session.dialect.expressions
    return _select_first(session, columns, expressions.asking_index_sql, expressions.is_asking_sql, most)


def _select_first(session: DatabaseSession, columns: str, table: str, where: str, most: int) -> str:
    """Return the statement that reads the first rows of what waits, in the order of deadlines.

    Without an order PostgreSQL collects all that wait before it takes the first ones: a second for a million.
    """
    order = f"ORDER BY {session.dialect.expressions.deadline_sql}, id LIMIT {most}"
    return f"SELECT {columns} FROM {table} WHERE {where} {order}"


def _build_waiting(instance: Instance, entry: InboxEntry | None, votes: Iterable[Vote]) -> WaitingInstance:
    if entry is None:
        return WaitingInstance(instance, instance.modified_us)
    counted = tuple(vote for vote in votes if vote.visit == instance.visit)
    return WaitingInstance(instance, entry.entered_us, entry, counted)


def _build_entry_condition(assignee: str | None, teams: Collection[str] | None) -> tuple[str, dict[str, Any]]:
    """Return the condition of instances by their entries: those of few, which are read first."""
    parts, values = [], {}
    if assignee is not None:
        parts.append("assignee = :assignee")
        values["assignee"] = assignee
    if teams is not None:
        values |= {f"team_{place}": build_team_pattern(name) for place, name in enumerate(teams)}
        terms = [f"teams LIKE :team_{place}" for place, _ in enumerate(teams)]
        # In groups: SQLite refuses an expression that is nested a thousand deep, as a chain of so many terms is.
        groups = [" OR ".join(terms[start : start + 100]) for start in range(0, len(terms), 100)]
        parts.append(" OR ".join(f"({group})" for group in groups) or "1 = 0")
    where = " AND ".join(f"({part})" for part in parts)
    return f"id IN (SELECT workflow_id FROM {INBOX} WHERE {where})", values


async def _read_groups(session: DatabaseSession, names: StateNames) -> tuple[InboxGroup, ...]:
    # Limited before the grouping, because the state is in no index: of a million, the first ones are grouped.
    some = _select_asking(session, "workflow_type, state", MAX_GROUPED_INSTANCES)
    sql = (
        f"SELECT workflow_type, state, COUNT(*) AS amount FROM ({some}) waiting "
        f"GROUP BY workflow_type, state ORDER BY amount DESC, workflow_type, state "
        f"LIMIT {MAX_GROUPS * names.most_names}"
    )
    counts: Counter[tuple[str, str]] = Counter()
    for type, state, count in await session.fetch_rows(sql):
        counts[type, names.resolve(type, state)] += int(count)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(InboxGroup(type, state, count) for (type, state), count in ordered[:MAX_GROUPS])
