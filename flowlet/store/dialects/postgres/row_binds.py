"""Many rows as the binds of one statement of PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowlet.store.columns import Column, ColumnType, list_names

__all__ = ["RowBinds"]

_BIND_TYPES = {
    **dict.fromkeys(ColumnType, "text"),
    **dict.fromkeys((ColumnType.FLAG, ColumnType.SMALL, ColumnType.INTEGER), "int"),
    **dict.fromkeys((ColumnType.IDENTITY, ColumnType.BIG), "bigint"),
}


class RowBinds:
    """Binds each column of some rows: as an array, or as one value if all rows have the same.

    The driver takes half a microsecond for each value of an array, and of a batch most columns have one value.

    Args:
        columns: The columns, in the order of the values of a row.
        key: The name of the column that is always an array: it says how many rows there are.

    Attributes:
        count: How many binds it takes.
    """

    def __init__(self, columns: Sequence[Column], *, key: str) -> None:
        self._columns = tuple(columns)
        self._key = next(place for place, column in enumerate(columns) if column.name == key)
        self.count = 2 * len(self._columns)

    def build_sql(self, first: int) -> str:
        """Return the query of the rows, with their number from 1 as ``place``; ``first`` is the number of a bind."""
        count = len(self._columns)
        types = [_BIND_TYPES[column.type] for column in self._columns]
        arrays = ", ".join(f"${place}::{type}[]" for place, type in enumerate(types, first))
        values = ", ".join(
            f"COALESCE(r.{column.name}, ${place}::{type}) AS {column.name}"
            for place, (column, type) in enumerate(zip(self._columns, types, strict=True), first + count)
        )
        names = list_names(self._columns)
        return f"SELECT {values}, r.place FROM unnest({arrays}) WITH ORDINALITY AS r({names}, place)"

    def encode(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
        """Return the binds of rows, of which there may be none."""
        if not rows:
            return [None] * self.count
        arrays: list[Sequence[Any] | None] = []
        values: list[Any] = []
        for place, column in enumerate(zip(*rows, strict=True)):
            is_one_value = place != self._key and column.count(column[0]) == len(column)
            arrays.append(None if is_one_value else column)
            values.append(column[0] if is_one_value else None)
        return arrays + values
