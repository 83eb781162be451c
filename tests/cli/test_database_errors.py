"""Databases that a command cannot use: each command says in one message what is wrong, and changes nothing."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowlet.database_url import mask_password
from tests.cli.conftest import RunCommand
from tests.databases import SCHEMA, build_writer_url, migrate_database
from tests.mariadb_program import MARIADB
from tests.postgres_program import POSTGRES

COMMANDS = (
    ("serve", "orders.py", "--port", "0"),
    ("serve", "orders.py", "--no-web"),
    ("demo", "--port", "0"),
    ("demo", "--once"),
    ("db", "upgrade"),
    ("start", "OrderWorkflow", "-m", "orders.py"),
    ("list",),
    ("show", "1"),
    ("retry", "1"),
    ("cancel", "1"),
    ("doctor",),
    ("user", "list"),
    ("user", "disable", "ada"),
    ("key", "list"),
)
CAPABILITIES_VERSION = 0x20080522
"""The third version of the structures of Linux's capget and capset, for 64 bits."""
DAC_OVERRIDE = 1 << 1
"""What lets root write what its mode forbids to everyone."""


def assert_each_is_refused(
    run_flowlet: RunCommand, url: str, message: str, *, commands: tuple[tuple[str, ...], ...] = COMMANDS
) -> None:
    for command in commands:
        result = run_flowlet(*command, "--database", url)

        assert (result.exit_code, message in result.stderr) == (1, True), (command, result.stdout, result.stderr)
        assert "Traceback" not in result.output


def execute(url: str, *statements: str) -> None:
    program = POSTGRES if url.startswith("postgres") else MARIADB
    for statement in statements:
        program.execute_statement(url, statement)


def test_a_server_that_is_not_there(run_flowlet: RunCommand) -> None:
    for scheme in ("postgresql", "mysql"):
        url = f"{scheme}://ada:secret@127.0.0.1:1/shop"
        assert_each_is_refused(run_flowlet, url, f"cannot open the database {mask_password(url)}")


def test_a_process_whose_user_has_no_name(run_flowlet: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "PGUSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2_000_000_000)

    assert_each_is_refused(run_flowlet, "postgresql://127.0.0.1:1/shop", "Write user@ before the host")


def test_a_database_that_does_not_exist(run_flowlet: RunCommand, postgres_url: str, mariadb_url: str) -> None:
    assert_each_is_refused(run_flowlet, f"{postgres_url}_none", "does not exist")
    assert_each_is_refused(run_flowlet, f"{mariadb_url}_none", "Unknown database")


def test_a_file_that_is_no_database(run_flowlet: RunCommand, working_folder: Path) -> None:
    (working_folder / "notes.db").write_text("These are no tables, but a text. " * 40)

    assert_each_is_refused(run_flowlet, "sqlite:///notes.db", "file is not a database")


def test_a_folder(run_flowlet: RunCommand, working_folder: Path) -> None:
    for command in COMMANDS:
        result = run_flowlet(*command, "--database", f"sqlite:///{working_folder}")

        assert (result.exit_code, "is a folder" in result.stderr) == (2, True), (command, result.stderr)


def test_foreign_tables(
    run_flowlet: RunCommand, working_folder: Path, empty_postgres_url: str, empty_mariadb_url: str
) -> None:
    foreign = "CREATE TABLE flowlet_workflow (id integer)"
    execute(empty_postgres_url, foreign)
    execute(empty_mariadb_url, foreign)
    with contextlib.closing(sqlite3.connect(working_folder / "a.db")) as connection:
        connection.execute(foreign)

    for url in ("sqlite:///a.db", empty_postgres_url, empty_mariadb_url):
        assert_each_is_refused(run_flowlet, url, "list them: flowlet_workflow. Nothing was changed")


def test_tables_of_which_some_are_gone(
    run_flowlet: RunCommand, empty_postgres_url: str, empty_mariadb_url: str
) -> None:
    for url in (empty_postgres_url, empty_mariadb_url):
        assert run_flowlet("db", "upgrade", "--database", url).exit_code == 0
        execute(url, "DROP TABLE flowlet_session", "ALTER TABLE flowlet_user DROP COLUMN role")

        assert_each_is_refused(run_flowlet, url, "flowlet_session is missing; flowlet_user lacks role. Restore")


def test_a_role_without_rights(
    run_flowlet: RunCommand, monkeypatch: pytest.MonkeyPatch, schema_postgres_url: str, empty_postgres_url: str
) -> None:
    url = build_writer_url(empty_postgres_url)
    assert run_flowlet("db", "upgrade", "--database", empty_postgres_url).exit_code == 0

    assert_each_is_refused(run_flowlet, url, "GRANT SELECT, INSERT, UPDATE, DELETE ON")


def test_a_role_that_may_only_read(run_flowlet: RunCommand, schema_postgres_url: str, empty_postgres_url: str) -> None:
    url = build_writer_url(empty_postgres_url)
    assert run_flowlet("db", "upgrade", "--database", empty_postgres_url).exit_code == 0
    execute(empty_postgres_url, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO flowlet_writer")

    for command in (("list",), ("doctor",), ("user", "list"), ("key", "list"), ("db", "upgrade")):
        result = run_flowlet(*command, "--database", url)
        assert result.exit_code == 0, (command, result.stderr)
    for needing in (
        ("serve", "orders.py", "--port", "0"),
        ("serve", "orders.py", "--no-web"),
        ("demo", "--port", "0"),
        ("start", "OrderWorkflow", "-m", "orders.py"),
    ):
        result = run_flowlet(*needing, "--database", url)
        assert (result.exit_code, "lacks DELETE, INSERT, UPDATE on" in result.stderr) == (1, True), (needing, result)


@contextlib.contextmanager
def without_root_override() -> Iterator[None]:
    """Let the rights of files hold for this thread, and for those that it starts, even if it is root's."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(CAPABILITIES_VERSION, 0)
    capabilities = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; then the higher bits of each
    assert libc.capget(header, capabilities) == 0
    effective = capabilities[0]
    capabilities[0] = effective & ~DAC_OVERRIDE
    assert libc.capset(header, capabilities) == 0
    yield
    capabilities[0] = effective
    assert libc.capset(header, capabilities) == 0


@pytest.fixture
def readonly_folder() -> Iterator[Path]:
    """A folder with an empty file and a migrated database, none of which this process may write; not even as root."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "empty.db").touch()
        migrate_database(f"sqlite:///{folder / 'made.db'}")
        for path in (*folder.iterdir(), folder):
            path.chmod(0o555 if path.is_dir() else 0o444)
        with without_root_override():
            yield folder


def test_a_file_that_may_only_be_read(run_flowlet: RunCommand, readonly_folder: Path) -> None:
    for name in ("empty.db", "made.db"):
        url = f"sqlite:///{readonly_folder / name}"
        assert_each_is_refused(run_flowlet, url, "may not write it and into its folder")


def test_without_migrations_a_start_leaves_the_tables_to_db_upgrade(
    run_flowlet: RunCommand, monkeypatch: pytest.MonkeyPatch, empty_database_url: str
) -> None:
    monkeypatch.setenv("FLOWLET_MIGRATE", "false")
    commands = tuple(command for command in COMMANDS if command[0] in ("serve", "start", "demo"))

    assert_each_is_refused(run_flowlet, empty_database_url, "flowlet db upgrade", commands=commands)

    assert run_flowlet("db", "upgrade", "--database", empty_database_url).exit_code == 0
    start = run_flowlet("start", "OrderWorkflow", "-m", "orders.py", "--database", empty_database_url)
    assert (start.exit_code, start.stdout) == (0, "1\n")


def test_the_schema_of_the_environment_is_that_of_every_command(
    run_flowlet: RunCommand, monkeypatch: pytest.MonkeyPatch, schema_postgres_url: str
) -> None:
    monkeypatch.setenv("FLOWLET_DATABASE_URL", schema_postgres_url)
    monkeypatch.setenv("FLOWLET_SCHEMA", SCHEMA)

    for command in (
        ("db", "upgrade"),
        ("start", "OrderWorkflow", "-m", "orders.py"),
        ("list",),
        ("show", "1"),
        ("cancel", "1"),
        ("doctor",),
        ("user", "list"),
        ("key", "list"),
        ("demo", "--once", "--database", schema_postgres_url),
    ):
        result = run_flowlet(*command)
        assert result.exit_code == 0, (command, result.stderr)
