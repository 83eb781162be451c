"""Connections to PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any

import asyncpg

from flowlet.database_url import parse_server_url
from flowlet.store.dialects.postgres.session import PostgresSessionOpener
from flowlet.store.dialects.sizes import SizeLimit, measure_utf8
from flowlet.store.dialects.write_lock import WriteLock

__all__ = ["NOW_SQL", "SIZE_LIMIT", "PostgresConnections"]

NOW_SQL = "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::bigint"
"""The server's time when the expression is evaluated, in microseconds since 1970 UTC."""


SIZE_LIMIT = SizeLimit(2**30 - 65_536, "PostgreSQL's limit of 1 GB for a message and for a value")
"""The limit is fixed when the server is built. Numbers and the protocol have their part of it."""


class PostgresConnections:
    """PostgreSQL's part for connections."""

    begin_sql = begin_handler_sql = "BEGIN"
    version_sql = "SHOW server_version"
    has_pool = True
    backend = "databases.backends.postgres:PostgresBackend"

    def name_product(self, version: str) -> str:
        """Return "PostgreSQL"."""
        return "PostgreSQL"

    def build_database_url(self, url: str) -> str:
        """Return a URL without the server, which ``build_options`` gives."""
        return "postgresql:///"

    def build_options(self, url: str, *, for_engine: bool) -> dict[str, Any]:
        """Return the pool's options.

        Statements of this package leave nothing behind on a connection, so that only ``reset_connection`` makes the
        pool's reset: a round trip.
        """
        return {
            "connect": PostgresSessionOpener(parse_server_url(url), for_engine=for_engine).open_session,
            "min_size": 0,  # with one, asyncpg logs a traceback for each connection that cannot be replaced
            "max_size": 4 if for_engine else 10,
            "max_inactive_connection_lifetime": 300,
            "reset": _skip_reset,
        }

    async def check_database(self, url: str) -> None:
        """Do nothing: the pool raises the right error."""

    async def check_server(self, raw: Any) -> None:
        """Refuse a pooler that does not keep sessions."""
        if raw.is_pooled:
            await raw.opener.refuse_transaction_pooling()

    async def read_time(self, raw: Any) -> int:
        """Return the server's time in microseconds since 1970 UTC."""
        value: int = await raw.fetchval(f"SELECT {NOW_SQL}")
        return value

    async def read_size_limit(self, raw: Any) -> SizeLimit:
        """Return the limit of a message."""
        return SIZE_LIMIT

    def measure_text(self, text: str) -> int:
        """Return the bytes of the text."""
        return measure_utf8(text)

    def is_closed(self, raw: Any) -> bool:
        """Return whether the connection is lost."""
        try:
            return bool(raw.is_closed())
        except asyncpg.InterfaceError:  # the pool has dropped it already
            return True

    def is_in_transaction(self, raw: Any) -> bool:
        """Return whether a transaction is open, be it one that has failed."""
        return bool(raw.is_in_transaction())

    async def read_idle_limits(self, raw: Any) -> dict[str, float]:
        """Return the limit that a server, a database or a role has."""
        name = "idle_in_transaction_session_timeout"
        milliseconds = await raw.fetchval("SELECT setting FROM pg_catalog.pg_settings WHERE name = $1", name)
        return {name: int(milliseconds) / 1000} if int(milliseconds) else {}

    async def reset_connection(self, raw: Any) -> None:
        """End what the session has set, opened or locked, and give it its settings again."""
        await raw.reset(timeout=10)

    def drop_connection(self, raw: Any) -> None:
        """Close the connection."""
        raw.terminate()

    async def expire_connections(self, pool: Any) -> None:
        """Let a pool replace all its connections, those in use when they are released."""
        await pool.expire_connections()

    def build_write_lock(self) -> WriteLock:
        """Return a lock that is never taken."""
        return WriteLock()

    def limit_work(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        """Cancel the block after so many seconds."""
        return asyncio.timeout(seconds)

    def lift_limit(self) -> None:
        """Do nothing: a connection that was in use at a timeout is closed."""

    def permit_warnings(self, raw: Any) -> AbstractContextManager[None]:
        """Do nothing: PostgreSQL warns of nothing that changes a value."""
        return contextlib.nullcontext()


async def _skip_reset(connection: Any) -> None:
    """Keep the connection as it is."""
