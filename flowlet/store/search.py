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
from flowlet.instances import Instance, Status
from flowlet.store.connection import Session, listed
from flowlet.store.cursor import LARGEST, cursor_at, read_cursor
from flowlet.store.prefixes import beginning
from flowlet.store.reach import EVERYTHING, Walk, window
from flowlet.store.rows import INSTANCE_COLUMNS, instance_from

__all__ = ["COUNTED", "Order", "SearchQuery", "SearchResult", "Variable", "search"]

Order: TypeAlias = Literal["id", "created", "modified", "next_activation"]
"""What instances are sorted by; those without a next activation come last in either direction."""

COUNTED = 10_000
"""Up to how many instances are counted."""

MOST_ROWS, FURTHEST_OFFSET, MOST_VARIABLES = 1_000, 10_000, 5
NAME_LENGTH, TEXT_LENGTH = 255, 2_000

_COLUMNS = ", ".join(INSTANCE_COLUMNS)
_IDS = ("id", "parent_id")
_NAMES = ("external_id", "business_key", "prefix", "workflow_type", "state", "executor_group", "fingerprint")
_TIMES = ("created", "modified", "next_activation")
_CLOSED = frozenset({Status.FINISHED, Status.CANCELLED})
# Without a part that says so in these words, no partial index is used: a database does not look into binds.
_HAS_KEY = "business_key <> ''"
_IN_STATUS_INDEX = "status NOT IN ('FINISHED', 'CANCELLED')"
_IS_CANCELLED = "status = 'CANCELLED'"
_RETRYING = "attempt > 0 AND status NOT IN ('FINISHED', 'FAILED', 'CANCELLED')"
_IS_SCHEDULED = "next_activation IS NOT NULL AND status IN ('NEW', 'IN_PROGRESS', 'WAITING')"


@dataclass(frozen=True, slots=True)
class Variable:
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
        reach: Among how many instances, from where the page begins, is looked for what no index tells; None for all.

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
    variables: Sequence[Variable] = ()
    has_next: bool = False
    order_by: Order = "id"
    descending: bool = True
    limit: int = 50
    offset: int = 0
    cursor: str | None = None
    reach: int | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be looked for."""
        if faults := dict(_faults(self)):
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


async def search(session: Session, query: SearchQuery) -> SearchResult:
    """Return a page of the instances that fit, and how many there are."""
    names, named, is_few = await _named(query, session)
    parts, values = _conditions(query, session)
    parts, values = [*names, *parts], {**named, **values}
    is_bounded = query.reach is not None and not is_few and not _is_narrow(query)
    seen = await window(session, _walk(query, query.cursor)) if is_bounded else EVERYTHING
    found = await _page(session, query, [*parts, *seen.parts], {**values, **seen.values})
    instances = tuple(found[: query.limit])
    has_more = len(found) > query.limit
    total, first = len(instances), seen
    if has_more or query.offset or query.cursor is not None:
        first = await window(session, _walk(query, None)) if is_bounded and query.cursor is not None else seen
        total = await _counted(session, [*parts, *first.parts], {**values, **first.values})
    last = cursor_at(query.order, _key_of(query, instances[-1]), instances[-1].id) if has_more else seen.further
    is_at_least = first.is_cut or total > COUNTED
    return SearchResult(instances, min(total, COUNTED), is_at_least, last, is_cut=seen.is_cut)


async def _page(session: Session, query: SearchQuery, page: list[str], values: dict[str, Any]) -> list[Instance]:
    """Return the instances of a page, and one more if there is one: that tells whether there is another page."""
    key = _sort_key(query)
    way, beyond = ("DESC", "<") if query.descending else ("ASC", ">")
    place = {**values, "row_limit": query.limit + 1, "row_offset": query.offset}
    if query.cursor is not None:
        place["after_key"], place["after_id"] = read_cursor(query.cursor, query.order)
        # The first comparison alone lets an index begin where the page does.
        page = [*page, f"{key} {beyond}= :after_key AND ({key} {beyond} :after_key OR id {beyond} :after_id)"]
    order = f"id {way}" if query.order_by == "id" else f"{key} {way}, id {way}"
    # Only ids are sorted, and whole rows read for a page of them: on SQLite 10 times as fast.
    ids = f"SELECT id AS found FROM workflow WHERE {_joined(page)} ORDER BY {order} LIMIT :row_limit OFFSET :row_offset"
    sql = f"SELECT {_COLUMNS} FROM workflow JOIN ({ids}) page ON id = found ORDER BY {order}"
    return [instance_from(row) for row in await session.rows(sql, place)]


def _walk(query: SearchQuery, cursor: str | None) -> Walk:
    """Return the walk of a query, from where a cursor says."""
    is_sorted = query.order_by in ("id", "created")
    return Walk(
        order=query.order,
        key=query.order_by,
        backward=query.descending or not is_sorted,
        start=read_cursor(cursor, query.order) if cursor is not None and is_sorted else None,
        workflow_type=query.workflow_type,
        created_from=query.created_from,
        created_to=query.created_to,
        reach=query.reach or COUNTED,
    )


def _is_narrow(query: SearchQuery) -> bool:
    """Return whether an index leads to what fits, or fits in the order of the answer: then the reach says nothing."""
    if query.parent_id is not None or query.fingerprint is not None or query.is_retrying or query.has_next:
        return True
    statuses = set(query.statuses)
    if statuses and (not _CLOSED & statuses or statuses == {Status.CANCELLED}):
        return True
    unindexed = (query.state, query.executor_group, query.reason_contains, query.prefix, query.variables or None)
    times = (getattr(query, f"{column}_{end}") for column in ("modified", "next_activation") for end in ("from", "to"))
    is_filtered = bool(statuses) or any(value is not None for value in (*unindexed, *times))
    return not is_filtered and query.order_by in ("id", "created")


async def _counted(session: Session, parts: Sequence[str], values: dict[str, Any]) -> int:
    # Counted no further than one beyond the limit: counting a million rows costs 100 ms and more.
    sql = f"SELECT COUNT(*) FROM (SELECT id FROM workflow WHERE {_joined(parts)} LIMIT :most) counted"
    ((total,),) = await session.rows(sql, {**values, "most": COUNTED + 1})
    return int(total)


def _joined(parts: Sequence[str]) -> str:
    return " AND ".join(parts) or "1 = 1"


def _sort_key(query: SearchQuery) -> str:
    """Return the SQL of the sort key; what has no next activation is last either way."""
    if query.order_by != "next_activation" or query.has_next:
        return query.order_by
    return f"COALESCE(next_activation, {_never(query)})"


def _never(query: SearchQuery) -> int:
    return -1 if query.descending else LARGEST


def _key_of(query: SearchQuery, instance: Instance) -> int:
    value: int | None = getattr(instance, query.order_by)
    return _never(query) if value is None else value


def _conditions(query: SearchQuery, session: Session) -> tuple[list[str], dict[str, Any]]:
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
    standing, more = _standing(query)
    parts += standing
    values |= more
    if query.reason_contains is not None:
        parts.append("LOWER(reason) LIKE LOWER(:reason) ESCAPE '!'")
        values["reason"] = f"%{_escaped(query.reason_contains)}%"
    for place, variable in enumerate(query.variables):
        part, more = _held(variable, session, f"variable_{place}")
        parts.append(part)
        values |= more
    return parts, values


def _standing(query: SearchQuery) -> tuple[list[str], dict[str, Any]]:
    """Return the conditions on the status, and on what only what is open has."""
    parts: list[str] = []
    values: dict[str, Any] = {}
    if statuses := query.statuses:
        binds, values = listed("status", statuses)
        parts.append(f"status IN ({binds})")
        parts += [] if _CLOSED.intersection(statuses) else [_IN_STATUS_INDEX]
        parts += [_IS_CANCELLED] if set(statuses) == {Status.CANCELLED} else []
    if query.is_retrying is not None:
        parts.append(_RETRYING if query.is_retrying else f"NOT ({_RETRYING})")
    if query.has_next:
        parts.append(_IS_SCHEDULED)
    return parts, values


def _held(variable: Variable, session: Session, bind: str) -> tuple[str, dict[str, Any]]:
    """Return the condition on a variable, and the values of its binds."""
    dialect, sources = session.dialect, _sources(variable.value)
    binds, values = listed(f"{bind}_value", sources)
    if not dialect.reads_json_slowly:
        return f"{dialect.variable(bind)} IN ({binds})", {bind: dialect.variable_path(variable.name), **values}
    # Variables are stored without spaces: a document that has this one holds this piece of text.
    spelled = [_escaped(f'"{variable.name}":{source}') for source in sources]
    texts = {f"{bind}_text_{place}": f"%{text}%" for place, text in enumerate(spelled)}
    either = " OR ".join(f"vars LIKE :{text} ESCAPE '!'" for text in texts)
    part = f"({either}) AND {dialect.variable(bind)} IN ({binds})"
    return part, {bind: dialect.variable_path(variable.name), **values, **texts}


async def _named(query: SearchQuery, session: Session) -> tuple[list[str], dict[str, Any], bool]:
    """Return the condition on what names an instance, one of which has to fit; its binds; whether only few can fit."""
    names = {"id": query.id, "external_id": query.external_id, "business_key": query.business_key}
    values: dict[str, Any] = {f"named_{name}": value for name, value in names.items() if value is not None}
    either = [f"{name} = :named_{name}" for name in names if f"named_{name}" in values]
    either = [f"({part} AND {_HAS_KEY})" if part.startswith("business_key") else part for part in either]
    if query.prefix is not None:
        part, values, is_few = await beginning(session, query.prefix, either, values)
        return [f"({part})"], values, is_few
    return [f"({' OR '.join(either)})"] if either else [], values, bool(either)


def _escaped(text: str) -> str:
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")


def _sources(value: str | float | bool | None) -> list[str]:
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


def _faults(query: SearchQuery) -> Iterator[tuple[str, str]]:
    """Yield each field that cannot be looked for, and why."""
    for name in _IDS:
        yield from _number_fault(name, getattr(query, name), 1, LARGEST)
    for name in (f"{column}_{end}" for column in _TIMES for end in ("from", "to")):
        yield from _number_fault(name, getattr(query, name), -LARGEST, LARGEST)
    yield from _number_fault("limit", query.limit, 1, MOST_ROWS)
    yield from _number_fault("reach", query.reach, 1, LARGEST)
    yield from _number_fault("offset", query.offset, 0, FURTHEST_OFFSET)
    for name in _NAMES:
        yield from _text_fault(name, getattr(query, name), NAME_LENGTH)
    yield from _text_fault("reason_contains", query.reason_contains, TEXT_LENGTH)
    if unknown := [one for one in query.statuses if one not in list(Status)]:
        yield "status", f"{unknown[0][:NAME_LENGTH]!r} is none of {', '.join(Status)}"
    if query.order_by not in get_args(Order):
        yield "order_by", f"{str(query.order_by)[:NAME_LENGTH]!r} is none of {', '.join(get_args(Order))}"
    elif query.cursor is not None:
        yield from _cursor_fault(query)
    yield from _variable_faults(query.variables)


def _number_fault(name: str, value: int | None, low: int, high: int) -> Iterator[tuple[str, str]]:
    if value is not None and not (isinstance(value, int) and low <= value <= high):
        yield name, f"has to be a whole number from {low:,} to {high:,}"


def _text_fault(name: str, text: str | None, length: int) -> Iterator[tuple[str, str]]:
    if text is None:
        return
    if not isinstance(text, str) or not 1 <= len(text) <= length:
        yield name, f"has to be a text of 1 to {length:,} characters; leave it out for any"
    elif "\x00" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        yield name, "has a character that no database can hold (NUL, or half of a surrogate pair)"


def _cursor_fault(query: SearchQuery) -> Iterator[tuple[str, str]]:
    if query.offset:
        yield "offset", "cannot be combined with a cursor: leave out one of the two"
    try:
        read_cursor(str(query.cursor), query.order)
    except ValueError as error:
        yield "cursor", str(error)


def _variable_faults(variables: Sequence[Variable]) -> Iterator[tuple[str, str]]:
    if len(variables) > MOST_VARIABLES:
        yield "variables", f"are {len(variables)}, and at most {MOST_VARIABLES} can be looked for"
    for place, variable in enumerate(variables[:MOST_VARIABLES]):
        yield from _text_fault(f"variables.{place}.name", variable.name, NAME_LENGTH)
        if any(letter in '"\\' or letter < " " for letter in str(variable.name)):
            yield f"variables.{place}.name", "has a quote, a backslash or a control character: it cannot be looked for"
        value = variable.value
        if isinstance(value, str) and value:
            yield from _text_fault(f"variables.{place}.value", value, TEXT_LENGTH)
        elif not isinstance(value, str | int | float | None) or (isinstance(value, float) and not math.isfinite(value)):
            yield f"variables.{place}.value", "has to be a text, a number, true, false or null"
        elif isinstance(value, int) and not -LARGEST <= value <= LARGEST:
            yield f"variables.{place}.value", f"has to be a number from {-LARGEST:,} to {LARGEST:,}"
