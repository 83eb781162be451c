"""The address of the workflow list: the filters, the order and the columns that its query string holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from flowlet.errors import SearchError, UserError
from flowlet.instance.instance import ENDED_STATUSES
from flowlet.operations.views.columns import DEFAULT_COLUMNS, ListColumn, build_columns
from flowlet.operations.views.filter_values import FIELD_NAMES, read_field
from flowlet.store.search.query import SearchQuery
from flowlet.text import escape_control_characters, find_text_fault, format_suggestion

__all__ = [
    "COLUMN_FIELD",
    "LABELS",
    "LIST_FIELDS",
    "MAX_ADDRESS_LENGTH",
    "VIEW_FIELD",
    "ListAddress",
    "read_list_address",
    "read_view_address",
]

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
"""The label of every filter by its name in the address, in the order of the chips."""
COLUMN_FIELD = "column"
"""The name of a chosen column in the address; each column is a field."""
VIEW_FIELD = "view"
"""The name of the saved view that an address began as."""
_REPEATED_FIELDS = ("status", COLUMN_FIELD)
_VIEW_FIELDS = (*LABELS, "sort", COLUMN_FIELD)
"""What a view holds, in the order of its address."""
LIST_FIELDS = (*_VIEW_FIELDS, "cursor", VIEW_FIELD)
"""The fields that the list reads; it ignores any other one."""

MAX_ADDRESS_LENGTH = 1_900
"""How many characters the address of a view has at most: with its page, a redirect and a login still lead to it."""
_MAX_FIELDS, _MAX_SHOWN = 200, 80


@dataclass(frozen=True, slots=True)
class ListAddress:
    """What an address of the list means.

    Attributes:
        raw_values: The values of each field that is not empty, unparsed.
        faults: The fault of each field, by its name in the address.
        query: The search query; None if there are faults.
        columns: The columns of the list.
    """

    raw_values: Mapping[str, tuple[str, ...]]
    faults: Mapping[str, str]
    query: SearchQuery | None
    columns: tuple[ListColumn, ...] = DEFAULT_COLUMNS

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
    def text(self) -> str:
        """The query string of the filters, the order and the columns, each field in its place."""
        return urlencode([(name, value) for name in _VIEW_FIELDS for value in self.raw_values.get(name, ())])


def read_list_address(pairs: Iterable[tuple[str, str]], **query_fields: Any) -> ListAddress:
    """Return what the fields of an address mean.

    A value that is empty or only white space is no filter: browsers send every field of a form. Unknown fields are
    ignored: mail programs, for example, add tracking parameters to links.

    Args:
        pairs: The fields, in their order.
        query_fields: Further fields of the query.
    """
    given: dict[str, tuple[str, ...]] = {}
    for name, value in pairs:
        text = value.strip()
        if text and name in LIST_FIELDS and text not in given.get(name, ()):
            given[name] = (*given.get(name, ()), text)
    several = [name for name, values in given.items() if len(values) > 1 and name not in _REPEATED_FIELDS]
    faults = dict.fromkeys(several, "Given more than once")
    columns: tuple[ListColumn, ...] = DEFAULT_COLUMNS
    try:
        columns = build_columns(given[COLUMN_FIELD]) if COLUMN_FIELD in given else columns
    except ValueError as error:
        faults[COLUMN_FIELD] = str(error)
    fields: dict[str, Any] = {}
    for name, values in given.items():
        if name in (COLUMN_FIELD, VIEW_FIELD):
            continue
        try:
            fields |= read_field(name, values)
        except ValueError as error:
            faults.setdefault(name, str(error))
    if ENDED_STATUSES.intersection(given.get("status", ())):
        fields.pop("has_next", None)
    try:
        query = SearchQuery(**{**fields, **query_fields})
    except SearchError as error:
        found = {FIELD_NAMES.get(path.partition(".")[0], path): fault for path, fault in error.faults.items()}
        return ListAddress(given, {**found, **faults}, None, columns)
    return ListAddress(given, faults, None if faults else query, columns)


def read_view_address(text: str) -> ListAddress:
    """Return what the address of a view means: as that of the list, but every field has to be understood.

    Args:
        text: A query string, such as ``status=FAILED&sort=-modified``; the whole address of a list is accepted too.
            The page and the view in it are left out.

    Raises:
        UserError: If it is too long, or a field is unknown or has a fault; the message names each one.
    """
    query_string = text.partition("?")[2] if "?" in text.partition("=")[0] else text
    try:
        pairs = parse_qsl(query_string, keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise UserError("the address is not a query string such as status=FAILED&sort=-modified.") from None
    found = read_list_address(pair for pair in pairs if pair[0] not in ("cursor", VIEW_FIELD))
    faults = dict(_find_unknown_fields(pairs)) | dict(found.faults)
    if not faults and len(found.text) > MAX_ADDRESS_LENGTH:
        raise UserError(f"the address has {len(found.text):,} characters; the limit is {MAX_ADDRESS_LENGTH:,}.")
    if faults:
        shown = "; ".join(f"{escape_control_characters(name[:_MAX_SHOWN])}: {fault}" for name, fault in faults.items())
        raise UserError(f"the address has faults: {shown}.")
    return found


def _find_unknown_fields(pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for name, value in pairs:
        if name not in LIST_FIELDS:
            yield name, f"is no filter.{format_suggestion(name, _VIEW_FIELDS)} Known: {', '.join(_VIEW_FIELDS)}"
        elif fault := find_text_fault(value):
            yield name, fault
