"""Changes by path: the difference between two JSON values, and its application."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NotRequired, TypeVar

import orjson
from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from flowlet.instance.json_text import write_json

__all__ = [
    "MAX_CHANGES",
    "MAX_OLD_CHARACTERS",
    "PathChange",
    "apply_path_changes",
    "build_path",
    "diff_values",
    "find_changed_names",
    "parse_path",
]

MAX_CHANGES = 200
"""How many changes a difference has at most; beyond them the smallest enclosing value is set as a whole."""
MAX_PATH_DEPTH = 32
"""How many names and positions a path has at most; what is nested deeper is set as a whole."""
MAX_SPARSE_CHANGES = 10
"""More changes inside one value have to take less room than the value, or it is set as a whole."""
MAX_OLD_CHARACTERS = 100
"""Characters of an old value's JSON text up to which it is kept. A text up to this length is set, never appended to."""

_MISSING: Any = object()
_PLAIN = frozenset({str, int, bool, type(None)})
"""Types whose equal values have equal JSON."""
_SCALARS = frozenset({int, float, bool, type(None)})
_NEVER_LONG = frozenset({float, bool, type(None)})
_SMALL = 10**15
"""Integers below it are kept as old values without writing them to see how long they are."""
_Sequence = TypeVar("_Sequence", str, list[Any])


@with_config(ConfigDict(use_attribute_docstrings=True))
class PathChange(TypedDict):
    """A change at a path in the variables. Changes apply in their order."""

    op: Literal["set", "unset", "append", "splice"]
    """``set`` puts ``value`` there, also where nothing was; ``unset`` removes a name; ``append`` adds ``value`` to the
    end of a text or a list; ``splice`` replaces ``remove`` characters or items from ``at`` on by those of ``value``."""
    path: str
    """A JSON Pointer (RFC 6901), such as ``/items/2/price``; the empty text is all variables."""
    value: NotRequired[Any]
    """The new value; what was appended or inserted."""
    old: NotRequired[Any]
    """The value before, or what a splice removed; absent if there was none, or it has more than 100 characters."""
    at: NotRequired[int]
    """The position of a splice, from 0; in a text counted in Unicode code points."""
    remove: NotRequired[int]
    """How many characters or items a splice removes."""


def find_changed_names(old: dict[str, Any], new: dict[str, Any], text: str) -> list[str] | None:
    """Return the names at the top whose values differ; None if ``diff_values`` has to find that out.

    It compares by Python's ``==``, for which 1, 1.0 and True are equal, and then the JSON text of all values once.

    Args:
        old: A value as ``parse_json`` or ``parse_json_roughly`` returns it.
        new: Another one.
        text: The new one's JSON text.
    """
    if old.keys() != new.keys():
        return None
    names = [name for name, value in new.items() if old[name] != value]
    changed = old.copy()
    for name in names:
        changed[name] = new[name]
    try:
        return names if orjson.dumps(changed) == text.encode() else None
    except orjson.JSONEncodeError:  # an integer beyond 64 bits
        return None


def diff_values(old: Any, new: Any, names: Sequence[str] | None = None) -> list[PathChange]:
    """Return the changes that make one JSON value of another; empty if they are the same.

    Values of different types are different: 1, 1.0 and true. So is another order of names, except those at the top.
    It takes one comparison of everything, and a comparison of each value that has changed. What would need more than
    ``MAX_CHANGES`` changes, or paths deeper than ``MAX_PATH_DEPTH``, is set as a whole.

    Args:
        old: A value as ``parse_json`` returns it.
        new: Another one. The changes contain parts of it.
        names: The names at the top whose values differ, if ``find_changed_names`` knows them.
    """
    if names is not None and len(names) <= MAX_CHANGES:
        changes: list[PathChange] = []
        for name in names:
            _add_changes(changes, build_path("", name), old[name], new[name], 0)
        if len(changes) <= MAX_CHANGES:
            return changes
    is_object = type(old) is type(new) is dict
    return [] if not is_object and _is_same(old, new) else _diff("", old, new, 0)


def apply_path_changes(value: Any, changes: Sequence[PathChange]) -> Any:
    """Return a JSON value after changes. It is modified in place, and takes in the values of the changes.

    Raises:
        ValueError: If a change does not fit the value: its path does not exist there, or leads to another type.
    """
    for change in changes:
        try:
            value = _apply_change(value, change)
        except (LookupError, TypeError, AttributeError, ValueError):
            raise ValueError(f"{change!r:.200} does not fit the value that it should change") from None
    return value


def build_path(path: str, key: str | int) -> str:
    """Return the path of a name or a position inside the value of a path."""
    if isinstance(key, str) and ("~" in key or "/" in key):
        key = key.replace("~", "~0").replace("/", "~1")
    return f"{path}/{key}"


def parse_path(path: str) -> list[str]:
    """Return the names and positions of a path."""
    return [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]


def _is_same(old: Any, new: Any) -> bool:
    kind = type(new)
    if type(old) is not kind or old != new:
        return False
    # For Python 1, 1.0 and True are equal, and so are 0.0 and -0.0. In JSON they are not.
    if kind in _PLAIN:
        return True
    try:
        return orjson.dumps(old) == orjson.dumps(new)
    except orjson.JSONEncodeError:
        return write_json(old) == write_json(new)


def _diff(path: str, old: Any, new: Any, depth: int) -> list[PathChange]:
    """Return the changes between two values that differ."""
    found: list[PathChange] | None = None
    if type(old) is type(new) and depth < MAX_PATH_DEPTH:
        if type(new) is dict:
            found = _diff_objects(path, old, new, depth)
        elif type(new) is list:
            found = _diff_lists(path, old, new, depth)
        elif type(new) is str and len(new) > MAX_OLD_CHARACTERS:
            found = _diff_texts(path, old, new)
    return [_build_set(path, old, new)] if found is None or _is_bulky(path, found, new) else found


def _is_bulky(path: str, found: list[PathChange], new: Any) -> bool:
    is_sparse = not path or len(found) <= MAX_SPARSE_CHANGES  # each name at the top keeps its own change
    return not is_sparse and len(write_json(found)) > len(write_json(new))


def _diff_objects(path: str, old: dict[str, Any], new: dict[str, Any], depth: int) -> list[PathChange] | None:
    gone = [] if old.keys() == new.keys() else [name for name in old if name not in new]
    if len(gone) > MAX_CHANGES or (path and not _keeps_order(old, new)):
        return None
    changes = [_add_old({"op": "unset", "path": build_path(path, name)}, old[name]) for name in gone]
    for name, value in new.items():
        before = old.get(name, _MISSING)
        # Both texts were parsed by one parser, which gives the same object for the same short text.
        if before is _MISSING:
            changes.append({"op": "set", "path": build_path(path, name), "value": value})
        elif before is not value and not _is_same(before, value):
            _add_changes(changes, build_path(path, name), before, value, depth)
        if len(changes) > MAX_CHANGES:
            return None
    return changes


def _keeps_order(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Return whether the new object is in the order that removing and adding names gives."""
    kept = [name for name in old if name in new]
    return kept == list(new)[: len(kept)]


def _add_changes(changes: list[PathChange], path: str, old: Any, new: Any, depth: int) -> None:
    """Add the changes of one value inside another; where they are too many, one that sets it as a whole."""
    kind = type(new)
    if old is _MISSING or kind in _SCALARS or (kind is str and len(new) <= MAX_OLD_CHARACTERS):
        changes.append(_build_set(path, old, new))
        return
    found = _diff(path, old, new, depth + 1)
    fits = len(found) == 1 or len(changes) + len(found) <= MAX_CHANGES
    changes.extend(found if fits else [_build_set(path, old, new)])


def _diff_lists(path: str, old: list[Any], new: list[Any], depth: int) -> list[PathChange] | None:
    places = _list_different(old, new) if len(old) == len(new) else None
    head = places[0] if places else _count_same_head(old, new)
    if 0 < len(old) == head:
        return [{"op": "append", "path": path, "value": new[head:]}]
    if head == 0 and (shift := _find_shift(old, new)):
        return _build_shift(path, old, new, shift)
    tail = len(new) - 1 - places[-1] if places else _count_same_head(old[head:][::-1], new[head:][::-1])
    if tail == 0 or len(old) == len(new):
        found = places or _find_different(old, new, range(head, min(len(old), len(new)) - tail))
        changes = _diff_items(path, old, new, found, depth)
        if changes is not None:
            return changes
    return _build_splice(path, old, new, head, tail)


def _list_different(old: list[Any], new: list[Any]) -> list[int]:
    """Return the places of the different items of two lists of one length; none if ``==`` does not find them all."""
    places = [place for place, value in enumerate(new) if (before := old[place]) is not value and before != value]
    if not places:
        return []
    merged = old.copy()
    for place in places:
        merged[place] = new[place]
    return places if _is_same(merged, new) else []


def _diff_items(
    path: str, old: list[Any], new: list[Any], places: Iterable[int], depth: int
) -> list[PathChange] | None:
    """Return the changes of single items; None if one splice is simpler: where most items have changed."""
    if not new:
        return None
    changes: list[PathChange] = []
    limit = min(MAX_CHANGES, max(len(new) // 2, 1))
    for count, place in enumerate(places):
        if count == limit:
            return None
        _add_changes(changes, build_path(path, place), old[place], new[place], depth)
    if len(new) > len(old):
        changes.append({"op": "append", "path": path, "value": new[len(old) :]})
    elif len(new) < len(old):
        changes.extend(_build_splice(path, old, new, len(new), 0) or ())
    return changes if len(changes) <= MAX_CHANGES else None


def _find_different(old: list[Any], new: list[Any], places: range) -> Iterator[int]:
    """Yield the places of different items, in order. Halves are compared as a whole, which is fast."""
    begin, end = places.start, places.stop
    if begin >= end or _is_same(old[begin:end], new[begin:end]):
        return
    if end - begin == 1:
        yield begin
        return
    middle = (begin + end) // 2
    yield from _find_different(old, new, range(begin, middle))
    yield from _find_different(old, new, range(middle, end))


def _diff_texts(path: str, old: str, new: str) -> list[PathChange] | None:
    if old and new.startswith(old):
        return [{"op": "append", "path": path, "value": new[len(old) :]}]
    if shift := _find_shift(old, new):
        return _build_shift(path, old, new, shift)
    head = _count_same_head(old, new)
    tail = _count_same_head(old[head:][::-1], new[head:][::-1])
    return _build_splice(path, old, new, head, tail) if head + tail > len(new) // 2 else None


def _count_same_head(old: _Sequence, new: _Sequence) -> int:
    """Return how many characters or items at the beginning are the same: a binary search, by comparisons of slices."""
    low, high = 0, min(len(old), len(new))
    while low < high:
        middle = (low + high + 1) // 2
        if _is_same(old[low:middle], new[low:middle]):
            low = middle
        else:
            high = middle - 1
    return low


def _find_shift(old: _Sequence, new: _Sequence) -> int:
    """Return how much was cut off at the beginning, where the rest is the beginning of the new value; 0 for nothing.

    This is how a log that keeps its last entries changes.
    """
    if isinstance(old, str) and isinstance(new, str):
        place = old.find(new[:MAX_OLD_CHARACTERS])
    else:
        place = next((place for place, item in enumerate(old) if item == new[0]), 0) if new else 0
    return place if place > 0 and _is_same(old[place:], new[: len(old) - place]) else 0


def _build_shift(path: str, old: _Sequence, new: _Sequence, shift: int) -> list[PathChange]:
    changes: list[PathChange] = _build_splice(path, old, old[shift:], 0, len(old) - shift) or []
    added = new[len(old) - shift :]
    return [*changes, {"op": "append", "path": path, "value": added}] if added else changes


def _build_splice(path: str, old: _Sequence, new: _Sequence, head: int, tail: int) -> list[PathChange] | None:
    """Return the replacement of what is between the same head and tail; None if that is everything."""
    if head == tail == 0:
        return None
    removed, inserted = old[head : len(old) - tail], new[head : len(new) - tail]
    change: PathChange = {"op": "splice", "path": path, "at": head, "remove": len(removed), "value": inserted}
    return [_add_old(change, removed) if removed else change]


def _build_set(path: str, old: Any, new: Any) -> PathChange:
    kind = type(old)
    if kind in _NEVER_LONG or (kind is str and len(old) <= MAX_OLD_CHARACTERS):
        return {"op": "set", "path": path, "value": new, "old": old}
    change: PathChange = {"op": "set", "path": path, "value": new}
    return change if old is _MISSING else _add_old(change, old)


def _add_old(change: PathChange, old: Any) -> PathChange:
    """Return the change with the old value, if that is small."""
    kind = type(old)
    if kind is int:
        is_small = -_SMALL < old < _SMALL or len(write_json(old)) <= MAX_OLD_CHARACTERS
    elif kind in _SCALARS:
        is_small = True
    else:
        is_small = len(old) <= MAX_OLD_CHARACTERS and (kind is str or len(write_json(old)) <= MAX_OLD_CHARACTERS)
    if is_small:
        change["old"] = old
    return change


def _apply_change(value: Any, change: PathChange) -> Any:
    parts: Any = change  # which of them there are depends on the operation
    *parents, last = ["", *parse_path(change["path"])]
    holder: Any = {"": value}
    for part in parents:
        holder = holder[_find_key(holder, part)]
    key = _find_key(holder, last)
    op = change["op"]
    if op == "unset":
        del holder[key]
    elif op == "set":
        holder[key] = parts["value"]
    else:
        target, inserted = holder[key], parts["value"]
        at = len(target) if op == "append" else parts["at"]
        end = at if op == "append" else at + parts["remove"]
        holder[key] = target[:at] + inserted + target[end:]
    return holder[""] if not parents else value


def _find_key(holder: Any, part: str) -> str | int:
    return int(part) if isinstance(holder, list) else part
