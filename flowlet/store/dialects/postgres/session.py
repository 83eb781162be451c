"""Sessions with PostgreSQL: each has the same settings, directly or through a pooler that keeps sessions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import asyncpg

from flowlet.database_url import ServerUrl
from flowlet.store.dialects.hosts import CONNECT_TIMEOUT_SECONDS, HostList, check_option_files

__all__ = ["POOLER_REFUSAL", "PostgresSession", "PostgresSessionOpener", "refuse_read_only"]

POOLER_REFUSAL = (
    "the pooler before it gives each transaction another session (PgBouncer: pool_mode = transaction or statement), "
    "but LISTEN and the session's settings need one that stays. Set pool_mode = session for this database, or connect "
    "to the server directly"
)
# A machine that loses its power, or its network, ends its connections without a packet: with the server's defaults,
# their transactions would keep what they have locked for hours. A Unix socket ignores these settings.
_LOST_CLIENT_SETTINGS = {
    "tcp_keepalives_idle": "5",  # seconds
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10000",  # milliseconds: answers that are not acknowledged
}
_SESSION_SETTINGS = {
    **_LOST_CLIENT_SETTINGS,
    "jit": "off",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "standard_conforming_strings": "on",
    "plan_cache_mode": "auto",
}
# A role's time limits are for its own statements, and are left to those of handlers, operators and pages. A batch that
# waits for a slow disk is not to be refused by one: the instances in it would fail.
_ENGINE_SETTINGS = {
    **dict.fromkeys(("enable_hashjoin", "enable_mergejoin", "enable_seqscan"), "off"),
    **dict.fromkeys(("statement_timeout", "idle_in_transaction_session_timeout"), "0"),
    "lock_timeout": "200ms",  # a batch is then split: rows that others have locked do not hold up the rest
}
_FILE_OPTIONS = ("sslrootcert", "sslcert", "sslkey")


class PostgresSession(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """A connection with the settings that Flowlet needs.

    Attributes:
        opener: What has opened it.
        backend_pid: The number of the server's process; behind a pooler ``get_server_pid`` has another one.
    """

    opener: PostgresSessionOpener
    backend_pid: int = 0

    @property
    def is_pooled(self) -> bool:
        """Whether there is a pooler between this process and the server."""
        return bool(self.backend_pid != self.get_server_pid())

    async def apply_settings(self) -> None:
        """Give the session its settings, at its start.

        By a statement, because PgBouncer refuses most settings among the parameters of a connection.
        """
        self.backend_pid, *_ = await self.fetchrow(self.opener.settings_sql) or (0,)

    def get_reset_query(self) -> str:
        """Return what ends all that the session has set, and gives it its settings again, in one round trip."""
        return f"{super().get_reset_query()}\n{self.opener.settings_sql};"


class PostgresSessionOpener:
    """Opens sessions with the server of a URL.

    The engine's statements name rows by primary key or due index; with hash joins allowed the planner was seen to
    scan the whole of ``flowlet_workflow`` for a batch of 100 (2.6 times slower).

    Args:
        server: The parts of the URL.
        for_engine: Whether the sessions are those of claims and commits.
    """

    def __init__(self, server: ServerUrl, *, for_engine: bool = False) -> None:
        self._server = server
        self._hosts = HostList(server.hosts)
        self.settings_sql = _build_settings_sql(_SESSION_SETTINGS | (_ENGINE_SETTINGS if for_engine else {}))

    async def open_session(self, *_: Any, **pool_arguments: Any) -> PostgresSession:
        """Open a session; where there are several hosts, with the first one that takes writes.

        Args:
            pool_arguments: What asyncpg's pool adds.

        Raises:
            OSError: If no host can be reached.
            asyncpg.PostgresError: If the server refuses the login.
            ValueError: If the database's encoding is not UTF8; the message has the cure.
        """
        check_option_files(self._server.options, _FILE_OPTIONS)
        known: dict[str, Any] = {
            name: pool_arguments[name] for name in ("loop", "record_class") if name in pool_arguments
        }
        return await self._hosts.connect(lambda host, port: self._open_at_host(host, port, known))

    async def _open_at_host(self, host: str, port: int | None, pool_arguments: Mapping[str, Any]) -> PostgresSession:
        session: PostgresSession = await asyncpg.connect(
            _build_tls_dsn(self._server.options),
            host=host,
            port=port,
            user=self._server.user,
            password=self._server.password,
            database=self._server.database,
            ssl=_get_boolean_ssl(self._server.options),
            target_session_attrs=self._server.options.get(
                "target_session_attrs", "read-write" if self._hosts.has_several else "any"
            ),
            timeout=CONNECT_TIMEOUT_SECONDS,
            connection_class=PostgresSession,
            **pool_arguments,
        )
        try:
            session.opener = self
            _refuse_encoding(session, self._server.database)
            await session.apply_settings()
        except BaseException as error:
            session.terminate()
            if _is_pooler_error(error):
                raise ValueError(POOLER_REFUSAL) from error
            raise
        return session

    async def refuse_transaction_pooling(self) -> None:
        """Check that the pooler gives each connection a session of its own.

        Two connections in turn: where sessions stay, each has one process of the server, and never the other's.

        Raises:
            ValueError: If it does not; the message has the cure.
        """
        first, second = await self.open_session(), await self.open_session()
        try:
            pids = [(session, await _read_pid(session)) for session in (first, second, first, first, second)]
        except asyncpg.PostgresError as error:
            if _is_pooler_error(error):
                raise ValueError(POOLER_REFUSAL) from error
            raise
        finally:
            first.terminate()
            second.terminate()
        of_first = {pid for session, pid in pids if session is first}
        of_second = {pid for session, pid in pids if session is second}
        if len(of_first) > 1 or len(of_second) > 1 or of_first & of_second:
            raise ValueError(POOLER_REFUSAL)


async def refuse_read_only(session: Any, *, purpose: str = "Flowlet") -> None:
    """Check that the server takes writes.

    Args:
        session: The connection.
        purpose: What the connection is for, as a reader of ``pg_stat_activity`` sees it.

    Raises:
        asyncpg.ReadOnlySQLTransactionError: If it does not.
    """
    if await session.fetchval(f"SHOW transaction_read_only -- {purpose}") == "on":
        raise asyncpg.ReadOnlySQLTransactionError("the server is read-only")


def _is_pooler_error(error: BaseException) -> bool:
    """Return whether a statement met another session than the one that has prepared it, or a pooler says its mode."""
    prepared = (asyncpg.DuplicatePreparedStatementError, asyncpg.InvalidSQLStatementNameError)
    return isinstance(error, prepared) or "pooling mode" in str(error)


async def _read_pid(session: PostgresSession) -> int:
    """Return the number of the server's process; a statement is prepared and run in one transaction."""
    async with session.transaction():
        (pid,) = await session.fetchrow("SELECT pg_backend_pid()") or (0,)
        return int(pid)


def _refuse_encoding(session: PostgresSession, database: str) -> None:
    encoding = session.get_settings().server_encoding
    if encoding != "UTF8":
        raise ValueError(
            f"the database's encoding is {encoding}, which cannot store every character. Create one in UTF8: "
            f"CREATE DATABASE {database} ENCODING 'UTF8' LOCALE 'C.UTF-8' TEMPLATE template0"
        )


def _build_settings_sql(settings: Mapping[str, str]) -> str:
    calls = [f"set_config('{name}', '{value}', false)" for name, value in settings.items()]
    return f"SELECT {', '.join(['pg_backend_pid()', *calls])}"


def _build_tls_dsn(options: Mapping[str, str]) -> str | None:
    """Return the options of TLS as a URL, which is the only way to give them to asyncpg; None without any."""
    tls = {name: options[name] for name in _FILE_OPTIONS if options.get(name)}
    mode = options.get("sslmode", options.get("ssl", "")).lower()
    if "sslrootcert" in tls and mode in ("", "true"):  # who names a CA wants the server to be verified by it
        mode = "verify-full"
    if mode not in ("", "true", "false"):
        tls["sslmode"] = mode
    return f"postgresql:///?{urlencode(tls)}" if tls else None


def _get_boolean_ssl(options: Mapping[str, str]) -> bool | None:
    if options.get("sslrootcert") or options.get("sslmode"):
        return None
    return {"true": True, "false": False}.get(options.get("ssl", "").lower())
