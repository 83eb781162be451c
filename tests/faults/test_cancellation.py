"""Units of work that are cancelled at any moment lose no connection, and commit both of their rows or none."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest

from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession
from tests.faults.fault_harness import REAL_CLOCK, open_fault_harness

pytestmark = pytest.mark.faults

UNIT_COUNT = 400
CONCURRENT_UNITS = 25
MEASURED_UNITS = 100
"""After how many units their duration is measured again."""
INSERT_SQL = "INSERT INTO pair (unit, half) VALUES (:unit, :half)"


async def test_cancelled_units_of_work_lose_no_connection_and_commit_no_half(
    database_url: str, seeded_random: Random
) -> None:
    async with open_fault_harness(database_url) as seen:
        connections = seen.store.connections
        await seen.execute_sql("CREATE TABLE pair (unit integer NOT NULL, half integer NOT NULL)")

        outcomes: list[bool] = []
        for first in range(0, UNIT_COUNT, CONCURRENT_UNITS):
            if first % MEASURED_UNITS == 0:  # how long they take depends on what else the machine does
                seconds = await measure_units(connections, seeded_random)
            numbers = range(first, first + CONCURRENT_UNITS)
            outcomes += await asyncio.gather(
                *(cancel_at_random(connections, unit, seeded_random, seconds) for unit in numbers)
            )
        await use_all_connections(connections)

        halves = Counter(unit for (unit,) in await seen.fetch_rows("SELECT unit FROM pair"))
        assert set(halves.values()) == {2}
        assert {unit for unit, is_done in enumerate(outcomes) if is_done} <= halves.keys()
        assert 0 < outcomes.count(False) < UNIT_COUNT, "the cancels all came too early, or too late"


async def measure_units(connections: Connections, random: Random) -> float:
    """Return how many seconds as many units of work take as run at once, all of them together."""
    began = REAL_CLOCK.monotonic()
    await asyncio.gather(
        *(random.choice(UNITS_OF_WORK)(connections, UNIT_COUNT + unit) for unit in range(CONCURRENT_UNITS))
    )
    await connections.write(lambda session: session.execute(f"DELETE FROM pair WHERE unit >= {UNIT_COUNT}"))
    return REAL_CLOCK.monotonic() - began


async def cancel_at_random(connections: Connections, unit: int, random: Random, seconds: float) -> bool:
    """Begin a unit of work, cancel it once or twice within some seconds; return whether it was quicker."""
    task = asyncio.create_task(random.choice(UNITS_OF_WORK)(connections, unit))
    for _ in range(random.randint(1, 2)):
        await REAL_CLOCK.sleep(random.random() * seconds)
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return not task.cancelled()


async def insert_by_write(connections: Connections, unit: int) -> None:
    await connections.write(lambda session: insert_both_rows(session, unit))


async def insert_by_run(connections: Connections, unit: int) -> None:
    async def insert_pair(session: DatabaseSession) -> None:
        await session.execute(session.dialect.connections.begin_sql)
        await insert_both_rows(session, unit)
        await session.execute("COMMIT")

    await connections.run_on_engine(insert_pair)


async def insert_by_transaction(connections: Connections, unit: int) -> None:
    async with connections.transaction() as session:
        await insert_both_rows(session, unit)


UNITS_OF_WORK = (insert_by_write, insert_by_run, insert_by_transaction, insert_by_transaction)


async def insert_both_rows(session: DatabaseSession, unit: int) -> None:
    """Write both rows of a unit."""
    for half in (1, 2):
        await session.execute(INSERT_SQL, {"unit": unit, "half": half})


async def use_all_connections(connections: Connections) -> None:
    """Use every connection of both pools at the same time."""
    dialect = connections.dialect
    sizes = [
        int(dialect.connections.build_options(connections.url, for_engine=for_engine).get("max_size", 1))
        for for_engine in (False, True)
    ]
    async with asyncio.timeout(20):
        await asyncio.gather(
            use_concurrently(connections.read, sizes[0]), use_concurrently(connections.run_on_engine, sizes[1])
        )


async def use_concurrently(
    run_session: Callable[[Callable[[DatabaseSession], Awaitable[Any]]], Awaitable[Any]], pool_size: int
) -> None:
    """Take so many connections, and give none back before all have been used."""
    barrier = asyncio.Barrier(pool_size)

    async def wait_in_session(session: DatabaseSession) -> None:
        await session.fetch_rows("SELECT COUNT(*) FROM pair")
        await barrier.wait()

    await asyncio.gather(*(run_session(wait_in_session) for _ in range(pool_size)))
