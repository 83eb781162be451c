"""Statements on a raw connection of MariaDB or MySQL, which refuses those that the server would not accept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flowlet.store.dialects.mysql.session import read_packet_limit
from flowlet.store.dialects.sizes import MAX_BYTES_PER_CHARACTER, split_by_length

__all__ = ["execute_and_count", "fetch_rows", "insert_rows"]


async def fetch_rows(raw: Any, sql: str, values: Sequence[Any] = ()) -> Sequence[Any]:
    """Run a statement and return its rows.

    Raises:
        TooLargeError: If the server would not accept it; it is not sent.
    """
    async with raw.cursor() as cursor:
        await cursor.execute(sql, values or None)
        found: Sequence[Any] = await cursor.fetchall()
        return found


async def execute_and_count(raw: Any, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> int:
    """Run a statement and return how many rows its condition found. Its binds are ``%s``, or ``%(name)s`` of a mapping.

    Raises:
        TooLargeError: If the server would not accept it; it is not sent.
    """
    async with raw.cursor() as cursor:
        await cursor.execute(sql, values or None)
        count: int = cursor.rowcount
        return count


async def insert_rows(raw: Any, insert: str, rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows, with as few statements as the server accepts; the given text ends with VALUES.

    Raises:
        TooLargeError: If the server would not accept one of the rows.
    """
    if not rows:
        return
    limit = await read_packet_limit(raw)
    async with raw.cursor() as cursor:
        statement = _build_insert(raw, insert, rows)
        if not limit.may_exceed(len(statement)):
            await cursor.execute(statement)
            return
        group_limit = limit.bytes // (2 * MAX_BYTES_PER_CHARACTER)
        for group in split_by_length(rows, map(_measure_row, rows), limit=group_limit):
            await cursor.execute(_build_insert(raw, insert, group))


def _build_insert(raw: Any, insert: str, rows: Sequence[Sequence[Any]]) -> str:
    """Return the statement with its values, which the driver writes as literals in any case."""
    columns = [_format_values(raw.escape, values) for values in zip(*rows, strict=True)]
    return insert + ", ".join([f"({', '.join(literals)})" for literals in zip(*columns, strict=True)])


def _format_values(escape: Callable[[Any], str], values: Sequence[Any]) -> list[str]:
    """Return the literals of a column's values; each one that repeats is written once.

    Integers and NULLs, two thirds of a batch's values, are written here: the driver takes five times as long.
    """
    literals = {
        value: "NULL" if value is None else str(value) if type(value) is int else escape(value) for value in set(values)
    }
    return [literals[value] for value in values]


def _measure_row(row: Sequence[Any]) -> int:
    """Return how many characters the row's values have, about; a number has 20 at most."""
    return sum(len(value) if isinstance(value, str) else 20 for value in row)
