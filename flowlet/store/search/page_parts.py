"""The parts of a page: what each index has of the matches, in the order of the page if it can.

A page by the next activation would otherwise read and sort all that is scheduled: 0.2 s of a million.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, NamedTuple

from flowlet.instance.instance import Status
from flowlet.store.database_session import DatabaseSession
from flowlet.store.dialects.lanes import Lane
from flowlet.store.search.query import SearchQuery
from flowlet.store.tables import IS_GATED, IS_READY, WORKFLOW
from flowlet.text import MAX_INTEGER

__all__ = ["PagePart", "find_page_parts", "get_null_sort_value"]

MAX_LANES, MAX_GROUPS = 64, 16
"""How many lanes of the due index, and of how many groups, are read one by one. With more of them all that is scheduled
is sorted."""
_LANE_FIELDS = {"workflow_type", "executor_group"}
_PAGE_FIELDS = {"has_next", "order_by", "descending", "limit", "offset", "cursor", "scan_limit"}
_FILTERS = tuple({one.name for one in fields(SearchQuery)} - {"status"} - _LANE_FIELDS - _PAGE_FIELDS)
"""The fields that are conditions, but the status and what distinguishes lanes."""
_IS_GATED_WITH_NEXT = f"{IS_GATED} AND {IS_READY} AND next_activation IS NOT NULL"


class PagePart(NamedTuple):
    """A part of the matches; each one is in one part.

    Attributes:
        table: The table of instances after FROM.
        condition: What distinguishes it; empty for all of them.
        key: The SQL of the sort key in it.
        is_ordered: Whether an index has the part in the order of the page.
    """

    table: str
    condition: str
    key: str
    is_ordered: bool = False


async def find_page_parts(session: DatabaseSession, query: SearchQuery) -> tuple[list[PagePart], dict[str, Any]]:
    """Return the parts of a query's matches, and the values of their binds.

    An index in the order of the page is read only where nearly every entry of it matches: with any further condition
    another one may leave few.
    """
    expressions = session.dialect.expressions
    if _reads_deadlines(query):
        key = expressions.deadline_sql
        more = f" AND {key} < {MAX_INTEGER}" if query.has_next else ""
        conditions = {
            expressions.is_asking_sql: expressions.asking_index_sql,
            expressions.is_receiving_sql: expressions.receiving_index_sql,
        }
        return [PagePart(table, one + more, key, is_ordered=True) for one, table in conditions.items()], {}
    if not query.has_next:
        return [PagePart(WORKFLOW.name, "", _build_sort_key(query))], {}
    if query.order_by == "next_activation" and not query.statuses and _is_unfiltered(query):
        lanes = await _read_lanes(session, query)
        if lanes is not None:
            return _build_lane_parts(session, lanes)
    return [PagePart(WORKFLOW.name, one, query.order_by) for one in expressions.has_next_sql], {}


def get_null_sort_value(query: SearchQuery) -> int:
    """Return the sort key of an instance without a next activation: it comes last in either direction."""
    return -1 if query.descending else MAX_INTEGER


def _reads_deadlines(query: SearchQuery) -> bool:
    """Return whether the indexes of what waits have the order of the page."""
    is_last_first = query.descending and not query.has_next
    is_by_next = query.order_by == "next_activation" and not is_last_first
    is_waiting = query.statuses == (Status.WAITING,) and query.executor_group is None
    return is_by_next and is_waiting and _is_unfiltered(query)


def _is_unfiltered(query: SearchQuery) -> bool:
    """Return whether a query has no conditions beyond statuses and those that lanes have."""
    return all(getattr(query, name) in (None, (), []) for name in _FILTERS)


def _build_sort_key(query: SearchQuery) -> str:
    if query.order_by != "next_activation":
        return query.order_by
    return f"COALESCE(next_activation, {get_null_sort_value(query)})"


async def _read_lanes(session: DatabaseSession, query: SearchQuery) -> list[Lane] | None:
    """Return the lanes in which something is scheduled; None if there are too many."""
    groups = await _read_groups(session) if query.executor_group is None else [query.executor_group]
    if len(groups) > MAX_GROUPS:
        return None
    lanes: list[Lane] = []
    for group in groups:
        values = {"group": group, "after": "", "limit": MAX_LANES + 1}
        found = [Lane(*row) for row in await session.fetch_rows(session.dialect.expressions.lanes_sql, values)]
        lanes += [one for one in found if one.earliest_due is not None and query.workflow_type in (None, one.type)]
        if max(len(found), len(lanes)) > MAX_LANES:
            return None
    return lanes


async def _read_groups(session: DatabaseSession) -> list[str]:
    """Return the groups of the due index; at most one more than are read."""
    groups: list[str] = []
    while len(groups) <= MAX_GROUPS:
        last = groups[-1] if groups else ""
        ((group,),) = await session.fetch_rows(session.dialect.expressions.next_group_sql, {"last": last})
        if group is None:
            break
        groups.append(group)
    return groups


def _build_lane_parts(session: DatabaseSession, lanes: list[Lane]) -> tuple[list[PagePart], dict[str, Any]]:
    expressions = session.dialect.expressions
    parts, values = [PagePart(WORKFLOW.name, _IS_GATED_WITH_NEXT, "next_activation")], dict[str, Any]()
    for place, lane in enumerate(lanes):
        condition = (
            f"executor_group = :group_{place} AND {expressions.due_type_column} = :type_{place} "
            f"AND priority = {lane.priority} AND {expressions.is_queued_sql} AND {expressions.due_column} IS NOT NULL"
        )
        parts.append(PagePart(expressions.due_index_sql, condition, expressions.due_column, is_ordered=True))
        values |= {f"group_{place}": lane.group, f"type_{place}": lane.type}
    return parts, values
