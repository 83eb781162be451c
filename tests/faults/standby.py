"""A primary server of PostgreSQL with a standby that can take its place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from tests.database_servers import DatabaseServer
from tests.faults.fault_harness import REAL_CLOCK
from tests.postgres_program import POSTGRES, PostgresProgram

__all__ = ["ServerPair", "StandbyProgram", "open_server_pair", "start_primary_and_standby"]


class StandbyProgram(PostgresProgram):
    """PostgreSQL as the standby of another server."""

    ready_line = "ready to accept read-only connections"

    def __init__(self, primary_url: str) -> None:
        self._primary = urlsplit(primary_url)

    def build_setup_command(self, folder: Path) -> Sequence[str]:
        """Return the command that copies the primary's data folder."""
        options = "--write-recovery-conf --wal-method=stream --checkpoint=fast --no-sync --username=flowlet"
        place = [f"--host={self._primary.hostname}", f"--port={self._primary.port}", f"--pgdata={folder / 'data'}"]
        return [self._find_binary("pg_basebackup"), *options.split(), *place]


class ServerPair:
    """Two servers with the same data, of which one takes writes."""

    def __init__(self, primary: DatabaseServer, standby: DatabaseServer, database: str) -> None:
        self.primary_url = primary.build_url(database)
        self.standby_url = standby.build_url(database)

    async def switch_over(self) -> None:
        """Let the primary take no writes any more, and promote the standby when it has all that was written.

        Connections to the old primary stay open, as with a planned switchover.
        """
        old, new = await asyncpg.connect(self.primary_url), await asyncpg.connect(self.standby_url)
        try:
            await old.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            await old.execute("SELECT pg_reload_conf()")
            await self._wait_for_standby(old, new)
            await new.execute("SELECT pg_promote()")
        finally:
            await asyncio.gather(old.close(), new.close())

    async def _wait_for_standby(self, old: asyncpg.Connection, new: asyncpg.Connection) -> None:
        writing = "SELECT COUNT(*) FROM pg_stat_activity WHERE backend_xid IS NOT NULL"
        while True:
            is_quiet = await old.fetchval("SHOW default_transaction_read_only") == "on"
            is_quiet = is_quiet and not await old.fetchval(writing)
            written = await old.fetchval("SELECT pg_current_wal_lsn()::text")
            if is_quiet and await new.fetchval("SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn", written):
                return
            await REAL_CLOCK.sleep(0.05)


@asynccontextmanager
async def open_server_pair(database: str) -> AsyncIterator[ServerPair]:
    """Start a primary with an empty database, and its standby."""
    with start_primary_and_standby(database) as (primary, standby):
        yield ServerPair(primary, standby, database)


@contextmanager
def start_primary_and_standby(database: str) -> Iterator[tuple[DatabaseServer, DatabaseServer]]:
    """Start a primary with an empty database, and its standby, for the length of the block."""
    primary = DatabaseServer.of(POSTGRES, is_durable=True)  # a standby has what the primary has flushed
    try:
        maintenance = primary.build_url(POSTGRES.maintenance_database)
        POSTGRES.execute_statement(maintenance, POSTGRES.build_create_statement(database))
        standby = DatabaseServer.of(StandbyProgram(maintenance))
        try:
            yield primary, standby
        finally:
            standby.close_server()
    finally:
        primary.close_server()
