"""Connections of aiomysql and PyMySQL that an application has opened."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiomysql
import pymysql.cursors

from flowlet.store.dialects.caller import call_in_thread, is_of_library
from flowlet.store.dialects.mysql.session import query_packet_limit
from flowlet.store.dialects.mysql.statement import fetch_rows
from flowlet.store.dialects.sizes import SizeLimit

__all__ = ["MySQLCallers"]

_NAME = re.compile(r"(?<!:):(\w+)")
_IN_TRANSACTION = 1
"""The bit of the server's status by which it says that a transaction is open."""


class MySQLCallers:
    """Runs statements on connections of aiomysql and PyMySQL, whatever kind of rows these return by default."""

    drivers = "aiomysql or PyMySQL"

    def adopt(self, connection: Any) -> Any | None:
        """Return a connection with the methods of aiomysql that Flowlet uses."""
        is_usable = is_of_library(connection, "aiomysql") or is_of_library(connection, "pymysql")
        return _CallerConnection(connection) if is_usable else None

    async def has_transaction(self, raw: Any) -> bool:
        """Return whether a transaction is open; without autocommit the next statement opens one."""
        return bool(raw.get_transaction_status() or not raw.get_autocommit())

    async def begin_transaction(self, raw: Any) -> None:
        """Do nothing: without autocommit the server begins with our first statement."""

    async def fetch(self, raw: Any, sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Run a statement, whose names become places."""
        places = _NAME.findall(sql)
        placed = _NAME.sub("%s", sql.replace("%", "%%") if places else sql)
        return [tuple(row) for row in await fetch_rows(raw, placed, [values[name] for name in places])]


class _CallerConnection:
    """A connection of aiomysql, or of PyMySQL in other threads, whose rows are tuples."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._is_async = is_of_library(connection, "aiomysql")

    @property
    def closed(self) -> bool:
        """Whether the connection is closed."""
        return bool(self._connection.closed) if self._is_async else not self._connection.open

    def escape(self, value: Any) -> str:
        """Return a value as a literal."""
        literal: str = self._connection.escape(value)
        return literal

    def get_transaction_status(self) -> bool:
        """Return whether a transaction is open, as of the server's last answer."""
        return bool(self._connection.server_status & _IN_TRANSACTION)

    def get_autocommit(self) -> bool:
        """Return whether each statement is a transaction of its own."""
        return bool(self._connection.get_autocommit())

    def thread_id(self) -> int:
        """Return the number of the server's thread."""
        number: int = self._connection.thread_id()
        return number

    async def read_packet_limit(self) -> SizeLimit:
        """Return the largest statement of the connection."""
        return await query_packet_limit(self)

    @asynccontextmanager
    async def cursor(self) -> AsyncIterator[Any]:
        """Open a cursor for the length of the block."""
        if self._is_async:
            async with self._connection.cursor(aiomysql.Cursor) as cursor:
                yield cursor
            return
        opened = self._connection.cursor(pymysql.cursors.Cursor)
        try:
            yield _ThreadedCursor(opened)
        finally:
            opened.close()


class _ThreadedCursor:
    """A cursor of PyMySQL with the methods of aiomysql."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    @property
    def rowcount(self) -> int:
        """How many rows the statement has found."""
        count: int = self._cursor.rowcount
        return count

    async def execute(self, sql: str, values: Sequence[Any] | Mapping[str, Any] | None = None) -> None:
        """Run a statement."""
        await call_in_thread(self._cursor.execute, sql, values)

    async def fetchall(self) -> Sequence[Any]:
        """Return its rows, which have been read."""
        rows: Sequence[Any] = self._cursor.fetchall()
        return rows
