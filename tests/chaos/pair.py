"""Two servers of PostgreSQL that change places: the standby is promoted, and the old primary becomes its standby.

Their replication is synchronous, without exception: a commit is acknowledged when it is on both. While the standby is
away, or is being made, every commit waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.chaos.fleet import wait_until
from tests.chaos.raw_database import DATABASE_ERRORS, RawDatabase
from tests.database_servers import DatabaseServer
from tests.faults.standby import ServerPair, StandbyProgram
from tests.postgres_program import POSTGRES, PostgresProgram

__all__ = ["SwitchingPair", "open_switching_pair"]

DATABASE = "chaos"
FOLLOW_SECONDS = 60.0
"""How long a standby may take until commits are acknowledged again."""
SETTINGS = ("synchronous_standby_names=*", "synchronous_commit=on")
KEEP_WAL = "ALTER SYSTEM SET wal_keep_size = '512MB'"
"""In a file of the data folder: pg_rewind lets a server recover that would remove the log which it reads then."""
FOLLOWERS = "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'sync'"


class _PairProgram(PostgresProgram):
    """PostgreSQL whose commits wait for a standby, and whose data folder pg_rewind can set back."""

    def build_setup_command(self, folder: Path) -> Sequence[str]:
        """Return the command that makes an empty data folder."""
        return [*super().build_setup_command(folder), "--data-checksums"]

    def build_start_command(self, folder: Path, port: int, *, is_durable: bool) -> Sequence[str]:
        """Return the command that runs the server, with the same settings for a primary and a standby."""
        command = super().build_start_command(folder, port, is_durable=is_durable)
        return [*command, *(part for setting in SETTINGS for part in ("-c", setting))]


class _CopiedStandby(StandbyProgram):
    """A standby with a copy of its primary's data folder."""

    def build_start_command(self, folder: Path, port: int, *, is_durable: bool) -> Sequence[str]:
        """Return the command that runs the server."""
        return _PairProgram().build_start_command(folder, port, is_durable=is_durable)


class _RewoundStandby(_CopiedStandby):
    """A standby that was the primary, whose data folder is set back to where the new primary has taken over."""

    def build_setup_command(self, folder: Path) -> Sequence[str]:
        """Return the command that changes the data folder."""
        source = f"host={self._primary.hostname} port={self._primary.port} user=flowlet dbname=postgres"
        options = ("--write-recovery-conf", "--no-sync", f"--source-server={source}")
        return [self._find_binary("pg_rewind"), *options, f"--target-pgdata={folder / 'data'}"]


class SwitchingPair:
    """A primary and a standby, of which each has been both.

    Args:
        primary: The server that takes writes.
        standby: The server that follows it.

    Attributes:
        executor_url: The database for executors, with both hosts.
        writable_url: The same for the judge, whose connections are led to the server that takes writes.
    """

    def __init__(self, primary: DatabaseServer, standby: DatabaseServer) -> None:
        self._primary = primary
        self._standby = standby
        second_host = standby.build_url(DATABASE).rpartition("@")[2]
        self.executor_url = primary.build_url(DATABASE).replace(f"/{DATABASE}", f",{second_host}")
        self.writable_url = f"{self.executor_url}?target_session_attrs=read-write"

    def switch_over(self) -> None:
        """Let the primary take no writes any more, promote the standby, and make a new standby of the old primary."""
        asyncio.run(ServerPair(self._primary, self._standby, DATABASE).switch_over())
        self._primary, self._standby = self._standby, self._primary
        self._standby.replace_data(_CopiedStandby(self._build_maintenance_url()))
        self.wait_for_standby()

    def fail_over(self) -> None:
        """Kill the primary as a power cut does, promote the standby, and set the old primary back to follow it."""
        self._primary.kill_server()
        self._primary, self._standby = self._standby, self._primary
        # pg_rewind reads from the control file on which timeline the new primary is, and a checkpoint writes that.
        RawDatabase(self._build_maintenance_url()).execute("SELECT pg_promote()", "CHECKPOINT")
        self._standby.convert_data(_RewoundStandby(self._build_maintenance_url()))
        self.wait_for_standby()

    def freeze_standby(self) -> AbstractContextManager[None]:
        """Suspend the standby for the length of the block: no commit is acknowledged."""
        return self._standby.freeze_server()

    def wait_for_standby(self) -> None:
        """Return when the standby follows; the run ends where it does not."""
        if not wait_until(self._is_followed, timeout_seconds=FOLLOW_SECONDS):
            pytest.fail(f"the standby does not follow:\n{''.join(self._standby.log)}", pytrace=False)

    def _is_followed(self) -> bool:
        try:
            return bool(RawDatabase(self._build_maintenance_url()).fetch(FOLLOWERS))
        except DATABASE_ERRORS:
            return False

    def _build_maintenance_url(self) -> str:
        return self._primary.build_url(POSTGRES.maintenance_database)


@contextmanager
def open_switching_pair() -> Iterator[SwitchingPair]:
    """Start a primary with an empty database, and its standby, for the length of the block."""
    primary = DatabaseServer.of(_PairProgram(), is_durable=True)
    try:
        maintenance = primary.build_url(POSTGRES.maintenance_database)
        POSTGRES.execute_statement(maintenance, KEEP_WAL)
        standby = DatabaseServer.of(_CopiedStandby(maintenance), is_durable=True)
        try:
            pair = SwitchingPair(primary, standby)
            pair.wait_for_standby()
            POSTGRES.execute_statement(maintenance, POSTGRES.build_create_statement(DATABASE))
            yield pair
        finally:
            standby.close_server()
    finally:
        primary.close_server()
