"""Connections to MariaDB and MySQL."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any

from pymysql.converters import escape_string

from flowlet.database_url import parse_server_url
from flowlet.store.dialects.mysql.session import refuse_binary_log
from flowlet.store.dialects.mysql.statement import fetch_rows
from flowlet.store.dialects.sizes import SizeLimit, measure_utf8
from flowlet.store.dialects.write_lock import WriteLock

__all__ = ["NOW_SQL", "MySQLConnections"]

NOW_SQL = "CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)"
"""The server's time when the expression is evaluated, in microseconds since 1970 UTC.

Every session is in UTC: where the time of day repeats an hour in autumn, this would jump."""


class MySQLConnections:
    """The part of MariaDB and MySQL for connections."""

    begin_sql = "BEGIN"
    begin_handler_sql = "SET SESSION /*M! idle_transaction_timeout = DEFAULT, */ sql_notes = 0; BEGIN"
    version_sql = "SELECT VERSION()"
    has_pool = True
    backend = "flowlet.store.dialects.mysql.pool:SessionBackend"

    def name_product(self, version: str) -> str:
        """Return "MariaDB" or "MySQL"."""
        return "MariaDB" if "MariaDB" in version else "MySQL"

    def build_database_url(self, url: str) -> str:
        """Return a URL without the server, which ``build_options`` gives."""
        return "mysql:///"

    def build_options(self, url: str, *, for_engine: bool) -> dict[str, Any]:
        """Return the options of ``SessionBackend``."""
        return {
            "server": parse_server_url(url),
            "for_engine": for_engine,
            "max_size": 5 if for_engine else 10,
            "recycle_seconds": 300,
        }

    async def check_database(self, url: str) -> None:
        """Do nothing: the pool raises the right error."""

    async def read_time(self, raw: Any) -> int:
        """Return the server's time in microseconds since 1970 UTC."""
        ((now,),) = await fetch_rows(raw, f"SELECT {NOW_SQL}")
        return int(now)

    async def read_size_limit(self, raw: Any) -> SizeLimit:
        """Return the server's ``max_allowed_packet``."""
        limit: SizeLimit = await raw.read_packet_limit()
        return limit

    def measure_text(self, text: str) -> int:
        """Return the bytes of the text as a literal: quotes and backslashes are escaped."""
        return measure_utf8(escape_string(text)) + 2

    def is_closed(self, raw: Any) -> bool:
        """Return whether the connection is lost."""
        return bool(raw.closed)

    async def check_server(self, raw: Any) -> None:
        """Refuse a binary log that takes no writes; each session sets all else that it needs."""
        await refuse_binary_log(raw)

    def is_in_transaction(self, raw: Any) -> bool:
        """Return whether a transaction is open."""
        return bool(raw.get_transaction_status())

    async def read_idle_limits(self, raw: Any) -> dict[str, float]:
        """Return the server's limits, which a handler's transaction has; MySQL has only the last of them."""
        names = "'idle_transaction_timeout', 'idle_write_transaction_timeout', 'wait_timeout'"
        rows = await fetch_rows(raw, f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})")
        return {name: float(seconds) for name, seconds in rows if float(seconds)}

    async def reset_connection(self, raw: Any) -> None:
        """Give the session its settings again; only a new connection would be another session."""
        await raw.apply_settings()

    def drop_connection(self, raw: Any) -> None:
        """Close the connection."""
        raw.close()

    async def expire_connections(self, pool: Any) -> None:
        """Close every connection of a pool, those in use when they are released."""
        pool.expire_connections()

    def build_write_lock(self) -> WriteLock:
        """Return a lock that is never taken."""
        return WriteLock()

    def limit_work(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        """Cancel the block after so many seconds."""
        return asyncio.timeout(seconds)

    def lift_limit(self) -> None:
        """Do nothing: a connection that was in use at a timeout is closed."""

    def permit_warnings(self, raw: Any) -> AbstractContextManager[None]:
        """Let the server's warnings be no errors within the block."""
        permission: AbstractContextManager[None] = raw.permit_warnings()
        return permission
