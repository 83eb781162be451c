"""A primary server of MariaDB with a replica that can take its place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pymysql

from tests.database_servers import DatabaseServer
from tests.faults.standby import ServerPair
from tests.mariadb_program import MARIADB, MariadbProgram

__all__ = ["open_mariadb_pair"]

USER = "shop"
"""Whom the executors are: a user that may not write to a server that is read-only, as the tests' own user may."""
WAIT_SECONDS = 10


class ReplicatedProgram(MariadbProgram):
    """MariaDB with a binary log, whose transactions have global ids."""

    def __init__(self, number: int) -> None:
        self._number = number

    def build_start_command(self, folder: Path, port: int, *, is_durable: bool) -> Sequence[str]:
        """Return the command that runs the server, with a log of its own name, which ends with its data folder."""
        command = super().build_start_command(folder, port, is_durable=is_durable)
        return [*command, f"--server-id={self._number}", "--log-bin=binary-log", "--log-basename=server"]


class MariadbPair(ServerPair):
    """Two servers with the same data, of which one takes writes; their replication is asynchronous, by global ids."""

    def __init__(self, primary: DatabaseServer, replica: DatabaseServer, database: str) -> None:
        super().__init__(primary, replica, database)
        self._maintenance_urls = [server.build_url(MARIADB.maintenance_database) for server in (primary, replica)]
        self.primary_url, self.standby_url = (
            url.replace(MARIADB.login, f"{USER}:{USER}@") for url in (self.primary_url, self.standby_url)
        )

    async def switch_over(self) -> None:
        """Let the primary take no writes any more, and promote the replica when it has all that was written."""
        await asyncio.to_thread(self._switch_over)

    def _switch_over(self) -> None:
        with _connect(self._maintenance_urls[0]) as old, _connect(self._maintenance_urls[1]) as new:
            old.execute("SET GLOBAL read_only = 1")
            old.execute("SELECT @@gtid_binlog_pos")
            ((written,),) = old.fetchall()
            _wait_for_replica(new, written)
            for statement in ("STOP SLAVE", "RESET SLAVE ALL", "SET GLOBAL read_only = 0"):
                new.execute(statement)

    def begin_replication(self, database: str) -> None:
        """Let the replica follow the primary from its first transaction on, and create the database."""
        primary_url, replica_url = self._maintenance_urls
        port = urlsplit(primary_url).port
        source = f"master_host='127.0.0.1', master_port={port}, master_user='flowlet', master_password='flowlet'"
        with _connect(primary_url) as primary, _connect(replica_url) as replica:
            replica.execute("RESET MASTER")  # its own users, which the primary has made, too
            replica.execute("SET GLOBAL gtid_slave_pos = ''")
            replica.execute(f"CHANGE MASTER TO {source}, master_use_gtid = slave_pos")
            replica.execute("SET GLOBAL read_only = 1")
            replica.execute("START SLAVE")
            primary.execute(f"CREATE DATABASE {database}")
            primary.execute(f"CREATE USER {USER}@'127.0.0.1' IDENTIFIED BY '{USER}'")
            rights = "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, DROP"
            primary.execute(f"GRANT {rights} ON {database}.* TO {USER}@'127.0.0.1'")
            primary.execute("SELECT @@gtid_binlog_pos")
            ((written,),) = primary.fetchall()
            _wait_for_replica(replica, written)


def _wait_for_replica(cursor: Any, written: str) -> None:
    cursor.execute("SELECT MASTER_GTID_WAIT(%s, %s)", (written, WAIT_SECONDS))
    ((result,),) = cursor.fetchall()
    if result != 0:
        cursor.execute("SHOW SLAVE STATUS")
        raise AssertionError(f"the replica does not reach {written}: {cursor.fetchall()}")


@contextmanager
def _connect(url: str) -> Iterator[Any]:
    parts = urlsplit(url)
    with pymysql.connect(
        host=parts.hostname, port=parts.port or 0, user=parts.username, password=parts.password or "", autocommit=True
    ) as connection:
        yield connection.cursor()


@asynccontextmanager
async def open_mariadb_pair(database: str) -> AsyncIterator[ServerPair]:
    """Start a primary with an empty database, and its replica."""
    primary = DatabaseServer.of(ReplicatedProgram(1))
    try:
        replica = DatabaseServer.of(ReplicatedProgram(2))
        try:
            pair = MariadbPair(primary, replica, database)
            await asyncio.to_thread(pair.begin_replication, database)
            yield pair
        finally:
            replica.close_server()
    finally:
        primary.close_server()
