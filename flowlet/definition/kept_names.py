"""Names inside of stored variables that a model does not declare: another version of the workflow has written them.

A model object does not hold such names. They are remembered by the object that was read without them, and put back into
its JSON wherever a handler has moved it to; what replaces an object at its place, in a list only if that is as long as
before, gets them too. The names at the top of the variables need no object: see ``diff_variables``.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from pydantic import BaseModel, RootModel

from flowlet.definition.model_shape import get_names, list_object_fields

__all__ = ["KeptNames", "find_kept_names"]

_Path = tuple[str | tuple[int, int], ...]
"""Names in JSON, and the places in lists, each with the length of its list."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Kept:
    path: _Path
    owner: object
    """The object that the names belong to. As long as it is here, no other object has its id."""
    names: dict[str, Any]


class KeptNames:
    """The undeclared names of the objects in one instance's variables.

    Args:
        entries: One for each object that has such names.
    """

    __slots__ = ("_by_id", "_by_path")

    def __init__(self, entries: list[_Kept]) -> None:
        self._by_id = {id(entry.owner): entry for entry in entries}
        self._by_path = {entry.path: entry for entry in entries}

    def put_back(self, value: object, plain: dict[str, Any]) -> None:
        """Add the names to the JSON of the variables.

        Args:
            value: The variables as a handler or an edit left them.
            plain: Their JSON as plain values; it is changed.
        """
        replaced: dict[_Path, tuple[object, dict[str, Any]]] = {}
        placed: set[int] = set()
        for path, one, names in _walk_objects(value, plain):
            if entry := self._by_id.get(id(one)):
                _add_names(names, entry)
                placed.add(id(one))
            elif path in self._by_path:
                replaced[path] = one, names
        for path, entry in self._by_path.items():
            if path in replaced and id(entry.owner) not in placed:
                one, names = replaced[path]
                if type(one) is type(entry.owner):
                    _add_names(names, entry)

    def remove_unchanged(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return a copy of an edit's values without those of the names that are given as they are stored."""
        plain: dict[str, Any] = deepcopy(dict(values))
        for path, entry in self._by_path.items():
            target = _find_object(plain, path)
            for name, stored in entry.names.items():
                if target is not None and name in target and target[name] == stored:
                    del target[name]
        return plain


def find_kept_names(plain: dict[str, Any], value: BaseModel) -> KeptNames | None:
    """Return the names that the objects inside of a model object do not declare; None if there are none.

    Args:
        plain: The stored variables.
        value: What they were read as.
    """
    entries = [
        _Kept(path, one, untaken)
        for path, one, names in _walk_objects(value, plain)
        if path and (untaken := _find_untaken_names(one, names))
    ]
    return KeptNames(entries) if entries else None


def _walk_objects(value: object, plain: object, path: _Path = ()) -> Iterator[tuple[_Path, object, dict[str, Any]]]:
    """Yield the path of each object that has fields, the object, and its JSON."""
    if isinstance(value, RootModel):
        yield from _walk_objects(value.root, plain, path)
    elif isinstance(value, list | tuple | deque):
        if isinstance(plain, list) and len(value) == len(plain):
            for place, (one, inner) in enumerate(zip(value, plain, strict=True)):
                yield from _walk_objects(one, inner, (*path, (place, len(plain))))
    elif isinstance(plain, dict):
        yield path, value, plain
        for name, one in _list_members(value, plain):
            yield from _walk_objects(one, plain[name], (*path, name))


def _list_members(value: object, plain: dict[str, Any]) -> Iterator[tuple[str, object]]:
    """Yield each name of an object's JSON, with the object's own value of it."""
    fields, _ = list_object_fields(value)
    if fields and not fields.keys().isdisjoint(plain):
        yield from ((name, fields[name][1]) for name in plain if name in fields)
    elif isinstance(value, Mapping) and len(value) == len(plain):  # the names are no texts
        yield from zip(plain, value.values(), strict=True)


def _find_untaken_names(value: object, plain: dict[str, Any]) -> dict[str, Any]:
    if isinstance(value, BaseModel):
        names = get_names(type(value))
        return {name: one for name, one in plain.items() if not names.is_known(name)}
    fields, is_open = list_object_fields(value)
    is_typed_dict = isinstance(value, dict) and value.keys() < plain.keys()
    if fields is None or (is_open and not is_typed_dict):
        return {}
    return {name: one for name, one in plain.items() if name not in fields}


def _add_names(plain: dict[str, Any], entry: _Kept) -> None:
    for name, stored in entry.names.items():
        plain.setdefault(name, stored)


def _find_object(plain: Any, path: _Path) -> dict[str, Any] | None:
    for part in path:
        if isinstance(part, str):
            plain = plain.get(part) if isinstance(plain, dict) else None
        else:
            place, length = part
            plain = plain[place] if isinstance(plain, list) and len(plain) == length else None
    return plain if isinstance(plain, dict) else None
