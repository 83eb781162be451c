"""Statements on a raw connection of MariaDB or MySQL, which refuses those that the server would not accept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pymysql

from flowlet.store.dialects.mysql.session import MySQLSession, read_packet_limit
from flowlet.store.dialects.sizes import MAX_BYTES_PER_CHARACTER, split_by_length

__all__ = [
    "StatementAnswer",
    "build_inserts",
    "execute_and_count",
    "fetch_rows",
    "fill_in",
    "insert_rows",
    "run_together",
]


class StatementAnswer(NamedTuple):
    """The answer to a statement: its rows, and how many its condition found, or it has written."""

    rows: Sequence[Any]
    row_count: int


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


async def run_together(raw: Any, statements: Sequence[str]) -> list[StatementAnswer]:
    """Run statements, and return the answer to each one: on a session of Flowlet's own in one round trip.

    The first one that fails is the last one. A transaction is committed by another call: only then it is known that
    the server has not warned of any of them.

    Args:
        raw: The connection.
        statements: The statements with their values.

    Raises:
        TooLargeError: If the server would not accept one of them.
        pymysql.err.DataError: If the server warns of one of them.
    """
    if not statements:
        return []
    if not isinstance(raw, MySQLSession) or (await raw.read_packet_limit()).may_exceed(sum(map(len, statements))):
        return [await _run_alone(raw, sql) for sql in statements]
    return await _run_message(raw, "; ".join(statements))


async def _run_message(raw: Any, text: str) -> list[StatementAnswer]:
    await raw.query(text)
    results = [raw._result]
    while raw._result.has_next:
        await raw.next_result()
        results.append(raw._result)
    if any(result.warning_count for result in results):
        raise pymysql.err.DataError(0, "the server warns of one of several statements")
    return [StatementAnswer(result.rows or (), result.affected_rows) for result in results]


async def _run_alone(raw: Any, sql: str) -> StatementAnswer:
    async with raw.cursor() as cursor:
        await cursor.execute(sql)
        return StatementAnswer(await cursor.fetchall(), cursor.rowcount)


def fill_in(raw: Any, sql: str, values: Sequence[Any]) -> str:
    """Return a statement with its values for each ``%s``, which the driver writes as literals in any case."""
    return sql % tuple(raw.escape(value) for value in values)


async def insert_rows(raw: Any, insert: str, rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows, with as few statements as the server accepts; the given text ends with VALUES.

    Raises:
        TooLargeError: If the server would not accept one of the rows.
    """
    for statement in await build_inserts(raw, insert, rows):
        await _run_alone(raw, statement)


async def build_inserts(raw: Any, insert: str, rows: Sequence[Sequence[Any]]) -> list[str]:
    """Return the statements that insert rows, as few as the server accepts; the given text ends with VALUES."""
    if not rows:
        return []
    limit, statement = await read_packet_limit(raw), _build_insert(raw, insert, rows)
    if not limit.may_exceed(len(statement)):
        return [statement]
    group_limit = limit.bytes // (2 * MAX_BYTES_PER_CHARACTER)
    groups = split_by_length(rows, map(_measure_row, rows), limit=group_limit)
    return [_build_insert(raw, insert, group) for group in groups]


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
