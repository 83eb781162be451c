"""PostgreSQL for the tests: its commands, its settings, and how its databases are emptied."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import asyncpg

from tests.database_programs import STATEMENT_SECONDS, DatabaseProgram, find_executable
from tests.databases import SCHEMA

__all__ = ["POSTGRES", "PostgresProgram"]


T = TypeVar("T")

# The tables and their columns, indexes, constraints and triggers, functions, settings of the database, planner
# statistics (ANALYZE leaves them behind, and TRUNCATE keeps them), and the migrations that were applied.
POSTGRES_SHAPE = """
SELECT md5(concat_ws(' ',
    (SELECT string_agg(concat_ws(' ', c.oid, c.relname, c.relkind, c.reloptions, a.attname, a.atttypid, a.atttypmod,
            a.attnotnull, a.attcollation), ',' ORDER BY c.oid, a.attnum)
        FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
        WHERE c.relnamespace = quote_ident(current_schema())::regnamespace),
    (SELECT string_agg(concat_ws(' ', oid, conname), ',' ORDER BY oid)
        FROM pg_constraint WHERE connamespace = quote_ident(current_schema())::regnamespace),
    (SELECT string_agg(tgname, ',' ORDER BY oid) FROM pg_trigger),
    (SELECT string_agg(proname, ',' ORDER BY oid)
        FROM pg_proc WHERE pronamespace = quote_ident(current_schema())::regnamespace),
    (SELECT string_agg(setconfig::text, ',' ORDER BY setrole) FROM pg_db_role_setting
        WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())),
    (SELECT count(*) FROM pg_stats WHERE schemaname = current_schema()),
    (SELECT string_agg(concat_ws(' ', migration, step), ',' ORDER BY migration, step) FROM flowlet_schema_version)
))
"""
# The statistics of the activity are read once per transaction unless they are cleared.
POSTGRES_END_OTHERS = """
DO $$ BEGIN
    WHILE (SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend') > 0 LOOP
        PERFORM pg_sleep(0.002);
        PERFORM pg_stat_clear_snapshot();
    END LOOP;
END $$
"""
# TRUNCATE makes new files for a table and all its indexes (10 ms), DELETE leaves dead rows, which the planner reckons
# with from about ten pages on: small tables are deleted from, until they have grown.
POSTGRES_EMPTY = """
DO $$
DECLARE name regclass;
BEGIN
    FOR name IN SELECT oid FROM pg_class WHERE relnamespace = quote_ident(current_schema())::regnamespace
            AND relkind = 'r' AND relname <> 'flowlet_schema_version' AND pg_relation_size(oid) > 0 LOOP
        EXECUTE format(CASE WHEN pg_relation_size(name) > 65536 THEN 'TRUNCATE %s' ELSE 'DELETE FROM %s' END, name);
    END LOOP;
    PERFORM setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false)
        FROM pg_sequences WHERE schemaname = current_schema() AND last_value IS NOT NULL;
END $$
"""


class PostgresProgram:
    """PostgreSQL, the newest that is installed."""

    name = "PostgreSQL"
    scheme = "postgresql"
    account = "postgres"
    login = "flowlet@"
    url_variable = "FLOWLET_TEST_POSTGRES_URL"
    package = "postgresql"
    ready_line = "ready to accept connections"
    stop_signal = signal.SIGINT
    maintenance_database = "postgres"
    environment: Mapping[str, str] = {}

    def is_installed(self) -> bool:
        return bool(self._find_binary("initdb") and self._find_binary("postgres"))

    def build_setup_command(self, folder: Path) -> Sequence[str]:
        options = "--username=flowlet --auth=trust --encoding=UTF8 --locale=C --no-sync --no-instructions"
        return [self._find_binary("initdb"), f"--pgdata={folder / 'data'}", *options.split()]

    def build_start_command(self, folder: Path, port: int, *, is_durable: bool) -> Sequence[str]:
        settings = {
            "port": port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": folder,
            "shared_buffers": "64MB",
            "max_connections": 200,
        }
        if not is_durable:
            settings |= dict.fromkeys(("fsync", "synchronous_commit", "full_page_writes", "autovacuum"), "off")
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [self._find_binary("postgres"), "-D", str(folder / "data"), *options]

    def execute_statement(self, url: str, statement: str) -> None:
        self._connect(url, lambda connection: connection.execute(statement))

    def build_create_statement(self, database: str) -> str:
        return f"CREATE DATABASE {database} TEMPLATE template0"

    def build_drop_statement(self, database: str) -> str:
        return f"DROP DATABASE IF EXISTS {database} WITH (FORCE)"

    def describe_schema(self, url: str) -> str:
        found: str = self._connect(url, lambda connection: connection.fetchval(POSTGRES_SHAPE))
        return found

    def empty_database(self, url: str, shape: str) -> bool:
        async def work(connection: Any) -> bool:
            await connection.execute(POSTGRES_END_OTHERS)
            if await connection.fetchval(POSTGRES_SHAPE) != shape:
                return False
            await connection.execute(POSTGRES_EMPTY)
            return True

        try:
            return _KEPT_CONNECTIONS.run(url, work)
        except asyncpg.PostgresError:  # the database is gone, or its tables are
            return False

    def _connect(self, url: str, work: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
        """Do something on a connection of its own, which finds the tables in either schema."""

        async def run() -> T:
            connection = await _open_connection(url)
            try:
                return await work(connection)
            finally:
                await connection.close()

        return _run_in_thread(run)

    def _find_binary(self, name: str) -> str:
        folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name))
        return find_executable(name, *reversed(folders))


class _KeptConnections:
    """A connection to each database, which stays open from test to test, on an event loop in a thread of its own.

    A new connection's first look at the catalog took ten times as long as all that is done before a test: 40 ms of
    processor time instead of 4.
    """

    def __init__(self) -> None:
        self._connections: dict[str, Any] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, url: str, work: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
        """Do something on the connection to this database."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            Thread(target=self._loop.run_forever, name="kept connections", daemon=True).start()
        return asyncio.run_coroutine_threadsafe(self._run(url, work), self._loop).result()

    async def _run(self, url: str, work: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
        connection = self._connections.get(url)
        if connection is not None and not connection.is_closed():
            try:
                return await work(connection)
            except (asyncpg.InterfaceError, asyncpg.PostgresConnectionError, OSError):
                connection.terminate()  # a test has ended it, or the server
        connection = self._connections[url] = await _open_connection(url)
        return await work(connection)


POSTGRES: DatabaseProgram = PostgresProgram()
_KEPT_CONNECTIONS = _KeptConnections()


async def _open_connection(url: str) -> Any:
    return await asyncpg.connect(
        url, command_timeout=STATEMENT_SECONDS, server_settings={"search_path": f'"{SCHEMA}", public'}
    )


def _run_in_thread(function: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end on a loop of its own, whether or not this thread runs one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(function())).result()
