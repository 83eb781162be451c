"""A page of a search: its instances, how many match in all, and where the next page begins.

A page begins after the last row of the one before it, found by its sort key and its id, and not by counting rows:
instances that are created meanwhile shift nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowlet.definition.versions.state_names import StateNames
from flowlet.instance.instance import SCHEDULED_STATUSES, Instance, Status
from flowlet.store.database_session import DatabaseSession
from flowlet.store.rows import INSTANCE_READER
from flowlet.store.search.conditions import UNINDEXED_STATUSES, build_conditions, build_name_condition
from flowlet.store.search.cursor import decode_cursor, encode_cursor
from flowlet.store.search.page_parts import PagePart, find_page_parts, get_null_sort_value
from flowlet.store.search.query import MAX_COUNTED, SearchQuery, SearchResult
from flowlet.store.search.renamed_states import build_renamed_conditions
from flowlet.store.search.scan_limit import UNLIMITED, ScanRequest, compute_scan_window
from flowlet.store.tables import IS_FAILING, WORKFLOW

__all__ = ["is_scanning_search", "search_instances"]


def is_scanning_search(query: SearchQuery) -> bool:
    """Return whether a query may read all instances to find none.

    No index finds its matches, or one finds many, such as all that wait, whose texts are then read.
    """
    is_named = query.id is not None or query.external_id is not None or query.business_key is not None
    return not is_named and (not _is_narrow(query) or _reads_texts(query))


async def search_instances(session: DatabaseSession, query: SearchQuery, names: StateNames) -> SearchResult:
    """Return a page of the matching instances, and how many there are.

    Args:
        session: The database.
        query: The query.
        names: The names of all states, if it has a state or a fingerprint.
    """
    named, named_values, is_few = await build_name_condition(query, session)
    renamed, renamed_values = await build_renamed_conditions(query, session, names)
    parts, values = build_conditions(query, session)
    parts, values = [*named, *renamed, *parts], {**named_values, **renamed_values, **values}
    limit = None if is_few else query.scan_limit
    is_bounded = limit is not None and await _is_wide(session, query, renamed_values, scan_limit=limit)
    seen = await compute_scan_window(session, _build_scan_request(query, query.cursor)) if is_bounded else UNLIMITED
    # An index leaves no more instances than the scan limit: they are read and sorted. Else PostgreSQL's plan for any
    # value walks all ids in their order, to find few of a rare type: 2 s of a million, instead of 80 ms.
    is_sorted = query.scan_limit is not None and _reads_texts(query) and not seen.is_cut
    page_parts, more = await find_page_parts(session, query)
    values |= more
    found = await _read_page(
        session, query, page_parts, [*parts, *seen.conditions], {**values, **seen.binds}, is_sorted=is_sorted
    )
    instances = tuple(found[: query.limit])
    has_more = len(found) > query.limit
    total, first = len(instances), seen
    if has_more or query.offset or query.cursor is not None:
        first = (
            await compute_scan_window(session, _build_scan_request(query, None))
            if is_bounded and query.cursor is not None
            else seen
        )
        # Counted up to one beyond the limit: counting a million rows costs 100 ms and more.
        total = await _count_matches(
            session, page_parts, [*parts, *first.conditions], {**values, **first.binds}, limit=MAX_COUNTED + 1
        )
    last = (
        encode_cursor(query.order, _get_sort_value(query, instances[-1]), instances[-1].id)
        if has_more
        else seen.next_cursor
    )
    is_at_least = first.is_cut or total > MAX_COUNTED
    return SearchResult(instances, min(total, MAX_COUNTED), is_at_least, last, is_cut=seen.is_cut)


async def _read_page(
    session: DatabaseSession,
    query: SearchQuery,
    page_parts: Sequence[PagePart],
    conditions: Sequence[str],
    values: dict[str, Any],
    *,
    is_sorted: bool,
) -> list[Instance]:
    """Return the instances of a page, and one more if there is another page.

    With ``is_sorted`` no index is read in the order of the page: all that match are read and sorted.
    """
    way, beyond = ("DESC", "<") if query.descending else ("ASC", ">")
    row_limit = query.limit + 1
    place = {**values, "row_limit": row_limit, "row_offset": query.offset, "part_limit": query.offset + row_limit}
    if query.cursor is not None:
        place["after_key"], place["after_id"] = decode_cursor(query.cursor, query.order)
    rest = "" if query.order_by == "id" else f", id {way}"
    selects = []
    for number, (table, condition, key, _) in enumerate(page_parts):
        # The first comparison alone lets an index begin where the page does.
        begin = f"{key} {beyond}= :after_key AND ({key} {beyond} :after_key OR id {beyond} :after_id)"
        where = _join_conditions([*conditions, condition, "" if query.cursor is None else begin])
        order = f"{key}{' + 0' if is_sorted else ''} {way}{rest}"
        selects.append(
            f"SELECT * FROM (SELECT id AS found, {key} AS sort_key FROM {table} WHERE {where} "
            f"ORDER BY {order} LIMIT :part_limit) part_{number}"
        )
    # Only ids are sorted, and whole rows are read for one page: 10 times as fast on SQLite.
    parts = " UNION ALL ".join(selects)
    ids = f"SELECT found, sort_key FROM ({parts}) parts ORDER BY sort_key {way}, found {way}"
    page = f"JOIN ({ids} LIMIT :row_limit OFFSET :row_offset) page ON id = found ORDER BY sort_key {way}, id {way}"
    sql = f"SELECT {INSTANCE_READER.select_list} FROM {WORKFLOW} {page}"
    return INSTANCE_READER.parse_all(await session.fetch_rows(sql, place))


def _build_scan_request(query: SearchQuery, cursor: str | None) -> ScanRequest:
    """Return the scan of a query, from a cursor on."""
    is_sorted = query.order_by in ("id", "created")
    return ScanRequest(
        order=query.order,
        key=query.order_by,
        is_descending=query.descending or not is_sorted,
        start=decode_cursor(cursor, query.order) if cursor is not None and is_sorted else None,
        workflow_type=query.workflow_type,
        created_from=query.created_from,
        created_to=query.created_to,
        limit=query.scan_limit or MAX_COUNTED,
    )


def _is_narrow(query: SearchQuery) -> bool:
    """Return whether an index finds the matches, or everything matches in the page's order: no scan limit is needed."""
    if (
        query.parent_id is not None
        or query.fingerprint is not None
        or query.is_retrying
        or query.has_next
        or query.waits_for_version
    ):
        return True
    statuses = set(query.statuses)
    if statuses and (not UNINDEXED_STATUSES & statuses or statuses == {Status.CANCELLED}):
        return True
    unindexed = (query.state, query.executor_group, query.reason_contains, query.prefix, query.variables or None)
    times = (getattr(query, f"{column}_{end}") for column in ("modified", "next_activation") for end in ("from", "to"))
    is_filtered = bool(statuses) or any(value is not None for value in (*unindexed, *times))
    return not is_filtered and query.order_by in ("id", "created")


def _reads_texts(query: SearchQuery) -> bool:
    """Return whether the variables or the reason of each instance are read that the other conditions leave."""
    return bool(query.variables) or query.reason_contains is not None


async def _is_wide(
    session: DatabaseSession, query: SearchQuery, fingerprints: dict[str, Any], *, scan_limit: int
) -> bool:
    """Return whether a query needs its scan limit.

    One that reads texts needs none if an index leaves no more instances than that: they are counted, and no further.
    """
    if not (_is_narrow(query) and _reads_texts(query)):
        return not _is_narrow(query)
    parts, values = build_conditions(_keep_indexed_conditions(query), session)
    if query.fingerprint is not None:
        binds = {name: value for name, value in fingerprints.items() if name.startswith("fingerprint")}
        parts, values = [*parts, IS_FAILING, f"fingerprint IN (:{', :'.join(binds)})"], {**values, **binds}
    whole = [PagePart(WORKFLOW.name, "", "id")]
    return await _count_matches(session, whole, parts, values, limit=scan_limit + 1) > scan_limit


def _keep_indexed_conditions(query: SearchQuery) -> SearchQuery:
    """Return a query with the conditions of another one that an index answers, but not its fingerprint."""
    return SearchQuery(
        workflow_type=query.workflow_type,
        status=query.statuses or (SCHEDULED_STATUSES if query.has_next else ()),
        parent_id=query.parent_id,
        is_retrying=query.is_retrying or None,
        waits_for_version=query.waits_for_version or None,
    )


async def _count_matches(
    session: DatabaseSession,
    page_parts: Sequence[PagePart],
    conditions: Sequence[str],
    values: dict[str, Any],
    *,
    limit: int,
) -> int:
    selects = []
    for number, (table, condition, key, is_ordered) in enumerate(page_parts):
        # Without an order PostgreSQL first collects all of a large part.
        order = f"ORDER BY {key}, id" if is_ordered else ""
        where = _join_conditions([*conditions, condition])
        selects.append(f"SELECT * FROM (SELECT id FROM {table} WHERE {where} {order} LIMIT :most) part_{number}")
    sql = f"SELECT COUNT(*) FROM ({' UNION ALL '.join(selects)} LIMIT :most) counted"
    ((total,),) = await session.fetch_rows(sql, {**values, "most": limit})
    return int(total)


def _join_conditions(conditions: Sequence[str]) -> str:
    return " AND ".join(filter(None, conditions)) or "1 = 1"


def _get_sort_value(query: SearchQuery, instance: Instance) -> int:
    name = query.order_by if query.order_by == "id" else f"{query.order_by}_us"
    value: int | None = getattr(instance, name)
    return get_null_sort_value(query) if value is None else value
