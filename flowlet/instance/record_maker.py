"""A fast constructor for frozen dataclasses, for the few that each transition makes."""

from __future__ import annotations

from dataclasses import MISSING, field, fields, make_dataclass
from typing import Any, TypeVar, cast

__all__ = ["build_maker"]

T = TypeVar("T")


def build_maker(record: type[T]) -> type[T]:
    """Return a class that is called like a frozen dataclass with slots, and makes its objects in a third of the time.

    A frozen dataclass sets each field by a call of ``object.__setattr__``: 37 fields take 3.6 microseconds. What is
    returned has the same slots and is not frozen while it sets them; then the object becomes one of the record's class.

    Args:
        record: The frozen dataclass. Its defaults are values, and it has no ``__post_init__``.
    """

    def freeze(made: Any) -> None:
        made.__class__ = record

    declared: list[Any] = [
        one.name if one.default is MISSING else (one.name, Any, field(default=one.default))
        for one in fields(record)  # type: ignore[arg-type]  # a dataclass
    ]
    maker = make_dataclass(record.__name__, declared, slots=True, eq=False, namespace={"__post_init__": freeze})
    return cast("type[T]", maker)
