"""A server that takes no writes is left: after a switchover, and where a URL has several hosts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from flowlet.database_url import normalize_database_url
from flowlet.errors import StoreUnavailableError
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession
from flowlet.store.dialects import hosts
from flowlet.store.handler_connection import HandlerConnection
from flowlet.store.opening import load_dialect
from tests.database_servers import DatabaseServer
from tests.store.servers.silent_proxy import open_proxy

POSTGRES, MARIADB = "postgres_url", "mariadb_url"
PID_SQL = {POSTGRES: "SELECT pg_backend_pid()", MARIADB: "SELECT CONNECTION_ID()"}
READ_ONLY_SQL = {POSTGRES: "SET default_transaction_read_only = on", MARIADB: "SET SESSION TRANSACTION READ ONLY"}
WRITE_SQL = "DELETE FROM flowlet_counter"
CONCURRENT = 3


class Pools:
    """The connections of a process, seen from outside."""

    def __init__(self, connections: Connections, fixture: str) -> None:
        self.connections = connections
        self.fixture = fixture

    async def read_pids(self, *, statement: str | None = None) -> set[int]:
        """Return the numbers of several connections at once, each of which also runs a statement."""
        barrier = asyncio.Barrier(CONCURRENT)

        async def read_pid(session: DatabaseSession) -> int:
            if statement:
                await session.execute(statement)
            await barrier.wait()
            ((pid,),) = await session.fetch_rows(PID_SQL[self.fixture])
            return int(pid)

        return set(await asyncio.gather(*(self.connections.read(read_pid) for _ in range(CONCURRENT))))

    async def write(self) -> None:
        await self.connections.write(lambda session: session.execute(WRITE_SQL))


@asynccontextmanager
async def open_pools(fixture: str, url: str) -> AsyncIterator[Pools]:
    usable = normalize_database_url(url)
    connections = Connections(usable, load_dialect(usable))
    await connections.open()
    try:
        yield Pools(connections, fixture)
    finally:
        await connections.close()


@pytest.fixture(params=[POSTGRES, MARIADB])
def fixture(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


async def test_a_refused_write_replaces_every_connection(request: pytest.FixtureRequest, fixture: str) -> None:
    async with open_pools(fixture, request.getfixturevalue(fixture)) as pools:
        before = await pools.read_pids(statement=READ_ONLY_SQL[fixture])

        with pytest.raises(StoreUnavailableError, match=r"(?i)read.only"):
            await pools.write()

        await pools.write()
        assert not before & await pools.read_pids()


async def test_a_claim_that_is_refused_replaces_every_connection(request: pytest.FixtureRequest, fixture: str) -> None:
    async def write_on(session: DatabaseSession) -> None:
        await session.execute(READ_ONLY_SQL[fixture])
        await session.execute(WRITE_SQL)

    async with open_pools(fixture, request.getfixturevalue(fixture)) as pools:
        before = await pools.read_pids()

        with pytest.raises(StoreUnavailableError):
            await pools.connections.run_on_engine(write_on)

        assert not before & await pools.read_pids()


async def test_a_handlers_transaction_that_is_refused_drops_its_connection(
    request: pytest.FixtureRequest, fixture: str
) -> None:
    pids = []

    async def write_in_transaction(connections: Connections) -> None:
        async with connections.transaction() as session:
            pids.extend(await session.fetch_rows(PID_SQL[fixture]))
            await HandlerConnection(session).execute(WRITE_SQL)

    async with open_pools(fixture, request.getfixturevalue(fixture)) as pools:
        await pools.read_pids(statement=READ_ONLY_SQL[fixture])

        with pytest.raises(Exception, match=r"(?i)read.only") as caught:
            await write_in_transaction(pools.connections)

        assert pools.connections.dialect.errors.is_unavailable(caught.value)
        assert not {pid for (pid,) in pids} & await pools.read_pids()


async def test_a_connection_that_is_lost_wakes_a_task_that_waits_for_one(mariadb_url: str) -> None:
    async with open_pools(MARIADB, mariadb_url) as pools:
        holding, waiting = asyncio.Event(), asyncio.Event()

        async def hold_and_lose(session: DatabaseSession) -> None:
            holding.set()
            await waiting.wait()
            session.raw.close()

        connections = pools.connections
        holders = [asyncio.create_task(connections.read(hold_and_lose)) for _ in range(10)]
        await holding.wait()
        more = [
            asyncio.create_task(connections.read(lambda one: one.fetch_rows("SELECT 1"))) for _ in range(CONCURRENT)
        ]
        waiting.set()

        async with asyncio.timeout(10):
            assert await asyncio.gather(*more) == [[(1,)]] * CONCURRENT
            await asyncio.gather(*holders)


async def test_the_first_host_that_takes_writes_is_used(request: pytest.FixtureRequest, fixture: str) -> None:
    url = request.getfixturevalue(fixture)
    several = add_host(url, "127.0.0.1:1")  # nothing listens there

    async with open_pools(fixture, several) as pools:
        await pools.write()


async def test_a_silent_host_does_not_keep_from_the_next_one(request: pytest.FixtureRequest, fixture: str) -> None:
    url = request.getfixturevalue(fixture)
    async with open_proxy(normalize_database_url(url)) as (proxy, way):
        proxy.silence_new_connections()
        several = add_host(url, read_host(way))
        async with asyncio.timeout(10), open_pools(fixture, several) as pools:
            await pools.write()


async def test_the_only_host_that_does_not_answer_is_away_and_the_message_says_so(
    request: pytest.FixtureRequest, fixture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "CONNECT_TIMEOUT_SECONDS", 0.3)
    async with open_proxy(normalize_database_url(request.getfixturevalue(fixture))) as (proxy, way):
        proxy.silence_new_connections()

        with pytest.raises(StoreUnavailableError, match=r": no answer within 0\.3 seconds$"):
            async with open_pools(fixture, way):
                pass


async def test_a_socket_that_is_not_there_is_named() -> None:
    with pytest.raises(StoreUnavailableError, match=r"cannot connect to /nowhere/mysqld\.sock: .*No such file"):
        async with open_pools(MARIADB, "mysql://ada@/shop?unix_socket=/nowhere/mysqld.sock"):
            pass


async def test_no_host_that_is_read_only_is_used(postgres_server: DatabaseServer) -> None:
    url = postgres_server.create_database()
    database = url.rpartition("/")[2]
    sql = f"ALTER DATABASE {database} SET default_transaction_read_only = on"
    postgres_server.program.execute_statement(url, sql)

    with pytest.raises(StoreUnavailableError, match=r"none of the hosts can be used: 127.0.0.1:1: .*read-write"):
        async with open_pools(POSTGRES, add_host(url, "127.0.0.1:1")):
            pass

    postgres_server.drop_database(url)


async def test_no_mariadb_host_that_is_read_only_is_used(mariadb_server: DatabaseServer, mariadb_url: str) -> None:
    mariadb_server.program.execute_statement(mariadb_url, "SET GLOBAL read_only = 1")
    try:
        with pytest.raises(StoreUnavailableError, match=r"none of the hosts.*the server is read-only"):
            async with open_pools(MARIADB, add_host(mariadb_url, "127.0.0.1:1")):
                pass
    finally:
        mariadb_server.program.execute_statement(mariadb_url, "SET GLOBAL read_only = 0")


def add_host(url: str, host: str) -> str:
    """Return the URL with a first host."""
    return url.replace("@", f"@{host},", 1)


def read_host(url: str) -> Any:
    return url.partition("@")[2].partition("/")[0]
