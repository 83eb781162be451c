"""Numbers from outside with more digits than a float has, on their way into a model's decimals."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Set
from decimal import Decimal
from typing import Any

from pydantic import RootModel

from flowlet.definition.model_shape import list_object_fields
from flowlet.instance.json_text import PreciseNumber

__all__ = ["PreciseNumbers", "convert_whole_number"]


class PreciseNumbers:
    """The precise numbers among values from outside, and which of them a model takes as decimals.

    Pydantic reads a JSON number by way of a float, and a decimal's text exactly. So a precise number is written as a
    text first; where the model does not read that as a decimal, it is written as the float.
    """

    __slots__ = ("_floats",)

    def __init__(self) -> None:
        self._floats: set[int] = set()

    def spell(self, plain: Any) -> Any:
        """Return values with the text of each precise number that may be a decimal, in new containers."""
        if isinstance(plain, dict):
            return {name: self.spell(one) for name, one in plain.items()}
        if isinstance(plain, list):
            return [self.spell(one) for one in plain]
        if isinstance(plain, PreciseNumber):
            return float(plain) if id(plain) in self._floats else str(plain.exact)
        return plain

    def take_as_float(self, number: object) -> bool:
        """Write a precise number as the float from now on; return whether it was not so before."""
        if not isinstance(number, PreciseNumber) or id(number) in self._floats:
            return False
        self._floats.add(id(number))
        return True

    def keep_decimals(self, plain: Any, value: object) -> bool:
        """Write those numbers as floats that have not been read as decimals; return whether there are new ones.

        Args:
            plain: The values.
            value: What they have been read as.
        """
        decimals = {id(number) for number in _list_decimals(plain, value)}
        new = {id(number) for number in _list_numbers(plain)} - decimals - self._floats
        self._floats |= new
        return bool(new)


def convert_whole_number(value: float) -> int | None:
    """Return the integer that a number from outside means, or None: 1e23 is 10 to the power of 23, as no float is."""
    if isinstance(value, PreciseNumber):
        return int(value.exact) if value.exact == value.exact.to_integral_value() else None
    return int(Decimal(repr(value))) if value == value // 1 else None


def _list_numbers(plain: Any) -> Iterator[PreciseNumber]:
    if isinstance(plain, PreciseNumber):
        yield plain
    elif isinstance(plain, dict | list):
        for one in plain.values() if isinstance(plain, dict) else plain:
            yield from _list_numbers(one)


def _list_decimals(plain: Any, value: object) -> Iterator[PreciseNumber]:
    """Yield each precise number that has been read as its decimal."""
    if isinstance(value, RootModel):
        yield from _list_decimals(plain, value.root)
    elif isinstance(plain, PreciseNumber):
        if isinstance(value, Decimal) and value == plain.exact:
            yield plain
    elif isinstance(plain, list) and isinstance(value, Set):
        decimals = {one for one in value if isinstance(one, Decimal)}
        yield from (one for one in plain if isinstance(one, PreciseNumber) and one.exact in decimals)
    elif isinstance(plain, list) and isinstance(value, list | tuple | deque) and len(value) == len(plain):
        for given, one in zip(plain, value, strict=True):
            yield from _list_decimals(given, one)
    elif isinstance(plain, dict):
        fields, _ = list_object_fields(value)
        for name, given in plain.items():
            if fields is not None and name in fields:
                yield from _list_decimals(given, fields[name][1])
