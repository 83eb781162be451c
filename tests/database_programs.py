"""The database programs the tests can run: how each is set up, started and spoken to."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

import asyncpg
import pymysql

__all__ = ["MARIADB", "POSTGRES", "DatabaseProgram"]

T = TypeVar("T")

STATEMENT_SECONDS = 20
"""How long a statement of the tests' own may take, a wait for a lock included."""

# The tables and their columns, indexes, constraints and triggers, functions, settings of the database, planner
# statistics (ANALYZE leaves them behind, and TRUNCATE keeps them), and the migrations that were applied.
POSTGRES_SHAPE = """
SELECT md5(concat_ws(' ',
    (SELECT string_agg(concat_ws(' ', c.oid, c.relname, c.relkind, c.reloptions, a.attname, a.atttypid, a.atttypmod,
            a.attnotnull, a.attcollation), ',' ORDER BY c.oid, a.attnum)
        FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
        WHERE c.relnamespace = 'public'::regnamespace),
    (SELECT string_agg(concat_ws(' ', oid, conname), ',' ORDER BY oid)
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace),
    (SELECT string_agg(tgname, ',' ORDER BY oid) FROM pg_trigger),
    (SELECT string_agg(proname, ',' ORDER BY oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace),
    (SELECT string_agg(setconfig::text, ',' ORDER BY setrole) FROM pg_db_role_setting
        WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())),
    (SELECT count(*) FROM pg_stats WHERE schemaname = 'public'),
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
    FOR name IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
            AND relname <> 'flowlet_schema_version' AND pg_relation_size(oid) > 0 LOOP
        EXECUTE format(CASE WHEN pg_relation_size(name) > 65536 THEN 'TRUNCATE %s' ELSE 'DELETE FROM %s' END, name);
    END LOOP;
    PERFORM setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false)
        FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL;
END $$
"""
MARIADB_SHAPE = (
    "SELECT table_name, column_name, column_type, is_nullable, column_default, extra, generation_expression, "
    "collation_name FROM information_schema.columns WHERE table_schema = DATABASE() "
    "ORDER BY table_name, ordinal_position",
    "SELECT table_name, index_name, column_name, non_unique, sub_part FROM information_schema.statistics "
    "WHERE table_schema = DATABASE() ORDER BY table_name, index_name, seq_in_index",
    "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = DATABASE()",
    "SELECT routine_name FROM information_schema.routines WHERE routine_schema = DATABASE()",
    "SELECT migration, step FROM flowlet_schema_version ORDER BY migration, step",
)
MARIADB_OTHERS = "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
MARIADB_TABLES = (
    "SELECT table_name, auto_increment > 1 FROM information_schema.tables "
    "WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' AND table_name <> 'flowlet_schema_version'"
)


class DatabaseProgram(Protocol):
    """What differs between the database programs."""

    name: str
    scheme: str
    account: str
    """Whom the server runs as where the tests run as root, which both programs refuse."""
    login: str
    """The ``user:password@`` of its URLs."""
    url_variable: str
    """The environment variable with the URL of a server to use instead of a private one."""
    package: str
    ready_line: str
    """What the server writes when it can be used."""
    stop_signal: signal.Signals
    maintenance_database: str
    """The database from which others are created."""

    def is_installed(self) -> bool:
        """Return whether its binaries are here."""
        ...

    def build_setup_command(self, folder: Path) -> Sequence[str]:
        """Return the command that makes the data folder."""
        ...

    def build_start_command(self, folder: Path, port: int, *, is_durable: bool) -> Sequence[str]:
        """Return the command that runs the server in the foreground; one that is not durable never waits for a disk."""
        ...

    def execute_statement(self, url: str, statement: str) -> None:
        """Run one statement on a connection of its own."""
        ...

    def build_create_statement(self, database: str) -> str:
        """Return the statement that creates a database."""
        ...

    def build_drop_statement(self, database: str) -> str:
        """Return the statement that drops a database."""
        ...

    def describe_schema(self, url: str) -> str:
        """Return a description of a database without its rows: it differs after a change of a table or of a setting."""
        ...

    def empty_database(self, url: str, shape: str) -> bool:
        """End all other connections of a database, delete its rows and restart its ids.

        Returns:
            Whether it is now as its migration left it; False, with nothing deleted, where its shape is another.
        """
        ...


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
            return self._connect(url, work)
        except asyncpg.PostgresError:  # the database is gone, or its tables are
            return False

    def _connect(self, url: str, work: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
        """Do something on a connection of its own."""

        async def run() -> T:
            connection = await asyncpg.connect(url, command_timeout=STATEMENT_SECONDS)
            try:
                return await work(connection)
            finally:
                await connection.close()

        return _run_in_thread(run)

    def _find_binary(self, name: str) -> str:
        folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name))
        return _find_executable(name, *reversed(folders))


class MariadbProgram:
    """MariaDB, from version 10.6."""

    name = "MariaDB"
    scheme = "mysql"
    account = "mysql"
    login = "flowlet:flowlet@"
    url_variable = "FLOWLET_TEST_MYSQL_URL"
    package = "mariadb-server"
    ready_line = "ready for connections"
    stop_signal = signal.SIGTERM
    maintenance_database = "mysql"

    def is_installed(self) -> bool:
        return bool(_find_executable("mariadb-install-db") and _find_executable("mariadbd", Path("/usr/sbin")))

    def build_setup_command(self, folder: Path) -> Sequence[str]:
        users = ("'flowlet'@'localhost'", "'flowlet'@'127.0.0.1'")
        statements = [f"CREATE USER IF NOT EXISTS {user} IDENTIFIED BY 'flowlet';\n" for user in users]
        statements += [f"GRANT ALL ON *.* TO {user} WITH GRANT OPTION;\n" for user in users]
        (folder / "users.sql").write_text("".join(statements))
        options = "--auth-root-authentication-method=normal --skip-test-db"
        return [
            _find_executable("mariadb-install-db"),
            "--no-defaults",
            f"--datadir={folder / 'data'}",
            *options.split(),
        ]

    def build_start_command(self, folder: Path, port: int, *, is_durable: bool) -> Sequence[str]:
        settings = {
            "datadir": folder / "data",
            "socket": folder / "socket",
            "pid-file": folder / "pid",
            "tmpdir": folder,
            "init-file": folder / "users.sql",
            "bind-address": "127.0.0.1",
            "port": port,
            "character-set-server": "utf8mb4",
            "innodb-buffer-pool-size": "64M",
            "innodb-log-file-size": "32M",
            "max-connections": 200,
        }
        if not is_durable:
            # Tables in one file are truncated twice as fast. What a version does not know, "loose" lets it ignore.
            settings |= {
                "innodb-flush-log-at-trx-commit": 0,
                "innodb-doublewrite": 0,
                "sync-binlog": 0,
                "innodb-flush-method": "nosync",
                "loose-innodb-file-per-table": 0,
            }
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [_find_executable("mariadbd", Path("/usr/sbin")), "--no-defaults", "--skip-name-resolve", *options]

    def execute_statement(self, url: str, statement: str) -> None:
        with self._connect(url) as cursor:
            cursor.execute(statement)

    def build_create_statement(self, database: str) -> str:
        return f"CREATE DATABASE {database} CHARACTER SET utf8mb4"

    def build_drop_statement(self, database: str) -> str:
        return f"DROP DATABASE IF EXISTS {database}"

    def describe_schema(self, url: str) -> str:
        with self._connect(url) as cursor:
            return _describe_schema(cursor)

    def empty_database(self, url: str, shape: str) -> bool:
        with contextlib.suppress(pymysql.MySQLError), self._connect(url) as cursor:
            _end_other_connections(cursor)
            if _describe_schema(cursor) == shape:
                for name, has_counted in _fetch_rows(cursor, MARIADB_TABLES):
                    if has_counted or _fetch_rows(cursor, f"SELECT 1 FROM {name} LIMIT 1"):
                        cursor.execute(f"TRUNCATE {name}")
                return True
        return False  # the tables have changed, or the database is gone

    @contextlib.contextmanager
    def _connect(self, url: str) -> Iterator[Any]:
        parts = urlsplit(url)
        connection = pymysql.connect(
            host=parts.hostname,
            port=parts.port or 3306,
            user=parts.username,
            password=parts.password or "",
            database=parts.path.lstrip("/"),
            autocommit=True,
            read_timeout=STATEMENT_SECONDS,
            ssl_disabled=True,  # reading the machine's certificates takes 18 ms
        )
        with connection, connection.cursor() as cursor:
            yield cursor


POSTGRES: DatabaseProgram = PostgresProgram()
MARIADB: DatabaseProgram = MariadbProgram()


def _find_executable(name: str, *folders: Path) -> str:
    """Return the path of a binary: from the folders, else from PATH, else empty."""
    for folder in folders:
        if (folder / name).is_file():
            return str(folder / name)
    return shutil.which(name) or ""


def _end_other_connections(cursor: Any) -> None:
    while others := _fetch_rows(cursor, MARIADB_OTHERS):
        for (other,) in others:
            with contextlib.suppress(pymysql.OperationalError):  # it has ended meanwhile
                cursor.execute(f"KILL {other}")
        cursor.execute("DO SLEEP(0.002)")


def _describe_schema(cursor: Any) -> str:
    return repr([_fetch_rows(cursor, sql) for sql in MARIADB_SHAPE])


def _fetch_rows(cursor: Any, sql: str) -> list[tuple[Any, ...]]:
    cursor.execute(sql)
    return list(cursor.fetchall())


def _run_in_thread(function: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end on a loop of its own, whether or not this thread runs one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(function())).result()
