"""A search query: the conditions, the order and the page, checked when it is made."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from flowlet.errors import SearchError
from flowlet.instance.instance import Instance, Status
from flowlet.instance.json_text import find_json_faults, parse_outside_json
from flowlet.store.search.cursor import decode_cursor
from flowlet.text import MAX_IDENTIFIER_LENGTH, MAX_INTEGER, find_text_fault

__all__ = [
    "MAX_COUNTED",
    "TIME_COLUMNS",
    "SearchQuery",
    "SearchResult",
    "SortKey",
    "VariableFilter",
    "parse_variable_filter",
]

SortKey: TypeAlias = Literal["id", "created", "modified", "next_activation"]
"""The sort keys; instances without a next activation come last in either direction."""

MAX_COUNTED = 10_000
"""Up to how many matching instances are counted."""

MAX_ROWS, MAX_OFFSET, MAX_VARIABLES = 1_000, 10_000, 5
MAX_SEARCHED_TEXT_LENGTH = 2_000

CONTAINS = "~"
SIGNS = ("<=", ">=", "<", ">", CONTAINS)
"""The ends of names that compare; the longer ones first."""
_CONDITION = re.compile(r"([^=<>~]*)(<=|>=|=|<|>|~)(.*)", re.DOTALL)
MAX_PATH_PARTS = 31
"""MariaDB reads no longer path."""
_NO_PART = re.compile(r"-.*|[\s+]+\d+", re.DOTALL)
"""What is no part of a path: PostgreSQL would read a signed number as a position, and MariaDB reads no minus there."""
_IDS = ("id", "parent_id")
_NAMES = ("external_id", "business_key", "prefix", "workflow_type", "state", "executor_group", "fingerprint")
TIME_COLUMNS = ("created", "modified", "next_activation")


@dataclass(frozen=True, slots=True)
class VariableFilter:
    """The condition that a variable has a value, or that a value within it has: ``reviewer.limit``, ``items.0.sku``.

    A name that ends in ``<``, ``<=``, ``>`` or ``>=`` is a range: of numbers if the value is one, or spells one, else
    of texts, by code points, such as dates. One that ends in ``~`` means a text that contains the given one, in upper
    or lower case. A name with a dot may also be that of a variable which has the dot in its name. A text matches the
    same text, and also the number, true, false or null that it spells, because that is how people type one. Any other
    value matches itself. A whole number matches 3 as well as 3.0.
    """

    name: str
    value: str | float | bool | None

    @property
    def sign(self) -> str:
        """How the value is compared: ``<``, ``<=``, ``>``, ``>=``, ``~``; "" if it has to be equal."""
        return next((sign for sign in SIGNS if self.name.endswith(sign)), "")

    @property
    def bound(self) -> float | None:
        """The bound of a range of numbers, which a text may spell; None for a range of texts."""
        value: Any = self.value
        if isinstance(value, str):
            try:
                value, faults = parse_outside_json(value)
            except ValueError:
                return None
            value = None if faults else value
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    @property
    def typed_name(self) -> str:
        """The name without what compares."""
        return self.name.removesuffix(self.sign).rstrip() if self.sign else self.name

    @property
    def description(self) -> str:
        """What is compared, in words, such as "the numbers in the variable amount"."""
        name = " or ".join(" → ".join(path) for path in self.paths)
        if self.sign == CONTAINS:
            return f"a part of the text, in any case, in the variable {name}"
        if self.sign:
            kind = "the numbers" if self.bound is not None else "the texts, character by character,"
            return f"{kind} in the variable {name}"
        return f"the whole value of the variable {name}"

    @property
    def paths(self) -> tuple[tuple[str, ...], ...]:
        """The paths that the name may mean: the name itself, and its parts between the dots."""
        name = self.typed_name
        parts = tuple(name.split("."))
        is_path = 1 < len(parts) <= MAX_PATH_PARTS and all(parts) and not any(map(_NO_PART.fullmatch, parts[1:]))
        return ((name,), parts) if is_path else ((name,),)


def parse_variable_filter(text: str) -> VariableFilter | None:
    """Return the condition of a text such as ``amount=3``, ``due >= 2026-11-24`` or ``name~glass``; None for none."""
    found = _CONDITION.fullmatch(text)
    if found is None:
        return None
    name, sign, value = found[1].strip(), "" if found[2] == "=" else found[2], found[3].strip()
    return VariableFilter(f"{name}{sign}", value) if name else None


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
        elif str(variable.name).startswith("-"):
            yield f"variables.{place}.name", "begins with a minus: a search cannot find it"
        value = variable.value
        if variable.sign == CONTAINS and not (isinstance(value, str) and value and any(variable.paths[0])):
            yield f"variables.{place}.value", "has to be a name and a text, which the variable is to contain"
        elif variable.sign and (isinstance(value, bool | None) or not any(path[0] for path in variable.paths)):
            yield f"variables.{place}.value", "has to be a name and a number or a text, to compare with"
        elif isinstance(value, str) and value:
            yield from _check_text(f"variables.{place}.value", value, MAX_SEARCHED_TEXT_LENGTH)
        elif not isinstance(value, str | int | float | None) or (isinstance(value, float) and not math.isfinite(value)):
            yield f"variables.{place}.value", "has to be a text, a number, true, false or null"
        elif isinstance(value, int) and (faults := find_json_faults(value)):
            yield f"variables.{place}.value", faults[""]
