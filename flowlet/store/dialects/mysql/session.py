"""Sessions with MariaDB and MySQL: each has the same settings, whatever the server's defaults are."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from typing import Any

import aiomysql
import pymysql
from pymysql.constants import CLIENT, CR

from flowlet.database_url import ServerUrl
from flowlet.store.dialects.hosts import HostList, check_option_files, describe_error
from flowlet.store.dialects.mysql.cluster import is_cluster_node, refuse_unready_node, wait_for_other_nodes
from flowlet.store.dialects.sizes import MAX_BYTES_PER_CHARACTER, SizeLimit, measure_utf8

__all__ = [
    "READ_ONLY",
    "MySQLSession",
    "MySQLSessionOpener",
    "query_packet_limit",
    "read_packet_limit",
    "refuse_binary_log",
    "refuse_read_only",
    "refuse_too_large",
]

DEFAULT_PORT = 3306
READ_ONLY = 1290
"""The server's error where it takes no writes."""
# Texts are UTF-8 and compare by code points, as in the tables; a value that does not fit is an error, and every warning
# is read; times are UTC, which never repeats an hour; a COMMIT begins no transaction; no SELECT is cut short or refused
# by its size; messages are in English, because some are read. A server's ``init_connect`` runs before this.
# A machine that loses its power, or its network, ends its connections without a packet: a transaction that hears
# nothing for ten seconds is rolled back, which would otherwise keep what it has locked for hours. MySQL has no such
# limit; only MariaDB reads the comment.
_SETTINGS = (
    "SET SESSION character_set_client = utf8mb4, character_set_results = utf8mb4, character_set_connection = utf8mb4, "
    "collation_connection = utf8mb4_bin, time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', "
    "sql_safe_updates = 0, sql_notes = 0, max_error_count = 64, completion_type = 'NO_CHAIN', sql_auto_is_null = 0, "
    "sql_select_limit = 18446744073709551615, sql_big_selects = 1, /*M! idle_transaction_timeout = 10, */ "
    "lc_messages = 'en_US'; "
    # Under READ COMMITTED claimers were never seen to deadlock. The variable has another name in each database.
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"
)
# Only MariaDB reads the comment. A server's time limit is for statements of handlers, operators and pages: a batch that
# waits for a slow disk is not to be refused by one, because the instances in it would fail.
_ENGINE_SETTINGS = "SET SESSION /*M! max_statement_time = 0, */ sql_notes = 0"


PACKET_OVERHEAD = 64
"""The bytes of a packet that are not its statement."""
MIN_PACKET_BYTES = 1_024
"""No server accepts less."""


async def read_packet_limit(raw: aiomysql.Connection) -> SizeLimit:
    """Return the largest statement of a connection, which may be an application's own."""
    return await (raw.read_packet_limit() if isinstance(raw, MySQLSession) else query_packet_limit(raw))


async def refuse_too_large(raw: Any, statement: str | bytes | bytearray) -> None:
    """Check that the server would accept a statement.

    Raises:
        TooLargeError: If it would not.
    """
    if len(statement) * MAX_BYTES_PER_CHARACTER > MIN_PACKET_BYTES:
        limit = await read_packet_limit(raw)
        if limit.may_exceed(len(statement)):
            limit.check(measure_utf8(statement) if isinstance(statement, str) else len(statement))


async def query_packet_limit(raw: Any) -> SizeLimit:
    """Ask the server for the largest statement of a connection."""
    async with raw.cursor() as cursor:
        await cursor.execute("SELECT @@max_allowed_packet")
        ((size,),) = await cursor.fetchall()
    return SizeLimit(int(size) - PACKET_OVERHEAD, "max_allowed_packet")


JSON_TOO_DEEP = 4040
"""MariaDB's JSON functions read nothing of a document that is nested deeper than 31 levels: for a search it has no
value, and one such instance must not make every search of variables an error."""


class _Cursor(aiomysql.Cursor):  # type: ignore[misc]  # aiomysql has no types
    """A cursor that refuses what the server does not accept, and raises what it only warns of."""

    async def _query(self, q: str | bytes | bytearray) -> None:
        await refuse_too_large(self._get_db(), q)
        await super()._query(q)

    async def _show_warnings(self, conn: MySQLSession) -> None:
        if conn.permits_warnings:
            await super()._show_warnings(conn)
            return
        is_select = str(self._last_executed).lstrip().startswith("SELECT")
        for _level, code, text in await conn.show_warnings() or ():
            if not (is_select and code == JSON_TOO_DEEP):
                raise pymysql.err.DataError(code, f"the server warns: {text}")


class MySQLSession(aiomysql.Connection):  # type: ignore[misc]  # aiomysql has no types
    """A connection with the settings that Flowlet needs.

    Attributes:
        permits_warnings: Whether a warning of the server is only shown, as Python's warning, and no error.
        is_cluster_node: Whether the server is a node of a Galera cluster.
    """

    permits_warnings = False
    is_cluster_node = False
    _packet_limit: SizeLimit | None = None

    async def read_packet_limit(self) -> SizeLimit:
        """Return the largest statement of this session, which is read once: it stays if the server's is changed.

        A server closes the connection that sends it more than ``max_allowed_packet``, often before the client has read
        why. So every statement is measured before it is sent, a handler's own one too.
        """
        if self._packet_limit is None:
            self._packet_limit = await query_packet_limit(self)
        return self._packet_limit

    async def apply_settings(self) -> None:
        """Give the session its settings: at its start, and after a handler's own statements."""
        await self.query(_SETTINGS)
        await self.next_result()
        if self.is_cluster_node:
            await wait_for_other_nodes(self)

    async def lift_time_limit(self) -> None:
        """Let statements take as long as they do."""
        await self.query(_ENGINE_SETTINGS)

    @contextlib.contextmanager
    def permit_warnings(self) -> Iterator[None]:
        """Let the server's warnings be no errors within the block: for statements of handlers."""
        self.permits_warnings = True
        try:
            yield
        finally:
            self.permits_warnings = False

    async def _request_authentication(self) -> None:
        if self._ssl_context and not self.server_capabilities & CLIENT.SSL:  # aiomysql would go on without TLS
            raise pymysql.err.OperationalError(
                CR.CR_SSL_CONNECTION_ERROR, "the URL asks for TLS, but the server does not offer it"
            )
        await super()._request_authentication()


class MySQLSessionOpener:
    """Opens sessions with the server of a URL.

    Args:
        server: The parts of the URL.
        for_engine: Whether the sessions are those of claims and commits.

    Raises:
        FileNotFoundError: If a file that the URL names does not exist.
        ssl.SSLError: If such a file is no certificate or no key.
    """

    def __init__(self, server: ServerUrl, *, for_engine: bool = False) -> None:
        self._server = server
        self._for_engine = for_engine
        self._hosts = HostList(server.hosts or [("localhost", None)])
        self._ssl_context = _build_ssl_context(server.options)

    async def open_session(self) -> MySQLSession:
        """Open a session; where there are several hosts, with the first one that takes writes.

        Raises:
            OSError: If no host can be reached.
            pymysql.err.MySQLError: If the server refuses the login.
        """
        return await self._hosts.connect(self._open_at_host)

    async def _open_at_host(self, host: str, port: int | None) -> MySQLSession:
        session = MySQLSession(
            host=host,
            port=port or DEFAULT_PORT,
            unix_socket=self._server.options.get("unix_socket"),
            user=self._server.user,
            # aiomysql encodes it as Latin-1; servers expect UTF-8.
            password=(self._server.password or "").encode().decode("latin-1"),
            db=self._server.database,
            charset="utf8mb4",
            client_flag=CLIENT.FOUND_ROWS,
            cursorclass=_Cursor,
            autocommit=True,
            ssl=self._ssl_context,
        )
        try:
            await session._connect()
            session.is_cluster_node = await is_cluster_node(session)
            if session.is_cluster_node:
                await refuse_unready_node(session)
            await session.apply_settings()
            if self._for_engine:
                await session.lift_time_limit()
                # A batch is then split: rows that others have locked do not hold up the rest.
                await session.query("SET SESSION innodb_lock_wait_timeout = 1")
            if self._hosts.has_several:
                await refuse_read_only(session)
        except BaseException as error:
            session.close()
            if isinstance(error, pymysql.err.OperationalError) and isinstance(error.__cause__, OSError):
                place = self._server.options.get("unix_socket") or f"{host}:{port or DEFAULT_PORT}"
                text = f"cannot connect to {place}: {describe_error(error.__cause__)}"
                raise pymysql.err.OperationalError(CR.CR_CONN_HOST_ERROR, text) from error
            raise
        return session


async def refuse_read_only(session: Any) -> None:
    """Check that the server takes writes, whether or not this user could write nevertheless.

    Raises:
        pymysql.err.OperationalError: If it does not, with the number of the error that a write would raise.
    """
    async with session.cursor() as cursor:
        await cursor.execute("SELECT @@global.read_only")
        ((is_read_only,),) = await cursor.fetchall()
    if is_read_only:
        raise pymysql.err.OperationalError(READ_ONLY, "the server is read-only")


async def refuse_binary_log(session: Any) -> None:
    """Check that the server's binary log takes writes under READ COMMITTED.

    Raises:
        ValueError: If it does not; the message has the cure.
    """
    async with session.cursor() as cursor:
        await cursor.execute("SHOW VARIABLES WHERE variable_name IN ('log_bin', 'binlog_format')")
        variables = dict(await cursor.fetchall())
    if variables.get("log_bin") == "ON" and variables.get("binlog_format") == "STATEMENT":
        raise ValueError(
            "the server's binlog_format is STATEMENT, with which it refuses every write under READ COMMITTED. "
            "An administrator sets another one, also in its configuration: SET GLOBAL binlog_format = 'ROW'"
        )


def _build_ssl_context(options: dict[str, str]) -> ssl.SSLContext | None:
    """Return how TLS verifies the server, by the URL's own CA or the machine's; None without TLS."""
    files = {name: options[name] for name in ("ssl-ca", "ssl-cert", "ssl-key") if options.get(name)}
    if options.get("ssl", "true" if files else "false").lower() == "false":
        return None
    check_option_files(files, files)
    context = ssl.create_default_context(cafile=files.get("ssl-ca"))
    if "ssl-cert" in files:
        context.load_cert_chain(files["ssl-cert"], files.get("ssl-key"))
    return context
