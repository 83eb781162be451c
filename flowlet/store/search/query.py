"""Search: which instances fit, in which order, page by page with a cursor that inserts do not move.

A page begins after the last row of the one before it, found by its sort key and its id, and not by counting rows:
what is created meanwhile shifts nothing.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import orjson

from flowlet.errors import SearchError
from flowlet.instance.instance import Instance, Status
from flowlet.store.connection import DatabaseSession, build_in_list
from flowlet.store.rows import INSTANCE_COLUMNS, parse_instance_row
from flowlet.store.search.cursor import decode_cursor, encode_cursor
from flowlet.store.search.prefix import build_prefix_search
from flowlet.store.search.scan_limit import UNLIMITED, ScanRequest, compute_scan_window
from flowlet.text import MAX_IDENTIFIER_LENGTH, MAX_INTEGER, find_text_fault

__all__ = ["MAX_COUNTED", "SearchQuery", "SearchResult", "SortKey", "VariableFilter", "search_instances"]

SortKey: TypeAlias = Literal["id", "created", "modified", "next_activation"]
"""What instances are sorted by; those without a next activation come last in either direction."""

MAX_COUNTED = 10_000
"""Up to how many instances are counted."""

MAX_ROWS, MAX_OFFSET, MAX_VARIABLES = 1_000, 10_000, 5
MAX_SEARCHED_TEXT_LENGTH = 2_000

_COLUMNS = ", ".join(INSTANCE_COLUMNS)
_IDS = ("id", "parent_id")
_NAMES = ("external_id", "business_key", "prefix", "workflow_type", "state", "executor_group", "fingerprint")
_TIMES = ("created", "modified", "next_activation")
_UNINDEXED_STATUSES = frozenset({Status.FINISHED, Status.CANCELLED})
# Without a part that says so in these words, no partial index is used: a database does not look into binds.
_HAS_KEY = "business_key <> ''"
_IN_STATUS_INDEX = "status NOT IN ('FINISHED', 'CANCELLED')"
_IS_CANCELLED = "status = 'CANCELLED'"
_IS_RETRYING = "attempt > 0 AND status NOT IN ('FINISHED', 'FAILED', 'CANCELLED')"
_IS_SCHEDULED = "next_activation IS NOT NULL AND status IN ('NEW', 'IN_PROGRESS', 'WAITING')"


@dataclass(frozen=True, slots=True)
class VariableFilter:
    """A variable that has to have a value.

    A text finds the same text, and also the number, true, false or null that it spells, because that is how people
    type one. Any other value finds itself. A whole number finds 3 as well as 3.0.
    """

    name: str
    value: str | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchQuery:
    """What is looked for. ``id``, the names and ``prefix`` are joined by OR, everything else by AND.

    None, and an empty collection, mean no condition. Times are microseconds since 1970 UTC, from the first one
    inclusive to the second one exclusive.

    Attributes:
        prefix: What the external id or the business key begins with; capital and small letters differ.
        status: One status or several.
        is_retrying: Whether an attempt has failed and another one is to come.
        fingerprint: Of a group of errors: those whose last attempt failed so, and that have not gone on since.
        reason_contains: A part of the reason, in capital or small letters; at most 2,000 characters.
        variables: At most 5.
        has_next: Whether only what runs again by itself, or has a deadline, is looked for; what is paused does not.
        order_by: A walk that is to miss nothing goes by ``id`` or ``created``, which never change.
        limit: At most so many instances, 1 to 1,000.
        offset: How many to leave out, 0 to 10,000; the cursor goes further, and costs the same on every page.
        cursor: What the page before gave as ``next_cursor``, for the same filters and order.
        scan_limit: Among how many instances, from where the page begins, is looked for what no index tells; None for all.

    Raises:
        SearchError: If a value cannot be looked for; each one is named.
    """

    id: int | None = None
    external_id: str | None = None
    business_key: str | None = None
    prefix: str | None = None
    workflow_type: str | None = None
    state: str | None = None
    status: str | Collection[str] | None = None
    executor_group: str | None = None
    parent_id: int | None = None
    created_from: int | None = None
    created_to: int | None = None
    modified_from: int | None = None
    modified_to: int | None = None
    next_activation_from: int | None = None
    next_activation_to: int | None = None
    is_retrying: bool | None = None
    fingerprint: str | None = None
    reason_contains: str | None = None
    variables: Sequence[VariableFilter] = ()
    has_next: bool = False
    order_by: SortKey = "id"
    descending: bool = True
    limit: int = 50
    offset: int = 0
    cursor: str | None = None
    scan_limit: int | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be looked for."""
        if faults := dict(_find_faults(self)):
            raise SearchError(faults)

    @property
    def statuses(self) -> tuple[str, ...]:
        """The statuses of which it has to have one; empty for any."""
        given = (self.status,) if isinstance(self.status, str) else self.status or ()
        return tuple(str(one) for one in given)

    @property
    def order(self) -> str:
        """The order's name, direction included, as a cursor holds it."""
        return self.order_by if self.descending else f"{self.order_by}+"


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A page of instances.

    Attributes:
        instances: In the order asked for.
        total: How many fit on all pages together.
        total_is_at_least: Whether there may be more than ``total``: beyond 10,000, or the reach, they are not counted.
        next_cursor: What gives the next page, or what lies beyond the reach; None if there is nothing.
        is_cut: Whether more may fit beyond the reach.
    """

    instances: tuple[Instance, ...]
    total: int
    total_is_at_least: bool
    next_cursor: str | None
    is_cut: bool = False


async def search_instances(session: DatabaseSession, query: SearchQuery) -> SearchResult:
    """Return a page of the instances that fit, and how many there are."""
    names, named, is_few = await _build_name_condition(query, session)
    parts, values = _build_conditions(query, session)
    parts, values = [*names, *parts], {**named, **values}
    is_bounded = query.scan_limit is not None and not is_few and not _is_narrow(query)
    seen = await compute_scan_window(session, _build_scan_request(query, query.cursor)) if is_bounded else UNLIMITED
    found = await _read_page(session, query, [*parts, *seen.conditions], {**values, **seen.binds})
    instances = tuple(found[: query.limit])
    has_more = len(found) > query.limit
    total, first = len(instances), seen
    if has_more or query.offset or query.cursor is not None:
        first = (
            await compute_scan_window(session, _build_scan_request(query, None))
            if is_bounded and query.cursor is not None
            else seen
        )
        total = await _count_matches(session, [*parts, *first.conditions], {**values, **first.binds})
    last = (
        encode_cursor(query.order, _get_sort_value(query, instances[-1]), instances[-1].id)
        if has_more
        else seen.next_cursor
    )
    is_at_least = first.is_cut or total > MAX_COUNTED
    return SearchResult(instances, min(total, MAX_COUNTED), is_at_least, last, is_cut=seen.is_cut)


async def _read_page(
    session: DatabaseSession, query: SearchQuery, conditions: list[str], values: dict[str, Any]
) -> list[Instance]:
    """Return the instances of a page, and one more if there is one: that tells whether there is another page."""
    key = _build_sort_key(query)
    way, beyond = ("DESC", "<") if query.descending else ("ASC", ">")
    place = {**values, "row_limit": query.limit + 1, "row_offset": query.offset}
    if query.cursor is not None:
        place["after_key"], place["after_id"] = decode_cursor(query.cursor, query.order)
        # The first comparison alone lets an index begin where the page does.
        conditions = [
            *conditions,
            f"{key} {beyond}= :after_key AND ({key} {beyond} :after_key OR id {beyond} :after_id)",
        ]
    order = f"id {way}" if query.order_by == "id" else f"{key} {way}, id {way}"
    # Only ids are sorted, and whole rows read for a page of them: on SQLite 10 times as fast.
    ids = f"SELECT id AS found FROM workflow WHERE {_join_conditions(conditions)} ORDER BY {order} LIMIT :row_limit OFFSET :row_offset"
    sql = f"SELECT {_COLUMNS} FROM workflow JOIN ({ids}) page ON id = found ORDER BY {order}"
    return [parse_instance_row(row) for row in await session.fetch_rows(sql, place)]


def _build_scan_request(query: SearchQuery, cursor: str | None) -> ScanRequest:
    """Return the walk of a query, from where a cursor says."""
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
    """Return whether an index leads to what fits, or fits in the order of the answer: then the reach says nothing."""
    if query.parent_id is not None or query.fingerprint is not None or query.is_retrying or query.has_next:
        return True
    statuses = set(query.statuses)
    if statuses and (not _UNINDEXED_STATUSES & statuses or statuses == {Status.CANCELLED}):
        return True
    unindexed = (query.state, query.executor_group, query.reason_contains, query.prefix, query.variables or None)
    times = (getattr(query, f"{column}_{end}") for column in ("modified", "next_activation") for end in ("from", "to"))
    is_filtered = bool(statuses) or any(value is not None for value in (*unindexed, *times))
    return not is_filtered and query.order_by in ("id", "created")


async def _count_matches(session: DatabaseSession, parts: Sequence[str], values: dict[str, Any]) -> int:
    # Counted no further than one beyond the limit: counting a million rows costs 100 ms and more.
    sql = f"SELECT COUNT(*) FROM (SELECT id FROM workflow WHERE {_join_conditions(parts)} LIMIT :most) counted"
    ((total,),) = await session.fetch_rows(sql, {**values, "most": MAX_COUNTED + 1})
    return int(total)


def _join_conditions(parts: Sequence[str]) -> str:
    return " AND ".join(parts) or "1 = 1"


def _build_sort_key(query: SearchQuery) -> str:
    """Return the SQL of the sort key; what has no next activation is last either way."""
    if query.order_by != "next_activation" or query.has_next:
        return query.order_by
    return f"COALESCE(next_activation, {_get_null_sort_value(query)})"


def _get_null_sort_value(query: SearchQuery) -> int:
    return -1 if query.descending else MAX_INTEGER


def _get_sort_value(query: SearchQuery, instance: Instance) -> int:
    name = query.order_by if query.order_by == "id" else f"{query.order_by}_us"
    value: int | None = getattr(instance, name)
    return _get_null_sort_value(query) if value is None else value


def _build_conditions(query: SearchQuery, session: DatabaseSession) -> tuple[list[str], dict[str, Any]]:
    """Return the conditions, each to be joined by AND, and the values of their binds."""
    parts: list[str] = []
    values: dict[str, Any] = {}
    for column in ("workflow_type", "state", "executor_group", "parent_id", "fingerprint"):
        if (value := getattr(query, column)) is not None:
            parts.append(f"{column} = :{column}")
            values[column] = value
    for column in _TIMES:
        for end, sign in (("from", ">="), ("to", "<")):
            if (value := getattr(query, f"{column}_{end}")) is not None:
                parts.append(f"{column} {sign} :{column}_{end}")
                values[f"{column}_{end}"] = value
    standing, more = _build_status_conditions(query)
    parts += standing
    values |= more
    if query.reason_contains is not None:
        parts.append("LOWER(reason) LIKE LOWER(:reason) ESCAPE '!'")
        values["reason"] = f"%{_escape_like(query.reason_contains)}%"
    for place, variable in enumerate(query.variables):
        part, more = _build_variable_condition(variable, session, f"variable_{place}")
        parts.append(part)
        values |= more
    return parts, values


def _build_status_conditions(query: SearchQuery) -> tuple[list[str], dict[str, Any]]:
    """Return the conditions on the status, and on what only what is open has."""
    parts: list[str] = []
    values: dict[str, Any] = {}
    if statuses := query.statuses:
        binds, values = build_in_list("status", statuses)
        parts.append(f"status IN ({binds})")
        parts += [] if _UNINDEXED_STATUSES.intersection(statuses) else [_IN_STATUS_INDEX]
        parts += [_IS_CANCELLED] if set(statuses) == {Status.CANCELLED} else []
    if query.is_retrying is not None:
        parts.append(_IS_RETRYING if query.is_retrying else f"NOT ({_IS_RETRYING})")
    if query.has_next:
        parts.append(_IS_SCHEDULED)
    return parts, values


def _build_variable_condition(
    variable: VariableFilter, session: DatabaseSession, bind: str
) -> tuple[str, dict[str, Any]]:
    """Return the condition on a variable, and the values of its binds."""
    dialect, sources = session.dialect, _list_json_spellings(variable.value)
    binds, values = build_in_list(f"{bind}_value", sources)
    if not dialect.has_slow_json:
        return f"{dialect.build_variable_sql(bind)} IN ({binds})", {
            bind: dialect.build_variable_path(variable.name),
            **values,
        }
    # Variables are stored without spaces: a document that has this one holds this piece of text.
    spelled = [_escape_like(f'"{variable.name}":{source}') for source in sources]
    texts = {f"{bind}_text_{place}": f"%{text}%" for place, text in enumerate(spelled)}
    either = " OR ".join(f"vars LIKE :{text} ESCAPE '!'" for text in texts)
    part = f"({either}) AND {dialect.build_variable_sql(bind)} IN ({binds})"
    return part, {bind: dialect.build_variable_path(variable.name), **values, **texts}


async def _build_name_condition(query: SearchQuery, session: DatabaseSession) -> tuple[list[str], dict[str, Any], bool]:
    """Return the condition on what names an instance, one of which has to fit; its binds; whether only few can fit."""
    names = {"id": query.id, "external_id": query.external_id, "business_key": query.business_key}
    values: dict[str, Any] = {f"named_{name}": value for name, value in names.items() if value is not None}
    either = [f"{name} = :named_{name}" for name in names if f"named_{name}" in values]
    either = [f"({part} AND {_HAS_KEY})" if part.startswith("business_key") else part for part in either]
    if query.prefix is not None:
        part, values, is_few = await build_prefix_search(session, query.prefix, either, values)
        return [f"({part})"], values, is_few
    return [f"({' OR '.join(either)})"] if either else [], values, bool(either)


def _escape_like(text: str) -> str:
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")


def _list_json_spellings(value: str | float | bool | None) -> list[str]:
    """Return the JSON texts by which a value may be stored."""
    spelled: Any = value
    sources = []
    if isinstance(value, str):
        sources = [orjson.dumps(value).decode()]
        try:
            spelled = orjson.loads(value)
        except orjson.JSONDecodeError:
            return sources
        if isinstance(spelled, str | list | dict):
            return sources
    sources.append(orjson.dumps(spelled).decode())
    if not isinstance(spelled, bool | None) and abs(spelled) < 2**53 and spelled == int(spelled):
        sources += [str(int(spelled)), f"{int(spelled)}.0"]
    return list(dict.fromkeys(sources))


def _find_faults(query: SearchQuery) -> Iterator[tuple[str, str]]:
    """Yield each field that cannot be looked for, and why."""
    for name in _IDS:
        yield from _check_number(name, getattr(query, name), 1, MAX_INTEGER)
    for name in (f"{column}_{end}" for column in _TIMES for end in ("from", "to")):
        yield from _check_number(name, getattr(query, name), -MAX_INTEGER, MAX_INTEGER)
    yield from _check_number("limit", query.limit, 1, MAX_ROWS)
    yield from _check_number("scan_limit", query.scan_limit, 1, MAX_INTEGER)
    yield from _check_number("offset", query.offset, 0, MAX_OFFSET)
    for name in _NAMES:
        yield from _check_text(name, getattr(query, name), MAX_IDENTIFIER_LENGTH)
    yield from _check_text("reason_contains", query.reason_contains, MAX_SEARCHED_TEXT_LENGTH)
    if unknown := [one for one in query.statuses if one not in list(Status)]:
        yield "status", f"{unknown[0][:MAX_IDENTIFIER_LENGTH]!r} is none of {', '.join(Status)}"
    if query.order_by not in get_args(SortKey):
        yield "order_by", f"{str(query.order_by)[:MAX_IDENTIFIER_LENGTH]!r} is none of {', '.join(get_args(SortKey))}"
    elif query.cursor is not None:
        yield from _check_cursor(query)
    yield from _check_variables(query.variables)


def _check_number(name: str, value: int | None, low: int, high: int) -> Iterator[tuple[str, str]]:
    if value is not None and not (isinstance(value, int) and low <= value <= high):
        yield name, f"has to be a whole number from {low:,} to {high:,}"


def _check_text(name: str, text: str | None, length: int) -> Iterator[tuple[str, str]]:
    if text is None:
        return
    if not isinstance(text, str) or not 1 <= len(text) <= length:
        yield name, f"has to be a text of 1 to {length:,} characters; leave it out for any"
    elif fault := find_text_fault(text):
        yield name, fault


def _check_cursor(query: SearchQuery) -> Iterator[tuple[str, str]]:
    if query.offset:
        yield "offset", "cannot be combined with a cursor: leave out one of the two"
    try:
        decode_cursor(str(query.cursor), query.order)
    except ValueError as error:
        yield "cursor", str(error)


def _check_variables(variables: Sequence[VariableFilter]) -> Iterator[tuple[str, str]]:
    if len(variables) > MAX_VARIABLES:
        yield "variables", f"are {len(variables)}, and at most {MAX_VARIABLES} can be looked for"
    for place, variable in enumerate(variables[:MAX_VARIABLES]):
        yield from _check_text(f"variables.{place}.name", variable.name, MAX_IDENTIFIER_LENGTH)
        if any(letter in '"\\' or letter < " " for letter in str(variable.name)):
            yield f"variables.{place}.name", "has a quote, a backslash or a control character: it cannot be looked for"
        value = variable.value
        if isinstance(value, str) and value:
            yield from _check_text(f"variables.{place}.value", value, MAX_SEARCHED_TEXT_LENGTH)
        elif not isinstance(value, str | int | float | None) or (isinstance(value, float) and not math.isfinite(value)):
            yield f"variables.{place}.value", "has to be a text, a number, true, false or null"
        elif isinstance(value, int) and not -MAX_INTEGER <= value <= MAX_INTEGER:
            yield f"variables.{place}.value", f"has to be a number from {-MAX_INTEGER:,} to {MAX_INTEGER:,}"
