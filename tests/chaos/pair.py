"""Two servers of PostgreSQL that change places: the standby is promoted, and the old primary becomes its standby."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from tests.database_servers import DatabaseServer
from tests.faults.standby import ServerPair, StandbyProgram, start_primary_and_standby
from tests.postgres_program import POSTGRES

__all__ = ["SwitchingPair", "open_switching_pair"]

DATABASE = "chaos"


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

    def promote_standby(self) -> None:
        """Make a planned switchover: the primary takes no writes any more, and the standby is promoted."""
        asyncio.run(ServerPair(self._primary, self._standby, DATABASE).switch_over())
        self._primary, self._standby = self._standby, self._primary

    def rebuild_standby(self) -> None:
        """Make the old primary a standby of the new one."""
        self._standby.replace_data(StandbyProgram(self._primary.build_url(POSTGRES.maintenance_database)))


@contextmanager
def open_switching_pair() -> Iterator[SwitchingPair]:
    """Start a primary with an empty database, and its standby, for the length of the block."""
    with start_primary_and_standby(DATABASE) as (primary, standby):
        yield SwitchingPair(primary, standby)
