"""The filters of the workflow list in its URL: reading, validating and writing them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from flowlet.clock import is_calendar_time, to_datetime, to_microseconds
from flowlet.errors import SearchError
from flowlet.instance.fingerprint import extract_message
from flowlet.instance.instance import ENDED_STATUSES, Instance
from flowlet.store.search.query import SearchQuery, SortKey, VariableFilter
from flowlet.text import clean_text, parse_number

__all__ = ["LABELS", "Filters", "read_filters"]

TIME_FIELDS = ("created_from", "created_to", "modified_from", "modified_to")
LABELS = {
    "q": "Search",
    "type": "Type",
    "status": "Status",
    "state": "State",
    "group": "Group",
    "parent": "Child of",
    "created_from": "Created from",
    "created_to": "Created before",
    "modified_from": "Modified from",
    "modified_to": "Modified before",
    "retrying": "Retrying",
    "gated": "Waits for a version",
    "error": "Error",
    "reason": "Reason contains",
    "variable": "Variable",
}
"""The label of every filter by its name in the URL, in the order of the chips."""
ORDERS: Mapping[str, SortKey] = {"id": "id", "created": "created", "modified": "modified", "next": "next_activation"}
SORTS = [f"{sign}{name}" for name in ORDERS for sign in ("-", "")]
"""The sort orders by their names in the URL; a minus means descending."""

MAX_CHIP_LENGTH = 60
_FIELD_NAMES = {
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


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters of a URL.

    Attributes:
        raw_values: The values of each field that is not empty, unparsed.
        faults: The fault of each field, by its name in the URL.
        query: The search query; None if there are faults.
        message: The message of the error with the fingerprint in the URL; "" if it is unknown.
    """

    raw_values: Mapping[str, tuple[str, ...]]
    faults: Mapping[str, str]
    query: SearchQuery | None
    message: str = ""

    @property
    def valid_query(self) -> SearchQuery:
        """The search query.

        Raises:
            SearchError: If there are faults.
        """
        if self.query is None:
            raise SearchError(dict(self.faults))
        return self.query

    @property
    def is_empty(self) -> bool:
        """Whether no filter is set, so that it means every workflow."""
        return not any(name in LABELS for name in self.raw_values)

    @property
    def statuses(self) -> tuple[str, ...]:
        """The selected statuses."""
        return self.raw_values.get("status", ())

    @property
    def sort(self) -> str:
        """The name of the sort order in the URL."""
        return self.get_value("sort") or "-id"

    @property
    def chips(self) -> list[tuple[str, str]]:
        """The active filters, each with the URL without it."""
        return [
            (
                _format_chip(name, self.message or value if name == "error" else value),
                self.build_url(excluded_pair=(name, value)),
            )
            for name in LABELS
            for value in self.raw_values.get(name, ())
        ]

    def with_error_message(self, found: Sequence[Instance]) -> Filters:
        """Return the same filters with the message of their error, taken from one of the found instances."""
        return replace(self, message=extract_message(found[0].reason)) if found and "error" in self.raw_values else self

    def get_value(self, name: str) -> str:
        """Return the value of a field; "" if there is none."""
        return self.raw_values.get(name, ("",))[0]

    def format_time(self, name: str) -> str:
        """Return a time in the format of a browser's time field; unchanged if there are faults."""
        at: int | None = getattr(self.query, name) if self.query else None
        return self.get_value(name) if at is None else to_datetime(at).replace(tzinfo=None).isoformat()

    def list_pairs(self, *excluded_names: str) -> list[tuple[str, str]]:
        """Return all names and values of the URL, without some names, and without the cursor."""
        kept = [name for name in (*LABELS, "sort") if name not in excluded_names]
        return [(name, value) for name in kept for value in self.raw_values.get(name, ())]

    def build_url(
        self, path: str = "/workflows", *, excluded_pair: tuple[str, str] = ("", ""), **replacements: str
    ) -> str:
        """Return the URL with the same filters.

        Args:
            path: The page's path.
            excluded_pair: A name and a value to leave out.
            replacements: Fields that replace the existing ones.
        """
        pairs = [pair for pair in self.list_pairs(*replacements) if pair != excluded_pair]
        query = urlencode([*pairs, *replacements.items()])
        return f"{path}?{query}" if query else path

    def build_sort_url(self, name: str) -> str:
        """Return the URL sorted by a column; in the opposite direction if it is already sorted by it."""
        first = name if name == "next" else f"-{name}"
        other = f"-{name}" if name == "next" else name
        return self.build_url(sort=other if self.sort == first else first)

    def get_sort_direction(self, name: str) -> str | None:
        """Return how a column is sorted: "ascending", "descending", or None if another column is."""
        return {name: "ascending", f"-{name}": "descending"}.get(self.sort)


def read_filters(pairs: Iterable[tuple[str, str]], **query_fields: Any) -> Filters:
    """Return the filters of a URL.

    A value that is empty or only white space is no filter: browsers send every field of a form. Unknown fields are
    ignored: mail programs, for example, add tracking parameters to links.

    Args:
        pairs: The fields of the URL, in their order.
        query_fields: Further fields of the query.
    """
    given: dict[str, tuple[str, ...]] = {}
    for name, value in pairs:
        text = value.strip()
        if text and name in (*LABELS, "sort", "cursor") and text not in given.get(name, ()):
            given[name] = (*given.get(name, ()), text)
    faults = {name: "Given more than once" for name, values in given.items() if len(values) > 1 and name != "status"}
    fields: dict[str, Any] = {}
    for name, values in given.items():
        try:
            fields |= _read_field(name, values)
        except ValueError as error:
            faults.setdefault(name, str(error))
    if ENDED_STATUSES.intersection(given.get("status", ())):
        fields.pop("has_next", None)
    try:
        query = SearchQuery(**{**fields, **query_fields})
    except SearchError as error:
        found = {_FIELD_NAMES.get(path.partition(".")[0], path): fault for path, fault in error.faults.items()}
        return Filters(given, {**found, **faults}, None)
    return Filters(given, faults, None if faults else query)


def _read_field(name: str, values: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields of a query for one field of the URL.

    Raises:
        ValueError: If the value cannot be parsed; the message says why.
    """
    if name == "status":
        return {"status": values}
    if name in _PARSERS:
        return _PARSERS[name](values[0])
    columns = {other: column for column, other in _FIELD_NAMES.items()}
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
    name, sign, value = text.partition("=")
    if not sign or not name.strip():
        raise ValueError("Enter name=value, e.g. amount=3")
    return {"variables": (VariableFilter(name.strip(), value.strip()),)}


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
        at = datetime.fromisoformat(text)
        found = to_microseconds(at if at.tzinfo else at.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise ValueError(_TIME_FAULT) from None
    if not is_calendar_time(found):
        raise ValueError(_TIME_FAULT)
    return found


def _format_chip(name: str, value: str) -> str:
    if name == "retrying" and value in ("true", "false"):
        return "Retrying" if value == "true" else "Not retrying"
    if name == "gated" and value in ("true", "false"):
        return "Waits for another version" if value == "true" else "Does not wait for another version"
    if name == "status":
        return value.replace("_", " ").capitalize()
    return clean_text(
        f"{LABELS[name]}: {value if len(value) <= MAX_CHIP_LENGTH else value[: MAX_CHIP_LENGTH - 1] + '…'}"
    )
