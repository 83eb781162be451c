"""The filters of the workflow list in its URL: reading, validating and writing them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from flowlet.clock import to_datetime
from flowlet.errors import SearchError
from flowlet.instance.fingerprint import extract_message
from flowlet.instance.instance import Instance
from flowlet.operations.views.address import COLUMN_FIELD, LABELS, VIEW_FIELD, read_list_address
from flowlet.operations.views.columns import DEFAULT_COLUMNS, ListColumn
from flowlet.store.search.query import SearchQuery, VariableFilter
from flowlet.text import clean_text
from flowlet.web.forms import MAX_FIELDS
from flowlet.web.problems import ProblemError, build_faults_problem

__all__ = ["Filters", "parse_filter_pairs", "read_filters"]

MAX_CHIP_LENGTH = 60


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters of a URL.

    Attributes:
        raw_values: The values of each field that is not empty, unparsed.
        faults: The fault of each field, by its name in the URL.
        query: The search query; None if there are faults.
        message: The message of the error with the fingerprint in the URL; "" if it is unknown.
        columns: The columns of the list.
        mistyped_name: The name of the variable as it was typed, if the query has it in other upper and lower case.
    """

    raw_values: Mapping[str, tuple[str, ...]]
    faults: Mapping[str, str]
    query: SearchQuery | None
    message: str = ""
    columns: tuple[ListColumn, ...] = DEFAULT_COLUMNS
    mistyped_name: str = ""

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
    def has_columns(self) -> bool:
        """Whether columns are chosen, rather than those of every list."""
        return COLUMN_FIELD in self.raw_values

    @property
    def variable_paths(self) -> str:
        """The paths of the variables that have a column, separated by commas."""
        return ", ".join(column.path for column in self.columns if column.path)

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

    def with_view_fault(self, fault: str) -> Filters:
        """Return the same filters; with the fault of their saved view, if there is one, they search nothing."""
        return replace(self, faults={**self.faults, VIEW_FIELD: fault}, query=None) if fault else self

    def with_variable_name(self, name: str) -> Filters:
        """Return the same filters with another name of their variable; all addresses have this one from now on."""
        (variable,) = self.valid_query.variables
        renamed = VariableFilter(f"{name}{variable.sign}", variable.value)
        raw = {**self.raw_values, "variable": (f"{name}{variable.sign or '='}{variable.value}",)}
        query = replace(self.valid_query, variables=(renamed,))
        return replace(self, raw_values=raw, query=query, mistyped_name=variable.typed_name)

    @property
    def variable_name(self) -> str:
        """The name of the variable that is compared; "" without one."""
        return self.query.variables[0].typed_name if self.query and self.query.variables else ""

    @property
    def comparisons(self) -> list[str]:
        """What the filters on names and variables compare, in words: an empty result says so."""
        words = {
            "q": "the id, and the beginnings of the external id and the business key, in this upper and lower case",
            "reason": "a part of the reason, in any case",
            "state": "the present state, by each of its names",
        }
        found = [text for name, text in words.items() if name in self.raw_values]
        return found + [one.description for one in (self.query.variables if self.query else ())]

    @property
    def address(self) -> str:
        """The filters, the order and the columns, as a saved view holds them."""
        return urlencode(self.list_pairs(VIEW_FIELD))

    def get_value(self, name: str) -> str:
        """Return the value of a field; "" if there is none."""
        return self.raw_values.get(name, ("",))[0]

    def format_time(self, name: str) -> str:
        """Return a time in the format of a browser's time field; unchanged if there are faults."""
        at: int | None = getattr(self.query, name) if self.query else None
        return self.get_value(name) if at is None else to_datetime(at).replace(tzinfo=None).isoformat()

    def list_pairs(self, *excluded_names: str) -> list[tuple[str, str]]:
        """Return all names and values of the URL, columns included, without some names, and without the cursor."""
        kept = [name for name in (*LABELS, "sort", COLUMN_FIELD, VIEW_FIELD) if name not in excluded_names]
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
    found = read_list_address(pairs, **query_fields)
    return Filters(found.raw_values, found.faults, found.query, columns=found.columns)


def parse_filter_pairs(query_string: str) -> list[tuple[str, str]]:
    """Return the names and values of a query string that a form sends.

    Raises:
        ProblemError: 400 if it has more than 1,000 fields.
    """
    try:
        return parse_qsl(query_string, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise ProblemError(build_faults_problem({"filters": f"has more than {MAX_FIELDS:,} fields"})) from None


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
