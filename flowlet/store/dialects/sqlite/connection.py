"""Connections to SQLite: one that writes and one that reads, with the pragmas that both need."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from typing import Any

from flowlet.settings import get_sqlite_path

__all__ = ["SQLiteConnections"]

BUSY_SECONDS = 30.0


class SQLiteConnections:
    """SQLite's part for connections."""

    begin_sql = "BEGIN IMMEDIATE"
    version_sql = "SELECT sqlite_version()"
    has_pool = False

    def name_product(self, version: str) -> str:
        """Return "SQLite"."""
        return "SQLite"

    def build_database_url(self, url: str) -> str:
        """Return the URL unchanged."""
        return url

    def build_options(self, *, for_engine: bool) -> dict[str, Any]:
        """Return the options of a connection: a busy timeout, and the pragmas of ``_Connection``."""
        return {"timeout": BUSY_SECONDS, "factory": _Connection, "cached_statements": 256}

    async def check_database(self, url: str) -> None:
        """Open the file once: a connection of aiosqlite that fails leaves a thread behind, which outlives the loop."""
        await asyncio.to_thread(_probe_database, url)

    async def read_time(self, raw: Any) -> int:
        """Return this machine's time: all processes of a SQLite database run on it."""
        return time.time_ns() // 1000  # noqa: TID251 - this is the store's clock

    def is_closed(self, raw: Any) -> bool:
        """Return False: a file is not lost."""
        return False

    async def reset_connection(self, raw: Any) -> None:
        """Do nothing: a handler's connection is the only one that writes."""

    def drop_connection(self, raw: Any) -> None:
        """Do nothing: the connections are few, and kept."""


def _probe_database(url: str) -> None:
    sqlite3.connect(get_sqlite_path(url), timeout=BUSY_SECONDS, factory=_Connection).close()


class _Connection(sqlite3.Connection):
    """A connection with the pragmas that every one needs: WAL, and durable commits."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.execute("PRAGMA journal_mode = WAL").close()
        self.execute("PRAGMA synchronous = FULL").close()
        self.execute("PRAGMA foreign_keys = ON").close()
        self.execute("PRAGMA cache_size = -65536").close()
