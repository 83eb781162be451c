"""Behind PgBouncer in session mode everything works as without it; any other mode is refused.

The tests of claims, commits and handlers' connections run here again, through the pooler.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from flowlet.errors import StoreUnavailableError
from flowlet.store.database_session import DatabaseSession
from flowlet.store.opening import open_store
from tests.database_servers import DatabaseServer
from tests.store.servers.pgbouncer import open_pooler
from tests.store.test_claim import *  # noqa: F403 - its tests
from tests.store.test_commit import *  # noqa: F403 - its tests
from tests.store.test_handler_connection import test_what_a_transaction_has_set_and_locked_ends_with_it  # noqa: F401


@pytest.fixture(scope="module")
def pooler(postgres_server: DatabaseServer) -> Iterator[DatabaseServer]:
    """PgBouncer in session mode."""
    with open_pooler(postgres_server, "session") as pooler:
        yield pooler


@pytest.fixture
def database_url(postgres_server: DatabaseServer, pooler: DatabaseServer) -> str:
    """The URL of a migrated database without rows, through the pooler."""
    return pooler.build_url(postgres_server.get_migrated_database().rpartition("/")[2])


@pytest.fixture
def postgres_url(database_url: str) -> str:
    """The same."""
    return database_url


async def test_a_process_hears_of_another_ones_commit_through_the_pooler(database_url: str) -> None:
    calls: asyncio.Queue[object] = asyncio.Queue()
    async with open_store(database_url) as listening, open_store(database_url) as other:
        listening.commit_signal.subscribe(calls.put_nowait)
        await calls.get()

        await other.connections.write(lambda session: session.dialect.signals.notify(session.raw, ["default"]))

        async with asyncio.timeout(10):
            await calls.get()


async def test_each_connection_counts_under_its_own_process_of_the_server(database_url: str) -> None:
    async def read_numbers(session: DatabaseSession) -> tuple[int, int]:
        ((pid,),) = await session.fetch_rows("SELECT pg_backend_pid()")
        return pid, session.dialect.writes.get_writer_id(session.raw)

    async with open_store(database_url) as store:
        pid, writer_id = await store.connections.write(read_numbers)

    assert writer_id == pid


@pytest.mark.parametrize("pool_mode", ["transaction", "statement"])
async def test_a_pooler_that_does_not_keep_sessions_is_refused(
    postgres_server: DatabaseServer, postgres_url: str, pool_mode: str
) -> None:
    with open_pooler(postgres_server, pool_mode) as pooler:
        url = pooler.build_url(postgres_url.rpartition("/")[2])
        with pytest.raises(StoreUnavailableError, match=r"gives each transaction another session.*pool_mode = session"):
            async with asyncio.timeout(20), open_store(url):
                pass
