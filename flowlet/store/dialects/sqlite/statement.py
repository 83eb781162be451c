"""Statements of SQLite with plain placeholders: Python 3.12 warns of names, and of numbers, that are bound by place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

__all__ = ["PlacedStatement"]


class PlacedStatement:
    """A statement that is written with ``:names``, and bound by a list: for each row that costs less than a dict.

    Args:
        sql: The statement; a name may occur several times.
        names: The names, in the order of the values; at least two of them occur.

    Attributes:
        sql: The statement with a ``?`` for each occurrence of a name.
        bind: Returns the values of these placeholders, given those of the names.
    """

    __slots__ = ("bind", "sql")

    def __init__(self, sql: str, names: Sequence[str]) -> None:
        places: list[int] = []

        def place_name(found: re.Match[str]) -> str:
            places.append(names.index(found[1]))
            return "?"

        self.sql = re.sub(r":(\w+)", place_name, sql)
        self.bind: itemgetter[tuple[Any, ...]] = itemgetter(*places)
