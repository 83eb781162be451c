"""The SQLite file is its owner's: it holds the password hashes, and the variables of every workflow. One that is no
database is not kept open."""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowlet.errors import StoreUnavailableError
from flowlet.store.dialects.sqlite.connection import SQLiteConnections
from flowlet.store.opening import open_store


def read_modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.glob("flowlet.db*")}


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    """Let new files be readable by all, as usual."""
    before = os.umask(0o022)
    yield
    os.umask(before)


async def test_a_new_file_and_those_beside_it_are_readable_by_their_owner_only(
    empty_sqlite_url: str, tmp_path: Path
) -> None:
    async with open_store(empty_sqlite_url):
        modes = read_modes(tmp_path)

    assert modes == dict.fromkeys(("flowlet.db", "flowlet.db-wal", "flowlet.db-shm"), 0o600)


async def test_a_file_that_others_may_read_is_left_as_it_is_and_reported_once(
    sqlite_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "flowlet.db"
    file.chmod(0o644)

    for _ in range(2):
        async with open_store(sqlite_url):
            pass

    assert read_modes(tmp_path)["flowlet.db"] == 0o644
    (record,) = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert record.getMessage().startswith(f"the database file {file} has mode 0644: other users")
    assert record.getMessage().endswith(f"chmod 600 {file}*")


async def test_a_private_file_is_not_reported(sqlite_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with open_store(sqlite_url):
        pass

    assert not caplog.records


async def test_no_change_of_a_file_that_is_no_database_is_suggested(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "passwords.txt"
    file.write_text("root:x:0:0:root:/root:/bin/sh\n" * 100)
    file.chmod(0o644)

    with pytest.raises(StoreUnavailableError, match="file is not a database"):
        async with open_store(f"sqlite:///{file}"):
            pass

    assert not caplog.records


def test_a_connection_to_what_is_no_database_is_closed(tmp_path: Path) -> None:
    file = tmp_path / "notes.db"
    file.write_text("no database, but a text of some length\n" * 100)
    options = SQLiteConnections().build_options(f"sqlite:///{file}", for_engine=True)

    with pytest.raises(sqlite3.DatabaseError, match="not a database") as caught:
        sqlite3.connect(file, **options)

    connection = caught.traceback[-1].frame.f_locals["self"]
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")
