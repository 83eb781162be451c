"""The values of the workflow list's filters in its URL, and the fields of a query that they mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from flowlet.clock import is_calendar_time, parse_time, to_microseconds
from flowlet.store.search.query import SortKey, parse_variable_filter
from flowlet.text import parse_number

__all__ = ["FIELD_NAMES", "read_field"]

TIME_FIELDS = ("created_from", "created_to", "modified_from", "modified_to")
ORDERS: Mapping[str, SortKey] = {"id": "id", "created": "created", "modified": "modified", "next": "next_activation"}
SORTS = [f"{sign}{name}" for name in ORDERS for sign in ("-", "")]
"""The sort orders by their names in the URL; a minus means descending."""

FIELD_NAMES = {
    "id": "q",
    "external_id": "q",
    "business_key": "q",
    "prefix": "q",
    "workflow_type": "type",
    "executor_group": "group",
    "parent_id": "parent",
    "fingerprint": "error",
    "reason_contains": "reason",
    "is_retrying": "retrying",
    "waits_for_version": "gated",
    "variables": "variable",
    "order_by": "sort",
}
"""Fields of a query with another name in the URL."""
_TIME_PATTERN = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?)?", re.ASCII)
_TIME_FAULT = "Enter a time such as 2026-11-24T12:00 (UTC)"


def read_field(name: str, values: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields of a query for one field of the URL.

    Raises:
        ValueError: If the value cannot be parsed; the message says why.
    """
    if name == "status":
        return {"status": values}
    if name in _PARSERS:
        return _PARSERS[name](values[0])
    columns = {other: column for column, other in FIELD_NAMES.items()}
    return {columns.get(name, name): _parse_time(values[0]) if name in TIME_FIELDS else values[0]}


def _parse_search(text: str) -> dict[str, Any]:
    id = _parse_id(text.removeprefix("#"))
    return {"prefix": text, **({"id": id} if id else {})}


def _parse_parent(text: str) -> dict[str, Any]:
    if (id := _parse_id(text.removeprefix("#"))) is None:
        raise ValueError("Enter the id of a workflow")
    return {"parent_id": id}


def _parse_retrying(text: str) -> dict[str, Any]:
    if text not in ("true", "false"):
        raise ValueError("Must be true or false")
    return {"is_retrying": text == "true"}


def _parse_gated(text: str) -> dict[str, Any]:
    if text not in ("true", "false"):
        raise ValueError("Must be true or false")
    return {"waits_for_version": text == "true"}


def _parse_variable(text: str) -> dict[str, Any]:
    variable = parse_variable_filter(text)
    if variable is None:
        raise ValueError("Enter name=value, e.g. amount=3, a range, amount>=100, or a part of a text, name~glass")
    return {"variables": (variable,)}


def _parse_sort(text: str) -> dict[str, Any]:
    if text not in SORTS:
        raise ValueError(f"Must be one of {', '.join(SORTS)}")
    order = ORDERS[text.removeprefix("-")]
    # Most of a million workflows have ended, and have no next activation to sort by.
    only = {"has_next": True} if order == "next_activation" else {}
    return {"order_by": order, "descending": text.startswith("-"), **only}


_PARSERS: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "q": _parse_search,
    "parent": _parse_parent,
    "retrying": _parse_retrying,
    "gated": _parse_gated,
    "variable": _parse_variable,
    "sort": _parse_sort,
}
"""The parsers of fields that are neither a text nor a time."""


def _parse_id(text: str) -> int | None:
    """Return the id in a text; None if there is none."""
    return parse_number(text) or None  # no id is 0


def _parse_time(text: str) -> int:
    if not _TIME_PATTERN.fullmatch(text):
        raise ValueError(_TIME_FAULT)
    try:
        found = to_microseconds(parse_time(text))
    except (ValueError, OverflowError):
        raise ValueError(_TIME_FAULT) from None
    if not is_calendar_time(found):
        raise ValueError(_TIME_FAULT)
    return found
