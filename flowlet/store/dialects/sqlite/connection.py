"""Connections to SQLite: one that writes and one that reads, with the pragmas that both need."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import sqlite3
import stat
import time
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from pathlib import Path
from typing import Any

from flowlet.database_url import get_sqlite_path
from flowlet.store.dialects.sizes import SizeLimit, measure_utf8
from flowlet.store.dialects.sqlite.work_limit import get_deadline, lift_limit, limit_work
from flowlet.store.dialects.write_lock import WriteLock

__all__ = ["SQLiteConnections", "get_size_limit"]

BUSY_SECONDS = 30.0

logger = logging.getLogger(__name__)


class SQLiteConnections:
    """SQLite's part for connections."""

    begin_sql = begin_handler_sql = "BEGIN IMMEDIATE"
    version_sql = "SELECT sqlite_version()"
    has_pool = False
    backend = "flowlet.store.dialects.sqlite.backend:InterruptibleBackend"

    def name_product(self, version: str) -> str:
        """Return "SQLite"."""
        return "SQLite"

    def build_database_url(self, url: str) -> str:
        """Return the URL unchanged."""
        return url

    def build_options(self, url: str, *, for_engine: bool) -> dict[str, Any]:
        """Return the options of a connection: a busy timeout, and the pragmas of ``_Connection``."""
        return {"timeout": BUSY_SECONDS, "factory": _Connection, "cached_statements": 256}

    async def check_database(self, url: str) -> None:
        """Make the file where there is none, readable by its owner only, and open it once.

        A connection of aiosqlite that fails leaves a thread behind, which outlives the loop.
        """
        await asyncio.to_thread(_probe_database, url)

    async def check_server(self, raw: Any) -> None:
        """Do nothing: there is no server."""

    async def read_time(self, raw: Any) -> int:
        """Return this machine's time: all processes of a SQLite database run on it."""
        return time.time_ns() // 1000  # noqa: TID251 - this is the store's clock

    async def read_size_limit(self, raw: Any) -> SizeLimit:
        """Return the connection's limit of a row."""
        limit: SizeLimit = await raw._execute(get_size_limit, raw._conn)
        return limit

    def measure_text(self, text: str) -> int:
        """Return the bytes of the text."""
        return measure_utf8(text)

    def is_closed(self, raw: Any) -> bool:
        """Return False: a file is not lost."""
        return False

    def is_in_transaction(self, raw: Any) -> bool:
        """Return whether a transaction is open."""
        return bool(raw.in_transaction)

    async def read_idle_limits(self, raw: Any) -> dict[str, float]:
        """Return nothing: there is no server."""
        return {}

    async def reset_connection(self, raw: Any) -> None:
        """Do nothing: a handler's connection is the only one that writes."""

    def drop_connection(self, raw: Any) -> None:
        """Do nothing: the connections are few, and kept."""

    async def expire_connections(self, pool: Any) -> None:
        """Do nothing: there is no server."""

    def build_write_lock(self) -> WriteLock:
        """Return the lock of the connection that writes, whose waiters give up at the end of their time."""
        return WriteLock(get_deadline)

    def limit_work(self, seconds: float | None) -> AbstractAsyncContextManager[None]:
        """Let the statements of the block end after so many seconds; those of others go on."""
        return limit_work(seconds)

    def lift_limit(self) -> None:
        """Let what follows in the block take as long as it does."""
        lift_limit()

    def permit_warnings(self, raw: Any) -> AbstractContextManager[None]:
        """Do nothing: SQLite has no warnings."""
        return contextlib.nullcontext()


def get_size_limit(connection: sqlite3.Connection) -> SizeLimit:
    """Return a connection's limit of a row; call it in the connection's thread."""
    return SizeLimit(connection.getlimit(sqlite3.SQLITE_LIMIT_LENGTH), "SQLite's limit of a row, SQLITE_MAX_LENGTH")


def _probe_database(url: str) -> None:
    path = get_sqlite_path(url)
    with contextlib.suppress(OSError):  # SQLite's own error says why the file cannot be made
        _make_private_file(path)
    try:
        sqlite3.connect(path, timeout=BUSY_SECONDS, factory=_Connection).close()
    except sqlite3.OperationalError as error:
        if not path.exists() or os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
            raise
        cure = f"the user of this process may not write it and into its folder {str(path.parent)!r}"
        raise sqlite3.OperationalError(f"{error}: {cure}") from error
    _warn_of_permissions(path.resolve(), stat.S_IMODE(path.stat().st_mode))  # it is a database


def _make_private_file(path: Path) -> None:
    """Create the file with mode 0600, which SQLite gives ``-wal`` and ``-shm`` too; leave one that exists as it is."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


@functools.cache  # once per process: each of its connections comes here
def _warn_of_permissions(path: Path, mode: int) -> None:
    if mode & 0o077:
        logger.warning(
            "the database file %s has mode %04o: other users of this machine may read the password hashes. "
            "Unless that is wanted: chmod 600 %s*",
            path,
            mode,
            path,
        )


class _Connection(sqlite3.Connection):
    """A connection with the pragmas that every one needs: WAL, and durable commits."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        try:
            self._set_pragmas()
        except BaseException:
            self.close()
            raise

    def _set_pragmas(self) -> None:
        self.execute("PRAGMA journal_mode = WAL").close()
        self.execute("PRAGMA synchronous = FULL").close()
        self.execute("PRAGMA foreign_keys = ON").close()
        self.execute("PRAGMA cache_size = -65536").close()
        # A statement that changes many rows keeps the pages as they were: beyond 64 kB in a file, a fourth of a claim.
        self.execute("PRAGMA temp_store = MEMORY").close()
