"""The comparison of a value with what reading its JSON gives: does it survive being stored?"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator, Mapping, Set
from datetime import datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any

from pydantic import BaseModel, RootModel

from flowlet.definition.model_shape import get_names
from flowlet.instance.json_text import write_json

__all__ = ["find_losses", "sort_sets"]

_SCALARS = (str, int, float)


def find_losses(value: object, read: object, path: tuple[object, ...] = ()) -> Iterator[tuple[str, str]]:
    """Yield the path and the loss of each value that reading does not give back: another value, or another type.

    A text, an integer or a number may be of a subclass, such as ``StrEnum``, and an integer may stand for an equal
    float: all type checkers accept them. Private attributes are never stored.

    Args:
        value: What a handler left.
        read: What its JSON text is read as.
        path: Where both are.
    """
    if value is read:
        return
    if type(value) is not type(read):
        if not _is_subtype(value, read):
            yield _format_path(path), f"is of type {type(value).__name__}, and would be read as {_describe_type(read)}"
    elif isinstance(read, BaseModel):
        yield from _compare_models(value, read, path)
    elif dataclasses.is_dataclass(read):
        for field in dataclasses.fields(read):
            yield from find_losses(getattr(value, field.name), getattr(read, field.name), (*path, field.name))
    elif isinstance(read, Mapping | list | tuple | deque | Set):
        yield from _compare_containers(value, read, path)
    elif fault := _compare_values(value, read):
        yield _format_path(path), fault


def sort_sets(value: object, plain: Any) -> Any:
    """Return a value's JSON with the items of each set sorted: numbers first, then by their JSON text.

    Args:
        value: The value.
        plain: Its JSON as plain values, in the order in which the value has them.
    """
    if isinstance(value, RootModel):
        return sort_sets(value.root, plain)
    if isinstance(value, BaseModel) and isinstance(plain, dict):
        stored = get_names(type(value)).stored
        inner = {stored.get(name, name): one for name, one in {**value.__dict__, **(value.model_extra or {})}.items()}
        return {name: sort_sets(inner[name], one) if name in inner else one for name, one in plain.items()}
    if dataclasses.is_dataclass(value) and isinstance(plain, dict):
        return {name: sort_sets(getattr(value, name, None), one) for name, one in plain.items()}
    if isinstance(value, Mapping) and isinstance(plain, dict) and len(value) == len(plain):
        return {name: sort_sets(one, given) for one, (name, given) in zip(value.values(), plain.items(), strict=True)}
    if isinstance(value, list | tuple | deque) and isinstance(plain, list) and len(value) == len(plain):
        return [sort_sets(one, given) for one, given in zip(value, plain, strict=True)]
    if isinstance(value, set | frozenset) and isinstance(plain, list) and len(value) == len(plain):
        return sorted((sort_sets(one, given) for one, given in zip(value, plain, strict=True)), key=_make_sort_key)
    return plain


def _make_sort_key(plain: Any) -> tuple[bool, float, str]:
    is_number = type(plain) in (int, float)
    return not is_number, plain if is_number else 0, write_json(plain)


def _is_subtype(value: object, read: object) -> bool:
    if isinstance(read, bool) or not isinstance(read, _SCALARS) or isinstance(read, Enum):
        return False
    if isinstance(read, float):
        return isinstance(value, int | float) and value == read
    return isinstance(value, type(read)) and value == read


def _compare_models(value: Any, read: BaseModel, path: tuple[object, ...]) -> Iterator[tuple[str, str]]:
    names = get_names(type(read)).stored
    for name, one in read.__dict__.items():
        if name in value.__dict__:
            yield from find_losses(value.__dict__[name], one, (*path, names.get(name, name)))
        else:
            yield _format_path((*path, names.get(name, name))), "has been deleted, and would be read as its default"
    yield from _compare_mappings(value.model_extra or {}, read.model_extra or {}, path)


def _compare_containers(value: Any, read: Any, path: tuple[object, ...]) -> Iterator[tuple[str, str]]:
    if isinstance(read, Mapping):
        yield from _compare_mappings(value, read, path)
    elif isinstance(read, Set):
        yield from _compare_sets(value, read, path)
    else:
        yield from _compare_sequences(value, read, path)


def _compare_mappings(value: Any, read: Mapping[Any, Any], path: tuple[object, ...]) -> Iterator[tuple[str, str]]:
    names = {name: name for name in read}
    for key, one in value.items():
        if key in names and not any(find_losses(key, names[key])):
            yield from find_losses(one, read[key], (*path, key))
        else:
            yield _format_path((*path, key)), f"has a name of type {type(key).__name__} that would be read as another"
    if len(read) > len(value):
        yield _format_path(path), "would be read with more names than it has"


def _compare_sequences(value: Any, read: Any, path: tuple[object, ...]) -> Iterator[tuple[str, str]]:
    if len(value) != len(read):
        yield _format_path(path), f"has {len(value)} items, and would be read with {len(read)}"
        return
    for place, (one, other) in enumerate(zip(value, read, strict=True)):
        yield from find_losses(one, other, (*path, place))


def _compare_sets(value: Any, read: Any, path: tuple[object, ...]) -> Iterator[tuple[str, str]]:
    items = {item: item for item in read}
    if len(value) != len(read) or any(item not in items or any(find_losses(item, items[item])) for item in value):
        yield _format_path(path), "would be read as another value"


def _compare_values(value: Any, read: Any) -> str | None:
    """Return the fault of a value without parts that is of the same type as what is read."""
    try:
        is_equal = _is_equal(value, read)
    except Exception as error:  # noqa: BLE001  # whatever a class's own comparison raises
        return f"cannot be compared with what would be read: {type(error).__name__}"
    return None if is_equal else "would be read as another value"


def _is_equal(value: Any, read: Any) -> bool:
    if isinstance(value, float | Decimal):
        return repr(value) == repr(read)  # zero has a sign, and "nan" is not equal to itself
    if isinstance(value, datetime | time):
        return _is_same_time(value, read)
    # Objects that are equal only to themselves cannot be compared: their JSON is equal.
    return bool(value == read) or getattr(type(value), "__eq__", None) is object.__eq__


def _is_same_time(value: Any, read: Any) -> bool:
    """Return whether clock and offset are the same: times of two zones are never equal in an hour that is repeated.

    The offset takes the place of the zone. Without one, ``fold`` is all that tells a repeated hour from the first.
    """
    has_offset = value.utcoffset() is not None
    if value.utcoffset() != read.utcoffset() or (value.tzinfo is None) is not (read.tzinfo is None):
        return False
    clock, clock_read = value.replace(tzinfo=None, fold=0), read.replace(tzinfo=None, fold=0)
    return bool(clock == clock_read) and (has_offset or value.fold == read.fold)


def _describe_type(read: object) -> str:
    return "nothing" if read is None else f"{type(read).__name__}"


def _format_path(path: tuple[object, ...]) -> str:
    return ".".join(str(part)[:80] for part in path)
