"""The database programs the tests can run: how each is set up, started and spoken to."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import asyncpg
import pymysql

__all__ = ["MARIADB", "POSTGRES", "DatabaseProgram"]


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

    def build_start_command(self, folder: Path, port: int) -> Sequence[str]:
        """Return the command that runs the server in the foreground."""
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

    def build_start_command(self, folder: Path, port: int) -> Sequence[str]:
        settings = {
            "port": port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": folder,
            "shared_buffers": "64MB",
            "max_connections": 200,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [self._find_binary("postgres"), "-D", str(folder / "data"), *options]

    def execute_statement(self, url: str, statement: str) -> None:
        async def execute_once() -> None:
            connection = await asyncpg.connect(url)
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        _run_in_thread(execute_once)

    def build_create_statement(self, database: str) -> str:
        return f"CREATE DATABASE {database} TEMPLATE template0"

    def build_drop_statement(self, database: str) -> str:
        return f"DROP DATABASE IF EXISTS {database} WITH (FORCE)"

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

    def build_start_command(self, folder: Path, port: int) -> Sequence[str]:
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
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [_find_executable("mariadbd", Path("/usr/sbin")), "--no-defaults", "--skip-name-resolve", *options]

    def execute_statement(self, url: str, statement: str) -> None:
        parts = urlsplit(url)
        connection = pymysql.connect(
            host=parts.hostname,
            port=parts.port or 3306,
            user=parts.username,
            password=parts.password or "",
            database=parts.path.lstrip("/"),
        )
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)

    def build_create_statement(self, database: str) -> str:
        return f"CREATE DATABASE {database} CHARACTER SET utf8mb4"

    def build_drop_statement(self, database: str) -> str:
        return f"DROP DATABASE IF EXISTS {database}"


POSTGRES: DatabaseProgram = PostgresProgram()
MARIADB: DatabaseProgram = MariadbProgram()


def _find_executable(name: str, *folders: Path) -> str:
    """Return the path of a binary: from the folders, else from PATH, else empty."""
    for folder in folders:
        if (folder / name).is_file():
            return str(folder / name)
    return shutil.which(name) or ""


def _run_in_thread(function: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine to its end on a loop of its own, whether or not this thread runs one."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(function())).result()
