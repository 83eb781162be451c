"""Connections of aiosqlite and sqlite3 that an application has opened."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

from flowlet.store.dialects.caller import call_in_thread, is_of_library

__all__ = ["SQLiteCallers"]


class SQLiteCallers:
    """Runs statements on connections of aiosqlite, and of sqlite3 where they may be used in other threads."""

    drivers = "aiosqlite or sqlite3"

    def adopt(self, connection: Any) -> Any | None:
        """Return a connection of aiosqlite as it is, and one of sqlite3 with aiosqlite's methods."""
        if isinstance(connection, sqlite3.Connection):
            return _ThreadedConnection(connection)
        return connection if is_of_library(connection, "aiosqlite") else None

    async def has_transaction(self, raw: Any) -> bool:
        """Return whether a transaction is open; sqlite3 opens one before a change, unless it is in autocommit mode."""
        return bool(raw.in_transaction or not await raw._execute(_has_autocommit, raw._conn))

    async def begin_transaction(self, raw: Any) -> None:
        """Open it for writing: one that begins by reading cannot write once another connection has written."""
        if not raw.in_transaction:
            await raw._execute(raw._conn.execute, "BEGIN IMMEDIATE")

    async def fetch(self, raw: Any, sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Run a statement; SQLite reads ``:names`` itself."""
        rows: list[tuple[Any, ...]] = await raw._execute(_run_statement, raw._conn, sql, dict(values))
        return rows


class _ThreadedConnection:
    """A connection of sqlite3 with the methods of aiosqlite that Flowlet uses.

    Its statements run in other threads, because they wait for the write lock, which this process may hold.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._conn = connection

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._conn.in_transaction

    async def _execute(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await call_in_thread(function, *arguments)


def _has_autocommit(connection: sqlite3.Connection) -> bool:
    """Return whether each statement is a transaction of its own; from Python 3.12 on it says so in its thread only."""
    # Python 3.12 has another switch for it, beside which the old one keeps its default.
    return connection.isolation_level is None or getattr(connection, "autocommit", None) is True


def _run_statement(connection: sqlite3.Connection, sql: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    cursor = connection.cursor()
    cursor.row_factory = None  # the connection's may make dicts
    return cursor.execute(sql, values).fetchall()
