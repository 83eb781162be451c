"""The names of variables: those suggested for a filter, and the spelling that a typed one has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

from flowlet.web.console.definition_rows import build_variable_rows
from flowlet.web.console.lists.filters import Filters
from flowlet.web.services import get_services

__all__ = ["correct_variable_name", "list_variable_names"]

MAX_SUGGESTIONS = 200
"""How many names of variables are suggested."""


def list_variable_names(type: str) -> list[str]:
    """Return the paths of a workflow's variables, without those within lists; none if it is not loaded here."""
    paths = [".".join(path) for path in _list_model_paths(type)] if type else []
    return [path for path in paths if "[]" not in path and "*" not in path][:MAX_SUGGESTIONS]


async def correct_variable_name(filters: Filters) -> Filters:
    """Return the filters with the name of their variable in the upper and lower case in which a variable has it.

    A name that the type's model has, or one of the newest workflows, stays as it was typed. So does one that neither
    has in any case. Of several spellings the most frequent one is taken.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    if filters.query is None or not filters.query.variables:
        return filters
    name, type = filters.query.variables[0].typed_name, filters.get_value("type")
    found = Counter(_iterate_model_spellings(name, _list_model_paths(type)))
    if name not in found:
        for document in await get_services().store.queries.sample_variables(type or None):
            found.update(_iterate_document_spellings(name, document))
    spelling = name if name in found or not found else found.most_common(1)[0][0]
    return filters if spelling == name else filters.with_variable_name(spelling)


def _list_model_paths(type: str) -> list[tuple[str, ...]]:
    """Return the paths of the models of a type, or of all loaded ones for ""."""
    registry = get_services().registry
    definitions = [registry.find_definition(type)] if type else registry.definitions
    return [path for one in definitions if one is not None and one.vars for path in _read_model_paths(one.vars)]


@lru_cache(maxsize=500)
def _read_model_paths(model: type[BaseModel]) -> tuple[tuple[str, ...], ...]:
    """Return the paths of a model; ``[]`` is a position in a list, and ``*`` any name."""
    rows = build_variable_rows(model.model_json_schema())
    return tuple(tuple(row.path.replace("[]", ".[]").split(".")) for row in rows)


def _iterate_model_spellings(name: str, paths: Sequence[Sequence[str]]) -> Iterator[str]:
    typed = name.split(".")
    for path in paths:
        if len(path) == len(typed) and all(map(_is_part, path, typed)):
            yield ".".join(own if part in ("[]", "*") else part for part, own in zip(path, typed, strict=True))


def _is_part(part: str, typed: str) -> bool:
    return (typed.isdigit() if part == "[]" else part == "*") or part.casefold() == typed.casefold()


def _iterate_document_spellings(name: str, document: Any) -> Iterator[str]:
    yield from _iterate_paths((name,), document)
    if "." in name:
        yield from _iterate_paths(tuple(name.split(".")), document)


def _iterate_paths(typed: tuple[str, ...], value: Any) -> Iterator[str]:
    """Yield the paths within a value that differ from the typed one in upper and lower case at most."""
    first, rest = typed[0], typed[1:]
    inner: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        inner = [(key, one) for key, one in value.items() if key.casefold() == first.casefold()]
    elif isinstance(value, list) and first.isascii() and first.isdigit() and int(first) < len(value):
        inner = [(first, value[int(first)])]
    for key, one in inner:
        if not rest:
            yield key
        else:
            yield from (f"{key}.{path}" for path in _iterate_paths(rest, one))
