"""A database as the judge and the faults reach it: plain statements through the drivers, without Flowlet."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import asyncpg
import pymysql

__all__ = ["DATABASE_ERRORS", "RawDatabase", "RawSession"]

STATEMENT_SECONDS = 20

DATABASE_ERRORS: tuple[type[Exception], ...] = (
    sqlite3.Error,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    pymysql.MySQLError,
    OSError,  # which includes timeouts
)
"""What the drivers raise while a server is away."""

Row = tuple[Any, ...]


class RawSession(Protocol):
    """One connection, in autocommit until a statement begins a transaction."""

    def execute(self, sql: str) -> None:
        """Run a statement."""
        ...

    def fetch(self, sql: str) -> list[Row]:
        """Return the rows of a query."""
        ...

    def close(self) -> None:
        """End the connection; an open transaction is rolled back."""
        ...


class RawDatabase:
    """A database by its URL.

    Args:
        url: The URL, as Flowlet takes it.

    Attributes:
        kind: "sqlite", "postgresql" or "mysql".
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.kind = urlsplit(url).scheme

    @contextmanager
    def open_session(self) -> Iterator[RawSession]:
        """Open a connection for the length of the block."""
        session = _SESSIONS[self.kind](self.url)
        try:
            yield session
        finally:
            session.close()

    def fetch(self, sql: str) -> list[Row]:
        """Return the rows of a query on a connection of its own."""
        with self.open_session() as session:
            return session.fetch(sql)

    def execute(self, *statements: str) -> None:
        """Run statements on a connection of their own."""
        with self.open_session() as session:
            for sql in statements:
                session.execute(sql)

    def read_clock(self) -> int:
        """Return the database's time, in microseconds since 1970 UTC."""
        return int(self.fetch(_CLOCKS[self.kind])[0][0])


_CLOCKS = {
    "sqlite": "SELECT CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)",
    "postgresql": "SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::bigint",
    "mysql": "SELECT CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)",
}


class _SqliteSession:
    def __init__(self, url: str) -> None:
        path = url.removeprefix("sqlite:///")
        self._connection = sqlite3.connect(path, timeout=STATEMENT_SECONDS, isolation_level=None)

    def execute(self, sql: str) -> None:
        self._connection.execute(sql)

    def fetch(self, sql: str) -> list[Row]:
        return self._connection.execute(sql).fetchall()

    def close(self) -> None:
        self._connection.close()


class _PostgresSession:
    def __init__(self, url: str) -> None:
        self._runner = asyncio.Runner()
        try:
            self._connection = self._runner.run(_connect_postgres(url))
        except BaseException:
            self._runner.close()
            raise

    def execute(self, sql: str) -> None:
        self._runner.run(self._connection.execute(sql))

    def fetch(self, sql: str) -> list[Row]:
        return [tuple(row) for row in self._runner.run(self._connection.fetch(sql))]

    def close(self) -> None:
        self._connection.terminate()
        self._runner.close()


class _MariadbSession:
    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = pymysql.connect(
            host=parts.hostname,
            port=parts.port or 3306,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            database=parts.path.lstrip("/"),
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=STATEMENT_SECONDS,
            read_timeout=STATEMENT_SECONDS,
            ssl_disabled=True,
        )

    def execute(self, sql: str) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(sql)

    def fetch(self, sql: str) -> list[Row]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def close(self) -> None:
        if self._connection.open:
            self._connection.close()


async def _connect_postgres(url: str) -> Any:
    return await asyncpg.connect(url, timeout=STATEMENT_SECONDS, command_timeout=STATEMENT_SECONDS)


_SESSIONS: dict[str, Any] = {"sqlite": _SqliteSession, "postgresql": _PostgresSession, "mysql": _MariadbSession}
