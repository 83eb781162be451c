"""Statements on SQLite end with the deadline of their request, and those of others on the same connection go on."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest

from flowlet.clock import set_call_deadline
from flowlet.database_url import get_sqlite_path
from flowlet.errors import StoreUnavailableError
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession
from flowlet.store.handler_transaction_state import handler_transaction
from tests.store.servers.test_session_settings import open_connections

pytestmark = pytest.mark.timeout(30)

ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT {} FROM n"
DEADLINE_SECONDS = 0.2


@pytest.fixture
async def connections(sqlite_url: str) -> AsyncIterator[Connections]:
    async with open_connections(sqlite_url) as opened:
        yield opened


async def run_with_deadline(work: Awaitable[Any]) -> None:
    """Run the work as a request does, and expect that it is ended."""
    set_call_deadline(DEADLINE_SECONDS)
    with pytest.raises(StoreUnavailableError, match="a statement was ended after 0.2 seconds|TimeoutError"):
        await work
    set_call_deadline(None)


async def count_endlessly(session: DatabaseSession) -> None:
    await session.fetch_rows(ENDLESS.format("COUNT(*)"))


async def read_rows(connections: Connections, count: int) -> int:
    """Return how many rows a statement of so many has read."""
    sql = f"{ENDLESS.format('i')} LIMIT {count}"
    return len(await connections.read(lambda session: session.fetch_rows(sql)))


async def write_counter(session: DatabaseSession) -> None:
    await session.execute(
        "INSERT INTO flowlet_counter (writer, minutes, start, workflow_type, transitions, failures, finished, failed, "
        "cancelled, opened) VALUES (1, 1, 1, 'Orders', 1, 0, 0, 0, 0, 0)"
    )


async def count_counters(connections: Connections) -> int:
    rows = await connections.read(lambda session: session.fetch_rows("SELECT COUNT(*) FROM flowlet_counter"))
    return int(rows[0][0])


async def test_a_read_ends_with_its_deadline_and_the_next_one_is_run(connections: Connections) -> None:
    await run_with_deadline(connections.read(count_endlessly))

    assert await read_rows(connections, 3) == 3


async def test_reads_of_others_go_on(connections: Connections) -> None:
    others = [asyncio.create_task(read_rows(connections, 50 * place)) for place in range(1, 40)]

    await run_with_deadline(connections.read(count_endlessly))

    assert await asyncio.gather(*others) == [50 * place for place in range(1, 40)]


async def test_a_read_that_was_interrupted_between_two_of_its_rows_runs_again(connections: Connections) -> None:
    attempts = []
    has_begun, may_continue = asyncio.Event(), asyncio.Event()

    async def read_in_two_parts(session: DatabaseSession) -> list[Any]:
        attempts.append(1)
        async with session.raw.execute(f"{ENDLESS.format('i')} LIMIT 10") as cursor:
            rows = [await cursor.fetchone()]
            has_begun.set()
            await may_continue.wait()
            return [*rows, *await cursor.fetchall()]

    other = asyncio.create_task(connections.read(read_in_two_parts))
    await has_begun.wait()

    await run_with_deadline(connections.read(count_endlessly))
    may_continue.set()

    assert [row[0] for row in await other] == list(range(1, 11))
    assert len(attempts) == 2


async def test_a_read_whose_turn_does_not_come_is_not_run_and_interrupts_no_other(connections: Connections) -> None:
    runs: list[int] = []
    has_begun, may_end = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def wait_in_thread() -> bool:
        loop.call_soon_threadsafe(has_begun.set)
        return may_end.wait()

    async def record_run(session: DatabaseSession) -> None:
        await session.raw._execute(runs.append, 1)

    first = asyncio.create_task(connections.read(lambda session: session.raw._execute(wait_in_thread)))
    await has_begun.wait()
    try:
        await run_with_deadline(connections.read(record_run))
        assert not first.done()
    finally:
        may_end.set()

    assert await first
    assert await read_rows(connections, 3) == 3
    assert not runs


async def test_a_write_that_is_interrupted_is_rolled_back_and_the_next_one_is_made(connections: Connections) -> None:
    async def write_and_count(session: DatabaseSession) -> None:
        await write_counter(session)
        await count_endlessly(session)

    await run_with_deadline(connections.write(write_and_count))

    assert await count_counters(connections) == 0
    await connections.write(write_counter)
    assert await count_counters(connections) == 1


async def test_a_write_whose_statements_end_before_the_deadline_and_its_commit_after_it_is_rolled_back(
    connections: Connections,
) -> None:
    loop = asyncio.get_running_loop()

    async def write_and_wait(session: DatabaseSession) -> None:
        await write_counter(session)
        is_late = asyncio.Event()
        loop.call_later(2 * DEADLINE_SECONDS, is_late.set)
        await is_late.wait()

    await run_with_deadline(connections.write(write_and_wait))

    assert await count_counters(connections) == 0
    await connections.write(write_counter)


async def test_a_write_does_not_wait_beyond_its_deadline_for_another_process(
    connections: Connections, sqlite_url: str
) -> None:
    holder = sqlite3.connect(get_sqlite_path(sqlite_url), isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    set_call_deadline(DEADLINE_SECONDS)
    began = asyncio.get_running_loop().time()
    with pytest.raises(StoreUnavailableError):
        await connections.write(write_counter)
    set_call_deadline(None)

    assert asyncio.get_running_loop().time() - began < 5
    holder.execute("ROLLBACK")
    holder.close()
    assert await count_counters(connections) == 0
    await connections.write(write_counter)


async def test_a_write_does_not_wait_beyond_its_deadline_for_a_handlers_transaction(connections: Connections) -> None:
    async with connections.transaction():
        await asyncio.create_task(write_in_vain(connections))

    await connections.write(write_counter)
    assert await count_counters(connections) == 1


async def write_in_vain(connections: Connections) -> None:
    """Write as a request does, whose task is none of a handler's."""
    handler_transaction.set(None)
    await run_with_deadline(connections.write(write_counter))
