"""A Galera cluster: reads wait for what other nodes have committed, and a node without its cluster is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pymysql
import pytest

from flowlet.database_url import parse_server_url
from flowlet.definition.registry import Registry
from flowlet.engine.limits.claims import list_policies
from flowlet.errors import StoreUnavailableError
from flowlet.instance.instance import Instance
from flowlet.operations.service import Operations
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession
from flowlet.store.dialects.mysql.session import MySQLSession, MySQLSessionOpener
from flowlet.store.limits import admission
from flowlet.store.limits.survey import AdmissionRequest, count_running
from flowlet.store.migrations import check_schema, upgrade_schema
from flowlet.store.opening import load_dialect, open_store
from flowlet.workflow.limits import Limit
from tests.engine.limits.limited_modules import Door, build_charges
from tests.faults.galera_cluster import GaleraCluster, open_galera_cluster

pytestmark = [pytest.mark.xdist_group("galera"), pytest.mark.timeout(180)]

TABLE = "CREATE TABLE IF NOT EXISTS stock (id INT PRIMARY KEY, pieces INT NOT NULL)"
NODE_SQL = "SELECT @@port"
PIECES_SQL = "SELECT pieces FROM stock WHERE id = 1"
ISOLATE_SQL = "SET GLOBAL wsrep_provider_options = 'gmcast.isolate={}'"
SHORT_WAIT_SQL = "SET GLOBAL wsrep_provider_options = 'repl.causal_read_timeout=PT{}S'"
STARTER_COUNT = 6
NOTICED_SECONDS = 30
"""How long a node may take to notice that it is isolated; until then it commits."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[GaleraCluster]:
    """Two nodes, of which the first one stays a cluster where they lose each other."""
    with open_galera_cluster("shop", size=2) as cluster:
        yield cluster


@pytest.fixture
def stock(cluster: GaleraCluster) -> GaleraCluster:
    """The cluster with a table that has one row."""
    for sql in (TABLE.replace("stock", "shop.stock"), "REPLACE INTO shop.stock VALUES (1, 0)"):
        cluster.fetch(0, sql)
    return cluster


@asynccontextmanager
async def open_pools(url: str) -> AsyncIterator[Connections]:
    connections = Connections(url, load_dialect(url))
    await connections.open()
    try:
        yield connections
    finally:
        await connections.close()


@asynccontextmanager
async def open_session(url: str) -> AsyncIterator[MySQLSession]:
    session = await MySQLSessionOpener(parse_server_url(url)).open_session()
    try:
        yield session
    finally:
        session.close()


async def fetch_pieces(session: MySQLSession) -> int:
    async with session.cursor() as cursor:
        await cursor.execute(PIECES_SQL)
        ((pieces,),) = await cursor.fetchall()
    return int(pieces)


async def read_port(connections: Connections) -> int:
    """Return the port of the node that a connection of the pool leads to."""
    ((port,),) = await connections.read(lambda session: session.fetch_rows(NODE_SQL))
    return int(port)


async def add_piece(connections: Connections) -> None:
    await connections.write(lambda session: session.execute("UPDATE stock SET pieces = pieces + 1 WHERE id = 1"))


async def test_a_read_waits_for_what_another_node_has_committed(stock: GaleraCluster) -> None:
    stock.fetch(1, SHORT_WAIT_SQL.format("0.2"))
    async with open_session(stock.build_node_url(0)) as writer, open_session(stock.build_node_url(1)) as reader:
        async with open_session(stock.build_node_url(1)) as blocker:
            await blocker.query("FLUSH TABLES WITH READ LOCK")  # the node applies nothing
            await writer.query("UPDATE stock SET pieces = 7 WHERE id = 1")
            with pytest.raises(pymysql.err.OperationalError, match="timeout"):
                await fetch_pieces(reader)
        stock.fetch(1, SHORT_WAIT_SQL.format(30))

        assert await fetch_pieces(reader) == 7


async def test_a_session_waits_for_other_nodes_again_after_a_handlers_own_statements(stock: GaleraCluster) -> None:
    async with open_session(stock.build_node_url(1)) as session:
        await session.query("SET SESSION wsrep_sync_wait = 0")

        await session.apply_settings()

        async with session.cursor() as cursor:
            await cursor.execute("SELECT @@wsrep_sync_wait")
            assert await cursor.fetchall() == ((7,),)


async def test_a_transaction_that_another_node_has_overtaken_runs_again(stock: GaleraCluster) -> None:
    attempts = 0
    async with open_pools(stock.build_node_url(0)) as first, open_pools(stock.build_node_url(1)) as second:

        async def add_slowly(session: DatabaseSession) -> None:
            nonlocal attempts
            attempts += 1
            await session.execute("UPDATE stock SET pieces = pieces + 1 WHERE id = 1")
            if attempts == 1:
                await add_piece(second)

        await first.write(add_slowly)

        assert attempts == 2
        assert await first.read(lambda session: session.fetch_rows(PIECES_SQL)) == [(2,)]


async def add_pieces(connections: Connections) -> None:
    """Add one after the other, without end."""
    while True:
        await add_piece(connections)


async def test_a_node_that_loses_its_cluster_is_left_and_not_connected_to(stock: GaleraCluster) -> None:
    ports = [parse_server_url(stock.build_node_url(place)).hosts[0][1] for place in (0, 1)]
    async with open_pools(stock.build_url(1)) as connections:
        before = await read_port(connections)
        stock.fetch(1, ISOLATE_SQL.format(1))
        try:
            with pytest.raises(StoreUnavailableError):
                await asyncio.wait_for(add_pieces(connections), NOTICED_SECONDS)

            await add_piece(connections)

            after = await read_port(connections)
            async with open_pools(stock.build_url(1)) as others:
                newcomer = await read_port(others)
            with pytest.raises(StoreUnavailableError, match="none of the hosts.*the node has lost its cluster"):
                async with open_pools(stock.build_node_url(1).replace("@", "@127.0.0.1:1,")):
                    pass
        finally:
            stock.fetch(1, ISOLATE_SQL.format(0))
            await asyncio.to_thread(stock.wait_until_synced)
    assert [before, after, newcomer] == [ports[1], ports[0], ports[0]]


async def test_processes_at_several_nodes_may_make_the_tables_at_once(cluster: GaleraCluster) -> None:
    cluster.fetch(0, "CREATE OR REPLACE DATABASE shop")
    async with AsyncExitStack() as stack:
        starters = [
            await stack.enter_async_context(open_pools(cluster.build_node_url(number % 2)))
            for number in range(STARTER_COUNT)
        ]

        await asyncio.gather(*map(upgrade_schema, starters))

        for starter in starters:
            await check_schema(starter)
            assert await upgrade_schema(starter) == 0


async def test_two_nodes_admit_no_more_than_the_limit(cluster: GaleraCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry()
    registry.add(build_charges(Door(), limit=Limit(1)))
    (policy,) = list_policies(registry.definitions)
    cluster.fetch(0, "CREATE OR REPLACE DATABASE shop")
    overtaken: list[Sequence[Instance]] = []
    async with open_store(cluster.build_node_url(0)) as first, open_store(cluster.build_node_url(1)) as second:
        await first.limits.save_policies([policy])
        for customer in ("anna", "bea"):
            await Operations(first, registry).create("Charges", vars={"customer": customer})
        request = AdmissionRequest(
            "executor-0", policy.scope, "Charges", 1, policy, ("default",), limit=9, now=await first.read_clock()
        )

        async def count_before_the_other(session: DatabaseSession, gates: Sequence[str]) -> dict[str, int]:
            found = await count_running(session, gates)
            if not overtaken:
                overtaken.append([])
                overtaken[:] = [(await second.admission.admit(replace(request, executor_id="executor-1"))).instances]
                await first.connections.read(lambda session: session.fetch_rows("SELECT 1"))  # it waits for the other
            return found

        monkeypatch.setattr(admission, "count_running", count_before_the_other)
        late = await first.admission.admit(request)

    assert [len(overtaken[0]), len(late.instances)] == [1, 0]
