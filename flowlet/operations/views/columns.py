"""The columns of the workflow list: those that a user can choose, variables included, in an address and in a file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from flowlet.instance.json_text import write_json
from flowlet.text import find_text_fault

__all__ = [
    "COLUMNS",
    "DEFAULT_COLUMNS",
    "ListColumn",
    "build_columns",
    "decode_columns",
    "encode_columns",
    "find_variable",
    "format_variable",
    "name_variable_columns",
]

MAX_COLUMNS = 10
MAX_PATH_LENGTH = 100
MAX_SHOWN = 200
"""How many characters of a variable a row shows."""
MAX_COOKIE_LENGTH = 3_000
_VARIABLE_PREFIX = "vars."
_SEPARATOR = re.compile(r"\s*,\s*")


@dataclass(frozen=True, slots=True)
class ListColumn:
    """A column of the list. The workflow itself, its id and its keys, is always the first one and none of these.

    Attributes:
        name: Its name in an address, such as ``state`` or ``vars.customer.name``.
        label: Its header.
        fields: The fields of a file that have its values, by their names in the API.
        sort: The name of the sort order in an address; None if the list cannot be sorted by it.
        path: The variable's path; "" for any other column.
    """

    name: str
    label: str
    fields: tuple[str, ...]
    sort: str | None = None
    path: str = ""


_KNOWN = (
    ListColumn("type", "Type", ("workflowType",)),
    ListColumn("status", "Status", ("status",)),
    ListColumn("state", "State", ("state",)),
    ListColumn("next", "Next / reason", ("nextActivation", "retryCount", "reason"), "next"),
    ListColumn("modified", "Modified", ("modified",), "modified"),
    ListColumn("created", "Created", ("created",), "created"),
    ListColumn("ended", "Ended", ("ended",)),
    ListColumn("group", "Executor group", ("executorGroup",)),
    ListColumn("priority", "Priority", ("priority",)),
    ListColumn("parent", "Parent", ("parentId",)),
    ListColumn("created_by", "Created by", ("createdBy",)),
)
COLUMNS: Mapping[str, ListColumn] = {column.name: column for column in _KNOWN}
"""The columns that are no variables, by name, in their order."""
DEFAULT_COLUMNS = _KNOWN[:6]
"""The columns of a list for which none are chosen."""


def build_columns(names: Iterable[str]) -> tuple[ListColumn, ...]:
    """Return the columns of these names: those of variables last, each once.

    Raises:
        ValueError: If there is no such column, or there are more than 10; the message says so.
    """
    given = list(dict.fromkeys(names))
    if len(given) > MAX_COLUMNS:
        raise ValueError(f"Choose at most {MAX_COLUMNS} columns; these are {len(given)}")
    found = [column for name, column in COLUMNS.items() if name in given]
    return (*found, *(_build_variable_column(name) for name in given if name not in COLUMNS))


def name_variable_columns(text: str) -> list[str]:
    """Return the names of the columns of variables whose paths a user has typed, separated by commas."""
    return [f"{_VARIABLE_PREFIX}{path}" for path in _SEPARATOR.split(text.strip()) if path]


def encode_columns(columns: Sequence[ListColumn]) -> str:
    """Return the names of columns as a short text, for a cookie; "" if it would be too long for one."""
    text = ".".join(quote(column.name, safe="").replace(".", "%2E") for column in columns)
    return text if len(text) <= MAX_COOKIE_LENGTH else ""


def decode_columns(text: str) -> tuple[ListColumn, ...]:
    """Return the columns of such a text; none if it is malformed."""
    try:
        return build_columns(unquote(name, errors="strict") for name in text.split(".")) if text else ()
    except ValueError:
        return ()


def find_variable(values: Any, path: str) -> Any:
    """Return the value at a path; None if there is none.

    A name of the whole path goes before its parts, and one with exactly these letters before one in another case.
    """
    if isinstance(values, Mapping) and (name := _find_key(values, path)) is not None:
        return values[name]
    for part in path.split("."):
        if isinstance(values, Mapping) and (name := _find_key(values, part)) is not None:
            values = values[name]
        elif isinstance(values, list) and part.isascii() and part.isdigit() and int(part) < len(values):
            values = values[int(part)]
        else:
            return None
    return values


def format_variable(value: Any, *, limit: int | None = MAX_SHOWN) -> str:
    """Return a variable in a cell: a text as it is, anything else as JSON, "" for None; cut to ``limit`` characters."""
    text = "" if value is None else value if isinstance(value, str) else write_json(value)
    return text if limit is None or len(text) <= limit else f"{text[: limit - 1]}…"


def _find_key(values: Mapping[str, Any], name: str) -> str | None:
    if name in values:
        return name
    return next(_iterate_similar_keys(values, name), None)


def _iterate_similar_keys(values: Mapping[str, Any], name: str) -> Iterator[str]:
    folded = name.casefold()
    return (key for key in values if key.casefold() == folded)


def _build_variable_column(name: str) -> ListColumn:
    path = name.removeprefix(_VARIABLE_PREFIX)
    if path == name or not path:
        raise ValueError(f"There is no column {name[:MAX_PATH_LENGTH]!r}; one of a variable is vars.NAME")
    if len(path) > MAX_PATH_LENGTH:
        raise ValueError(f"The name of a variable has {len(path)} characters; the limit is {MAX_PATH_LENGTH}")
    if fault := find_text_fault(path):
        raise ValueError(f"The name of a variable {fault}")
    return ListColumn(name, path, (name,), path=path)
