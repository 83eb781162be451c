"""Connections to MariaDB and MySQL."""

from __future__ import annotations

from typing import Any

from pymysql.constants import CLIENT

from flowlet.store.dialects.mysql.statement import fetch_rows

__all__ = ["NOW_SQL", "MySQLConnections"]

NOW_SQL = "CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)"
"""The server's time when the expression is evaluated, in microseconds since 1970 UTC."""


class MySQLConnections:
    """The part of MariaDB and MySQL for connections."""

    begin_sql = "BEGIN"
    version_sql = "SELECT VERSION()"
    has_pool = True

    def name_product(self, version: str) -> str:
        """Return "MariaDB" or "MySQL"."""
        return "MariaDB" if "MariaDB" in version else "MySQL"

    def build_database_url(self, url: str) -> str:
        """Return the URL unchanged."""
        return url

    def build_options(self, *, for_engine: bool) -> dict[str, Any]:
        """Return the pool's options: READ COMMITTED, under which claimers were never seen to deadlock."""
        return {
            "min_size": 1 if for_engine else 0,
            "max_size": 5 if for_engine else 10,
            "charset": "utf8mb4",
            "connect_timeout": 10,
            "pool_recycle": 300,
            "client_flag": CLIENT.FOUND_ROWS,
            "init_command": "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        }

    async def check_database(self, url: str) -> None:
        """Do nothing: the pool raises the right error."""

    async def read_time(self, raw: Any) -> int:
        """Return the server's time in microseconds since 1970 UTC."""
        ((now,),) = await fetch_rows(raw, f"SELECT {NOW_SQL}")
        return int(now)

    def is_closed(self, raw: Any) -> bool:
        """Return whether the connection is lost."""
        return bool(raw.closed)

    async def reset_connection(self, raw: Any) -> None:
        """Do nothing: only a new connection would be another session."""

    def drop_connection(self, raw: Any) -> None:
        """Close the connection."""
        raw.close()
