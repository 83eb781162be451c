"""Connections of asyncpg and psycopg that an application has opened."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from flowlet.store.dialects.caller import call_in_thread, is_of_library

__all__ = ["PostgresCallers"]

_NAME = re.compile(r"(?<!:):(\w+)")


class PostgresCallers:
    """Runs statements on connections of asyncpg and of psycopg 3, asynchronous or not."""

    drivers = "asyncpg or psycopg 3"

    def adopt(self, connection: Any) -> Any | None:
        """Return a connection of asyncpg as it is, and one of psycopg with asyncpg's methods."""
        if is_of_library(connection, "psycopg"):
            return _PsycopgConnection(connection)
        return connection if is_of_library(connection, "asyncpg") else None

    async def has_transaction(self, raw: Any) -> bool:
        """Return whether a transaction is open; psycopg opens one unless it is in autocommit mode."""
        return bool(raw.is_in_transaction() or getattr(raw, "begins_itself", False))

    async def begin_transaction(self, raw: Any) -> None:
        """Do nothing: psycopg begins with our first statement."""

    async def fetch(self, raw: Any, sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Run a statement, whose names become numbers."""
        names = list(dict.fromkeys(_NAME.findall(sql)))
        numbered = _NAME.sub(lambda found: f"${names.index(found[1]) + 1}", sql)
        return [tuple(row) for row in await raw.fetch(numbered, *(values[name] for name in names))]


class _PsycopgConnection:
    """A connection of psycopg with the methods of asyncpg that Flowlet uses."""

    def __init__(self, connection: Any) -> None:
        import psycopg
        from psycopg.rows import tuple_row

        self._connection = connection
        self._is_async = isinstance(connection, psycopg.AsyncConnection)
        kind: Any = psycopg.AsyncRawCursor if self._is_async else psycopg.RawCursor  # they read $1, as asyncpg does
        self._open_cursor: Callable[[], Any] = partial(kind, connection, row_factory=tuple_row)

    @property
    def begins_itself(self) -> bool:
        """Whether the next statement begins a transaction."""
        return not self._connection.autocommit

    @property
    def backend_pid(self) -> int:
        """The number of the server's process."""
        number: int = self._connection.info.backend_pid
        return number

    def is_closed(self) -> bool:
        """Return whether the connection is closed."""
        return bool(self._connection.closed)

    def is_in_transaction(self) -> bool:
        """Return whether a transaction is open, be it one that has failed."""
        return bool(self._connection.info.transaction_status.name in ("INTRANS", "INERROR", "ACTIVE"))

    async def fetch(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows. Psycopg reads lists as arrays, and tuples as rows."""
        cursor = self._open_cursor()
        arguments = [list(value) if isinstance(value, tuple) else value for value in values]
        if not self._is_async:
            rows: list[tuple[Any, ...]] = await call_in_thread(_run_statement, cursor, sql, arguments)
            return rows
        await cursor.execute(sql, arguments)
        return await cursor.fetchall() if cursor.description else []

    async def execute(self, sql: str, *values: Any) -> None:
        """Run a statement."""
        await self.fetch(sql, *values)

    async def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run a statement for each of the rows of values."""
        for row in rows:
            await self.fetch(sql, *row)


def _run_statement(cursor: Any, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    cursor.execute(sql, values)
    return cursor.fetchall() if cursor.description else []
