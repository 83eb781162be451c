"""What ``databases`` calls for SQLite: each statement is one hop to the connection's thread, and back.

``databases`` makes three: for the cursor, for the statement, and to close the cursor. A hop wakes the thread and then
the event loop, which takes longer than most statements.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, cast

import aiosqlite
from databases.backends.common.records import Record, Row, create_column_maps
from databases.backends.sqlite import SQLiteBackend, SQLiteConnection, SQLitePool
from sqlalchemy.engine.cursor import CursorResultMetaData

from flowlet.store.dialects.sqlite.work_limit import InterruptibleConnection

__all__ = ["InterruptibleBackend"]

T = TypeVar("T")


class InterruptibleBackend(SQLiteBackend):
    """The backend. Its statements end with the time limit of their unit of work.

    Args:
        database_url: The URL of the file.
        options: Those of ``sqlite3.connect``, ``timeout`` among them.
    """

    def __init__(self, database_url: Any, **options: Any) -> None:
        super().__init__(database_url, **options)
        self._pool = _InterruptiblePool(self._database_url, **options)

    def connection(self) -> SQLiteConnection:
        """Return a connection, which is not open yet."""
        return _OneHopConnection(self._pool, self._dialect)


class _InterruptiblePool(SQLitePool):
    async def acquire(self) -> aiosqlite.Connection:
        connector = partial(sqlite3.connect, self._database, isolation_level=None, **self._options)
        connection = InterruptibleConnection(connector, busy_seconds=self._options["timeout"])
        await connection.__aenter__()
        return connection


class _OneHopConnection(SQLiteConnection):
    """A connection of ``databases`` that uses up its cursor where it makes it: in the thread."""

    async def fetch_all(self, query: Any) -> list[Any]:
        """Return every row."""
        return await self._fetch_records(query, sqlite3.Cursor.fetchall)

    async def fetch_one(self, query: Any) -> Any:
        """Return the first row, or None."""
        found = await self._fetch_records(query, lambda cursor: cursor.fetchmany(1))
        return found[0] if found else None

    async def execute(self, query: Any) -> Any:
        """Run a statement; return the number of the row that was inserted last, or how many rows were changed."""
        compiled: Any = self._compile(query)
        sql, values, *_ = compiled
        return await self._run(sql, values, _get_result)

    async def _fetch_records(self, query: Any, fetch: Callable[[sqlite3.Cursor], list[Any]]) -> list[Any]:
        compiled: Any = self._compile(query)
        sql, values, columns, context = compiled
        rows, description = await self._run(sql, values, lambda cursor: (fetch(cursor), cursor.description))
        if not rows:
            return []
        metadata: Any = CursorResultMetaData(context, description)
        build_row = cast(Any, Row)  # its base class is compiled, and says nothing of its values
        maps = create_column_maps(columns)
        made = [build_row(metadata, metadata._processors, metadata._keymap, row) for row in rows]
        return [Record(row, columns, self._dialect, maps) for row in made]

    async def _run(self, sql: str, values: list[Any], use: Callable[[sqlite3.Cursor], T]) -> T:
        raw: Any = self.raw_connection
        result: T = await raw._execute(_use_cursor, raw._conn, sql, values, use)
        return result


def _use_cursor(connection: sqlite3.Connection, sql: str, values: list[Any], use: Callable[[sqlite3.Cursor], T]) -> T:
    """Run a statement, in the connection's thread, and return what is made of its cursor."""
    cursor = connection.execute(sql, values)
    try:
        return use(cursor)
    finally:
        cursor.close()


def _get_result(cursor: sqlite3.Cursor) -> Any:
    return cursor.rowcount if cursor.lastrowid == 0 else cursor.lastrowid
