"""Values from outside on their way into a model: as plain JSON, repaired, and without undeclared names."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from typing import Any

from pydantic_core import ErrorDetails, to_jsonable_python

from flowlet.definition.model_shape import list_object_fields
from flowlet.definition.precise_numbers import PreciseNumbers, convert_whole_number
from flowlet.errors import VariablesError
from flowlet.instance.json_text import PreciseNumber, find_json_faults, parse_outside_json
from flowlet.text import format_suggestion

__all__ = ["SpelledVariables", "describe_undeclared_name", "find_undeclared", "repair_values", "resolve", "to_plain"]

_INTEGER_FAULTS = ("int_type", "int_from_float", "int_parsing", "int_parsing_size")


class SpelledVariables(dict[str, Any]):
    """Variables of a client that can only send texts, as GopherFlow's: "7" is 7 where the field is no text."""


def to_plain(values: Mapping[str, Any], subject: str) -> dict[str, Any]:
    """Return values as new plain JSON values: dates, decimals, models and the like as pydantic writes them.

    Raises:
        VariablesError: If a value cannot be written as JSON, or no database could store it. Names the fields.
    """
    if not isinstance(values, Mapping):
        raise VariablesError(subject, {"": f"has to be an object, not {type(values).__name__}"})
    plain = {name: _convert(value) for name, value in values.items()}
    if faults := find_json_faults(plain):
        raise VariablesError(subject, faults)
    return plain


def repair_values(
    plain: dict[str, Any], errors: Sequence[ErrorDetails], numbers: PreciseNumbers, *, has_spelled: bool
) -> bool:
    """Change values that do not fit in the way in which JSON means them; return whether a value has been changed.

    5.0 is the integer 5. If ``has_spelled``, a text at the top may spell a JSON value that is no text: "7", "true".
    A precise number that is no decimal is a float.
    """
    is_changed = False
    for error in errors:
        place = resolve(plain, error["loc"])
        if place is None:
            continue
        container, key = place
        value = container[key]
        if isinstance(value, float) and error["type"] in _INTEGER_FAULTS:
            whole = convert_whole_number(value)
            if whole is not None:
                container[key], is_changed = whole, True
        if numbers.take_as_float(value):
            is_changed = True
        elif has_spelled and container is plain and isinstance(value, str):
            spelled = _parse_spelled(value)
            if not isinstance(spelled, str):
                container[key], is_changed = spelled, True
    return is_changed


def resolve(plain: Any, location: Sequence[str | int]) -> tuple[Any, Any] | None:
    """Return the container and the key of the value that an error is about; None if there is none.

    Parts of the location that are no key, such as the members of a union, are skipped.
    """
    found: tuple[Any, Any] | None = None
    part: Any
    for part in location:
        is_index = isinstance(plain, list) and isinstance(part, int) and part < len(plain)
        if is_index or (isinstance(plain, dict) and part in plain):
            found = (plain, part)
            plain = plain[part]
    return found


def find_undeclared(plain: object, value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Yield the path and the fault of each name that a model did not take, and of each value taken as another.

    Args:
        plain: The values from outside.
        value: What they were read as.
        path: Where both are.
    """
    if isinstance(plain, PreciseNumber):
        if isinstance(value, Decimal) and value != plain.exact:
            yield ".".join(path), "has more digits than a JSON number keeps here: give it as a text"
    elif isinstance(plain, bool):
        plainest = value.value if isinstance(value, Enum) else value
        if isinstance(plainest, int | float | Decimal) and not isinstance(plainest, bool):
            yield ".".join(path), "has to be a number, not a boolean"
    elif isinstance(plain, list):
        if isinstance(value, list | tuple | deque) and len(value) == len(plain):
            for place, (given, one) in enumerate(zip(plain, value, strict=True)):
                yield from find_undeclared(given, one, (*path, str(place)))
    elif isinstance(plain, dict):
        yield from _find_undeclared_names(plain, value, path)


def describe_undeclared_name(name: str, known: Iterable[str]) -> str:
    """Return the fault of a name that a model does not declare, with the nearest one that it does."""
    return f"the model has no such variable.{format_suggestion(name, known)}"


def _find_undeclared_names(plain: dict[str, Any], value: object, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    fields, is_open = list_object_fields(value)
    if fields is None:
        return
    used: dict[str, str] = {}
    for name, given in plain.items():
        place = ".".join((*path, name[:80]))
        if name not in fields:
            if not is_open:
                yield place, describe_undeclared_name(name, fields)
            continue
        field, inner = fields[name]
        if field in used:
            yield place, f"is given twice, also as {used[field]!r}"
        used[field] = name
        yield from find_undeclared(given, inner, (*path, name))
    if isinstance(value, dict) and len(value) < len(plain):
        for name in plain.keys() - value.keys():  # a TypedDict drops what it does not declare
            yield ".".join((*path, name[:80])), describe_undeclared_name(name, value)


def _convert(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, Mapping):
        return {name: _convert(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset | deque):
        return [_convert(one) for one in value]
    try:
        return to_jsonable_python(value, by_alias=True, inf_nan_mode="constants")
    except (TypeError, ValueError):  # PydanticSerializationError is a ValueError
        return value  # its type is named as a fault


def _parse_spelled(text: str) -> Any:
    """Return the JSON value that a text spells exactly, without white space around it; else the text itself."""
    if not text or text != text.strip():
        return text
    try:
        value, faults = parse_outside_json(text)
    except ValueError:
        return text
    return text if faults else value
