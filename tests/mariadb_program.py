"""MariaDB for the tests: its commands, its settings, and how its databases are emptied."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pymysql

from tests.certificates import write_certificates
from tests.database_programs import STATEMENT_SECONDS, DatabaseProgram, find_executable

__all__ = ["MARIADB", "TLS_FILES", "MariadbProgram"]

# The columns and indexes as one text each, which the server makes in half the time that Python takes to read the rows.
MARIADB_SHAPE = (
    "SELECT MD5(GROUP_CONCAT(CONCAT_WS('|', table_name, column_name, column_type, is_nullable, "
    "IFNULL(column_default, '-'), extra, IFNULL(generation_expression, '-'), IFNULL(collation_name, '-')) "
    "ORDER BY table_name, ordinal_position)) FROM information_schema.columns WHERE table_schema = DATABASE()",
    "SELECT MD5(GROUP_CONCAT(CONCAT_WS('|', table_name, index_name, column_name, non_unique, IFNULL(sub_part, '-')) "
    "ORDER BY table_name, index_name, seq_in_index)) FROM information_schema.statistics "
    "WHERE table_schema = DATABASE()",
    "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = DATABASE()",
    "SELECT routine_name FROM information_schema.routines WHERE routine_schema = DATABASE()",
    "SELECT migration, step FROM flowlet_schema_version ORDER BY migration, step",
)
MARIADB_OTHERS = "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
MARIADB_TABLES = (
    "SELECT table_name, auto_increment > 1 FROM information_schema.tables "
    "WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' AND table_name <> 'flowlet_schema_version'"
)


TLS_FILES = {"ca": "ca.pem", "cert": "server.pem", "key": "server.key"}


class MariadbProgram:
    """MariaDB, from version 10.6, with defaults that no session of Flowlet may depend on.

    Texts are Latin-1, as in a server as it is installed; an hour repeats in autumn; ``sql_mode`` is not strict, and
    changes how statements are read.
    """

    name = "MariaDB"
    scheme = "mysql"
    account = "mysql"
    login = "flowlet:flowlet@"
    url_variable = "FLOWLET_TEST_MYSQL_URL"
    package = "mariadb-server"
    ready_line = "ready for connections"
    stop_signal = signal.SIGTERM
    maintenance_database = "mysql"
    environment: Mapping[str, str] = {"TZ": "CET-1CEST,M3.5.0,M10.5.0/3"}

    def is_installed(self) -> bool:
        return bool(find_executable("mariadb-install-db") and find_executable("mariadbd", Path("/usr/sbin")))

    def build_setup_command(self, folder: Path) -> Sequence[str]:
        users = ("'flowlet'@'localhost'", "'flowlet'@'127.0.0.1'")
        statements = [f"CREATE USER IF NOT EXISTS {user} IDENTIFIED BY 'flowlet';\n" for user in users]
        statements += [f"GRANT ALL ON *.* TO {user} WITH GRANT OPTION;\n" for user in users]
        (folder / "users.sql").write_text("".join(statements))
        write_certificates(folder)
        options = "--auth-root-authentication-method=normal --skip-test-db"
        return [
            find_executable("mariadb-install-db"),
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
            "character-set-server": "latin1",
            "sql-mode": "ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH",
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
        if (folder / "ca.pem").exists():  # TLS for those that ask for it
            settings |= {f"ssl-{name}": folder / file for name, file in TLS_FILES.items()}
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [find_executable("mariadbd", Path("/usr/sbin")), "--no-defaults", "--skip-name-resolve", *options]

    def execute_statement(self, url: str, statement: str) -> None:
        with self._connect(url) as cursor:
            cursor.execute(statement)

    def build_create_statement(self, database: str) -> str:
        return f"CREATE DATABASE {database}"

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


MARIADB: DatabaseProgram = MariadbProgram()


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
