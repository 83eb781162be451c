"""The filters of the page of workflows, as they stand in its address: read, found fault with, and written again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from flowlet.clock import microseconds, moment
from flowlet.errors import SearchError
from flowlet.fingerprints import message_of
from flowlet.instances import ENDED, Instance
from flowlet.store.cursor import LARGEST
from flowlet.store.search import Order, SearchQuery, Variable
from flowlet.texts import cleaned, number_in

__all__ = ["LABELS", "Filters", "read_filters"]

TIMES = ("created_from", "created_to", "modified_from", "modified_to")
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
    "error": "Error",
    "reason": "Reason contains",
    "variable": "Variable",
}
"""Every filter by its name in the address, in the order of its chips."""
ORDERS: Mapping[str, Order] = {"id": "id", "created": "created", "modified": "modified", "next": "next_activation"}
SORTS = [f"{sign}{name}" for name in ORDERS for sign in ("-", "")]
"""The orders by their names in the address; the ones with a minus begin with the last."""

CHIP_LENGTH = 60
_FIELDS = {
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
    "variables": "variable",
    "order_by": "sort",
}
"""Names of a query's fields that have another one in the address."""
_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?)?", re.ASCII)
_TIME_FAULT = "is not a time: write 2026-11-24T12:00, in UTC"


@dataclass(frozen=True, slots=True)
class Filters:
    """What an address asks for.

    Attributes:
        given: The values of each field that is not empty, as they were given.
        faults: What is wrong with a field, by its name in the address.
        query: What is looked for; None if there are faults.
        message: The error whose fingerprint is asked for; "" where it is not known.
    """

    given: Mapping[str, tuple[str, ...]]
    faults: Mapping[str, str]
    query: SearchQuery | None
    message: str = ""

    @property
    def wanted(self) -> SearchQuery:
        """What is looked for.

        Raises:
            SearchError: If there are faults.
        """
        if self.query is None:
            raise SearchError(dict(self.faults))
        return self.query

    @property
    def is_empty(self) -> bool:
        """Whether nothing narrows it: it stands for every workflow."""
        return not any(name in LABELS for name in self.given)

    @property
    def statuses(self) -> tuple[str, ...]:
        """The statuses that are asked for."""
        return self.given.get("status", ())

    @property
    def sort(self) -> str:
        """The order's name in the address."""
        return self.value("sort") or "-id"

    @property
    def chips(self) -> list[tuple[str, str]]:
        """What holds, each with the address without it."""
        return [
            (_chip(name, self.message or value if name == "error" else value), self.address(without=(name, value)))
            for name in LABELS
            for value in self.given.get(name, ())
        ]

    def naming(self, found: Sequence[Instance]) -> Filters:
        """Return the same filters, which tell an error by its message, as one of those that were found has it."""
        return replace(self, message=message_of(found[0].reason)) if found and "error" in self.given else self

    def value(self, name: str) -> str:
        """Return the value of a field; "" if there is none."""
        return self.given.get(name, ("",))[0]

    def shown(self, name: str) -> str:
        """Return the value of a time as a field of a browser takes it; as it was given if there is a fault."""
        at: int | None = getattr(self.query, name) if self.query else None
        return self.value(name) if at is None else moment(at).replace(tzinfo=None).isoformat()

    def pairs(self, *left_out: str) -> list[tuple[str, str]]:
        """Return all names and values that make the address, without some, and without the page."""
        kept = [name for name in (*LABELS, "sort") if name not in left_out]
        return [(name, value) for name in kept for value in self.given.get(name, ())]

    def address(self, path: str = "/workflows", *, without: tuple[str, str] = ("", ""), **more: str) -> str:
        """Return the address of the same filters.

        Args:
            path: Of which page.
            without: A name and a value that are left out.
            more: Fields that take the place of those that are given.
        """
        pairs = [pair for pair in self.pairs(*more) if pair != without]
        query = urlencode([*pairs, *more.items()])
        return f"{path}?{query}" if query else path

    def sorted_by(self, name: str) -> str:
        """Return the address in the order of a column: the other way round, where it is that one already."""
        first = name if name == "next" else f"-{name}"
        other = f"-{name}" if name == "next" else name
        return self.address(sort=other if self.sort == first else first)

    def direction(self, name: str) -> str | None:
        """Return how a column is sorted: "ascending", "descending", or None where another one is."""
        return {name: "ascending", f"-{name}": "descending"}.get(self.sort)


def read_filters(pairs: Iterable[tuple[str, str]], **more: Any) -> Filters:
    """Return the filters of an address.

    A value that is empty but for white space is no filter: browsers send every field of a form. What is no field of
    ours is left alone, as in a link that was tagged on its way.

    Args:
        pairs: Its fields, in their order.
        more: Further fields of the query.
    """
    given: dict[str, tuple[str, ...]] = {}
    for name, value in pairs:
        text = value.strip()
        if text and name in (*LABELS, "sort", "cursor") and text not in given.get(name, ()):
            given[name] = (*given.get(name, ()), text)
    faults = {name: "is given twice" for name, values in given.items() if len(values) > 1 and name != "status"}
    asked: dict[str, Any] = {}
    for name, values in given.items():
        try:
            asked |= _asked(name, values)
        except ValueError as error:
            faults.setdefault(name, str(error))
    if ENDED.intersection(given.get("status", ())):
        asked.pop("has_next", None)
    try:
        query = SearchQuery(**{**asked, **more})
    except SearchError as error:
        found = {_FIELDS.get(path.partition(".")[0], path): fault for path, fault in error.faults.items()}
        return Filters(given, {**found, **faults}, None)
    return Filters(given, faults, None if faults else query)


def _asked(name: str, values: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields of a query that one field of the address stands for.

    Raises:
        ValueError: If its value cannot be read; the message says why.
    """
    if name == "status":
        return {"status": values}
    if name in _READERS:
        return _READERS[name](values[0])
    columns = {other: column for column, other in _FIELDS.items()}
    return {columns.get(name, name): _time(values[0]) if name in TIMES else values[0]}


def _named(text: str) -> dict[str, Any]:
    id = _number(text.removeprefix("#"))
    return {"prefix": text, **({"id": id} if id else {})}


def _parent(text: str) -> dict[str, Any]:
    if (id := _number(text.removeprefix("#"))) is None:
        raise ValueError("is not the id of a workflow")
    return {"parent_id": id}


def _retrying(text: str) -> dict[str, Any]:
    if text not in ("true", "false"):
        raise ValueError("is neither true nor false")
    return {"is_retrying": text == "true"}


def _variable(text: str) -> dict[str, Any]:
    name, sign, value = text.partition("=")
    if not sign or not name.strip():
        raise ValueError("has to be a name and a value, as in amount=3")
    return {"variables": (Variable(name.strip(), value.strip()),)}


def _sort(text: str) -> dict[str, Any]:
    if text not in SORTS:
        raise ValueError(f"is none of {', '.join(SORTS)}")
    order = ORDERS[text.removeprefix("-")]
    # Of a million most have ended, and no next activation to be sorted by.
    only = {"has_next": True} if order == "next_activation" else {}
    return {"order_by": order, "descending": text.startswith("-"), **only}


_READERS: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "q": _named,
    "parent": _parent,
    "retrying": _retrying,
    "variable": _variable,
    "sort": _sort,
}
"""What reads a field that is more than a text or a time."""


def _number(text: str) -> int | None:
    """Return the id that a text is; None if it is none."""
    return number_in(text, most=LARGEST) or None  # no id is 0


def _time(text: str) -> int:
    if not _TIME.fullmatch(text):
        raise ValueError(_TIME_FAULT)
    try:
        at = datetime.fromisoformat(text)
        found = microseconds(at if at.tzinfo else at.replace(tzinfo=UTC))
        moment(found)  # in UTC it may lie outside of the years that there are
    except (ValueError, OverflowError):
        raise ValueError(_TIME_FAULT) from None
    return found


def _chip(name: str, value: str) -> str:
    if name == "retrying" and value in ("true", "false"):
        return "Retrying" if value == "true" else "Not retrying"
    if name == "status":
        return value.replace("_", " ").capitalize()
    return cleaned(f"{LABELS[name]}: {value if len(value) <= CHIP_LENGTH else value[: CHIP_LENGTH - 1] + '…'}")
