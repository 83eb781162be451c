"""JSON text: the only place where stored values and values from outside are parsed and written.

Integers of any size are kept exactly. orjson reads an integer beyond 64 bits as a float and refuses to write one, so
pydantic's parser reads here, as fast and exactly, and the standard library writes what orjson refuses.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import orjson
from pydantic_core import from_json

from flowlet.text import find_text_fault

__all__ = [
    "MAX_DEPTH",
    "MAX_FAULTS",
    "PreciseNumber",
    "find_json_faults",
    "has_nul",
    "is_plain",
    "parse_json",
    "parse_json_roughly",
    "parse_optional_object",
    "parse_outside_json",
    "parse_shown_changes",
    "parse_shown_object",
    "write_if_possible",
    "write_json",
]

MAX_DEPTH = 64
"""How deeply a value may nest arrays and objects."""
MAX_DIGITS = 4_300
"""The digits of the longest integer: Python converts no longer one from or to a text."""
MAX_UNREADABLE = 500
"""How many characters are shown of a stored text that is no JSON object."""
MAX_FAULTS = 20
"""How many faults of one text are listed."""

_MOST_EXACT_CHARACTERS = 15
"""A number with so many characters is the same as a float, unless that is 0."""
_FIRST_TOO_LONG = 10**MAX_DIGITS
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_ALWAYS_PLAIN = frozenset({str, int, bool, type(None)})
_TOO_LONG = f"is an integer of more than {MAX_DIGITS:,} digits"
_TOO_DEEP = f"is nested deeper than {MAX_DEPTH} arrays and objects"


def parse_json(text: str | bytes) -> Any:
    """Return the value of a stored JSON text. Integers are exact.

    Raises:
        ValueError: If it is not JSON.
    """
    return from_json(text)


def parse_shown_object(text: str) -> dict[str, Any]:
    """Return the object of a stored JSON text, to be shown.

    A text that is no JSON object, or is nested too deeply to be read, was not written by Flowlet. Its beginning is
    returned under the name ``unreadable``, so that one row takes no page down.
    """
    try:
        value = parse_json(text)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {"unreadable": text[:MAX_UNREADABLE]}


def parse_shown_changes(text: str) -> list[Any]:
    """Return the changes of a stored JSON text, to be shown; without those that Flowlet has not written."""
    try:
        value = parse_json(text)
    except ValueError:
        return []
    changes = value if isinstance(value, list) else []
    return [one for one in changes if isinstance(one, dict) and isinstance(one.get("path"), str) and "op" in one]


def parse_optional_object(text: str | None) -> dict[str, Any] | None:
    """Return the object of a stored JSON text, as ``parse_shown_object`` does; None for None."""
    return None if text is None else parse_shown_object(text)


def parse_json_roughly(text: str) -> Any:
    """Return the value of a stored JSON text in a quarter of the time; integers beyond 64 bits are floats.

    Raises:
        ValueError: If it is not JSON, or holds what standard JSON does not.
    """
    return orjson.loads(text)


def write_if_possible(values: dict[str, Any]) -> str | None:
    """Return an object as JSON text; None if a value of it cannot be written."""
    try:
        return write_json(values)
    except (TypeError, ValueError):  # half of a surrogate pair, or an integer of more than 4,300 digits
        return None


def write_json(
    value: object,
    *,
    is_indented: bool = False,
    is_sorted: bool = False,
    default: Callable[[Any], Any] | None = None,
) -> str:
    """Return a value as JSON text without spaces, or indented by two.

    Args:
        value: Plain values. Dates, UUIDs and the like become texts, as orjson writes them.
        is_indented: Whether the text is for people.
        is_sorted: Whether the names of objects are sorted.
        default: Returns another value for one of any other type, or raises TypeError.

    A ``PreciseNumber`` is written as the float that it is.

    Raises:
        TypeError: If a value cannot be written as JSON, such as half of a surrogate pair.
        ValueError: If an integer has more than 4,300 digits.
    """
    try:
        if default is None and not (is_indented or is_sorted):
            return orjson.dumps(value).decode()
        options = (orjson.OPT_INDENT_2 if is_indented else 0) | (orjson.OPT_SORT_KEYS if is_sorted else 0)
        return orjson.dumps(value, default, options).decode()
    except orjson.JSONEncodeError as error:
        if not any(text in f"{error} {error.__cause__}" for text in ("64-bit", PreciseNumber.__name__)):
            raise
    text = json.dumps(
        value,
        ensure_ascii=False,
        allow_nan=False,
        indent=2 if is_indented else None,
        separators=(",", ": " if is_indented else ":"),
        sort_keys=is_sorted,
        default=lambda inner: _convert_by_orjson(inner, default),
    )
    text.encode()  # half of a surrogate pair is no JSON
    return text


def _convert_by_orjson(value: object, default: Callable[[Any], Any] | None) -> Any:
    try:
        return orjson.loads(orjson.dumps(value))
    except orjson.JSONEncodeError:
        if default is None:
            raise
        return default(value)


class PreciseNumber(float):
    """A float that stands for a number from outside with more digits than it has; ``exact`` has all of them."""

    __slots__ = ("exact",)

    exact: Decimal


def has_nul(text: str) -> bool:
    """Return whether a JSON text contains a NUL character, which PostgreSQL cannot search."""
    return "\\u0000" in text and _NUL.search(text) is not None


def parse_outside_json(text: str | bytes, *, subject: str = "The body") -> tuple[Any, dict[str, str]]:
    """Return the value of a JSON text from outside, and the faults that keep it from being stored, by path.

    The standard library parses it: others silently keep the last of two equal names. A body of 300 bytes takes 14
    microseconds instead of one. A number with more digits than a float has is a ``PreciseNumber``.

    Args:
        text: The JSON text; bytes are UTF-8.
        subject: The subject of the error message.

    Raises:
        ValueError: If it is not JSON in UTF-8; the message says where.
    """
    try:
        value = _DECODER.decode(text.decode() if isinstance(text, bytes) else text)
    except UnicodeDecodeError as error:
        raise ValueError(f"{subject} is not UTF-8 text: byte {error.start} is wrong.") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{subject} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from None
    except RecursionError:
        return None, {"": _TOO_DEEP}
    return value, find_json_faults(value)


def find_json_faults(value: object) -> dict[str, str]:
    """Return the faults that keep a value from being stored as JSON and read as the same, by path; at most 20."""
    faults: dict[str, str] = {}
    for path, fault in _find_faults(value, ()):
        faults[_format_path(path)] = fault
        if len(faults) == MAX_FAULTS:
            break
    return faults


def is_plain(value: object, depth: int = 0) -> bool:
    """Return whether a value is made of JSON's own types: if ``write_json`` writes it, it is read as the same.

    It is a quick look, several times as fast as ``find_json_faults``, which knows what is wrong. It does not look at
    texts and at the length of integers.
    """
    kind = type(value)
    if depth == MAX_DEPTH or (kind is not dict and kind is not list):
        return False
    items: Any = value
    if kind is dict:
        for key in items:
            if type(key) is not str:
                return False
        items = items.values()
    for item in items:
        inner = type(item)
        if inner in _ALWAYS_PLAIN or (inner is float and item - item == 0):
            continue
        if not is_plain(item, depth + 1):
            return False
    return True


class _UnusableValue:
    """The parser's placeholder for a value that cannot be used, until its path is known."""

    __slots__ = ("fault",)

    def __init__(self, fault: str) -> None:
        self.fault = fault


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                value[key] = _UnusableValue("is given twice")
            seen.add(key)
    return value


def _parse_integer(text: str) -> int | _UnusableValue:
    return int(text) if len(text) <= MAX_DIGITS else _UnusableValue(_TOO_LONG)


def _parse_float(text: str) -> float | _UnusableValue:
    value = float(text)
    if not math.isfinite(value):
        return _UnusableValue("is a number beyond the range of a double")
    if len(text) <= _MOST_EXACT_CHARACTERS and value:
        return value
    exact = Decimal(text)
    if exact == Decimal(repr(value)):
        return value
    precise = PreciseNumber(value)
    precise.exact = exact
    return precise


_DECODER = json.JSONDecoder(
    object_pairs_hook=_build_object,
    parse_int=_parse_integer,
    parse_float=_parse_float,
    parse_constant=lambda name: _UnusableValue(f"{name} is not JSON"),
)


def _find_faults(value: object, path: tuple[object, ...]) -> Iterator[tuple[tuple[object, ...], str]]:
    """Yield the path and the fault of each value that JSON would not give back."""
    if type(value) is dict or type(value) is list:
        if len(path) >= MAX_DEPTH:
            yield path, _TOO_DEEP
        else:
            yield from _find_inner_faults(value, path)
    elif value is not None and (fault := _find_scalar_fault(value)):
        yield path, fault


def _find_scalar_fault(value: object) -> str | None:
    if isinstance(value, str):
        return find_text_fault(value)
    if isinstance(value, float):
        return None if math.isfinite(value) else f"is {value}, which JSON does not have"
    if isinstance(value, int):
        return _TOO_LONG if abs(value) >= _FIRST_TOO_LONG else None
    if isinstance(value, _UnusableValue):
        return value.fault
    return f"is of type {type(value).__name__}, which JSON would give back as another type"


def _find_inner_faults(value: Any, path: tuple[object, ...]) -> Iterator[tuple[tuple[object, ...], str]]:
    for key, inner in value.items() if type(value) is dict else enumerate(value):
        if type(value) is dict and not isinstance(key, str):
            yield (*path, key), f"has a name of type {type(key).__name__}, not a text"
        elif isinstance(key, str) and (fault := find_text_fault(key)):
            yield (*path, key), f"its name {fault}"
        else:
            yield from _find_faults(inner, (*path, key))


def _format_path(path: tuple[object, ...]) -> str:
    """Return a path: each key shortened, and as text that JSON can contain."""
    keys = (str(key)[:80].encode("utf-8", "backslashreplace").decode() for key in path)
    return ".".join(keys).replace("\x00", "\\x00")
