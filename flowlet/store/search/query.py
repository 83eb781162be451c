"""A search query: the conditions, the order and the page, checked when it is made."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from flowlet.errors import SearchError
from flowlet.instance.instance import Instance, Status
from flowlet.instance.json_text import find_json_faults
from flowlet.store.search.cursor import decode_cursor
from flowlet.text import MAX_IDENTIFIER_LENGTH, MAX_INTEGER, find_text_fault

__all__ = ["MAX_COUNTED", "TIME_COLUMNS", "SearchQuery", "SearchResult", "SortKey", "VariableFilter"]

SortKey: TypeAlias = Literal["id", "created", "modified", "next_activation"]
"""The sort keys; instances without a next activation come last in either direction."""

MAX_COUNTED = 10_000
"""Up to how many matching instances are counted."""

MAX_ROWS, MAX_OFFSET, MAX_VARIABLES = 1_000, 10_000, 5
MAX_SEARCHED_TEXT_LENGTH = 2_000

_IDS = ("id", "parent_id")
_NAMES = ("external_id", "business_key", "prefix", "workflow_type", "state", "executor_group", "fingerprint")
TIME_COLUMNS = ("created", "modified", "next_activation")


@dataclass(frozen=True, slots=True)
class VariableFilter:
    """The condition that a top-level variable has a value.

    A text matches the same text, and also the number, true, false or null that it spells, because that is how people
    type one. Any other value matches itself. A whole number matches 3 as well as 3.0.
    """

    name: str
    value: str | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchQuery:
    """A search for instances. ``id``, the names and ``prefix`` are joined by OR, everything else by AND.

    None, and an empty collection, mean no condition. Times are microseconds since 1970 UTC, from the first one
    inclusive to the second one exclusive.

    Attributes:
        prefix: The beginning of the external id or the business key; upper and lower case differ.
        status: One status or several.
        is_retrying: Whether an attempt has failed and another one follows.
        waits_for_version: Whether an executor's version of the workflow could not run it, and it waits for another one.
        fingerprint: The fingerprint of an error group: instances whose last attempt failed with this error.
        reason_contains: A part of the reason, in upper or lower case; at most 2,000 characters.
        variables: At most 5.
        has_next: Only instances that have a next activation or a deadline; paused ones do not.
        order_by: The sort key; to read every instance once, sort by ``id`` or ``created``, which never change.
        limit: How many instances at most, 1 to 1,000.
        offset: How many to skip, 0 to 10,000; a cursor has no limit, and costs the same on every page.
        cursor: The ``next_cursor`` of the page before, with the same filters and order.
        scan_limit: How many instances, from the beginning of the page, are scanned where no index finds the matches;
            None for all.

    Raises:
        SearchError: If a value is not allowed; the error names each one.
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
    waits_for_version: bool | None = None
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
        """Check every value."""
        if faults := dict(_find_faults(self)):
            raise SearchError(faults)

    @property
    def statuses(self) -> tuple[str, ...]:
        """The statuses, one of which has to match; empty for any."""
        given = (self.status,) if isinstance(self.status, str) else self.status or ()
        return tuple(str(one) for one in given)

    @property
    def order(self) -> str:
        """The order's name with its direction, as in a cursor."""
        return self.order_by if self.descending else f"{self.order_by}+"


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A page of instances.

    Attributes:
        instances: In the order of the query.
        total: How many instances match on all pages together.
        total_is_at_least: Whether there may be more: beyond 10,000, or the scan limit, they are not counted.
        next_cursor: The cursor of the next page, or of the instances beyond the scan limit; None if there are none.
        is_cut: Whether more instances may match beyond the scan limit.
    """

    instances: tuple[Instance, ...]
    total: int
    total_is_at_least: bool
    next_cursor: str | None
    is_cut: bool = False


def _find_faults(query: SearchQuery) -> Iterator[tuple[str, str]]:
    """Yield each field whose value is not allowed, and why."""
    for name in _IDS:
        yield from _check_number(name, getattr(query, name), 1, MAX_INTEGER)
    for name in (f"{column}_{end}" for column in TIME_COLUMNS for end in ("from", "to")):
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
        yield "variables", f"has {len(variables)} conditions, and at most {MAX_VARIABLES} are allowed"
    for place, variable in enumerate(variables[:MAX_VARIABLES]):
        yield from _check_text(f"variables.{place}.name", variable.name, MAX_IDENTIFIER_LENGTH)
        if any(letter in '"\\' or letter < " " for letter in str(variable.name)):
            yield f"variables.{place}.name", "has a quote, a backslash or a control character: a search cannot find it"
        value = variable.value
        if isinstance(value, str) and value:
            yield from _check_text(f"variables.{place}.value", value, MAX_SEARCHED_TEXT_LENGTH)
        elif not isinstance(value, str | int | float | None) or (isinstance(value, float) and not math.isfinite(value)):
            yield f"variables.{place}.value", "has to be a text, a number, true, false or null"
        elif isinstance(value, int) and (faults := find_json_faults(value)):
            yield f"variables.{place}.value", faults[""]
