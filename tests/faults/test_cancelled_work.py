"""Units of work that are cancelled at any moment lose no connection, and commit both of their rows or none."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest

from flowlet.store.connection import Connections, Session
from tests.faults.checking import CLOCK, bench

pytestmark = pytest.mark.faults

UNITS = 400
AT_ONCE = 25
INSERT = "INSERT INTO pair (unit, half) VALUES (:unit, :half)"


async def test_cancelled_units_of_work_lose_no_connection_and_commit_no_half(database_url: str, random: Random) -> None:
    async with bench(database_url) as seen:
        connections = seen.store.connections
        await seen.execute("CREATE TABLE pair (unit integer NOT NULL, half integer NOT NULL)")

        outcomes: list[bool] = []
        for first in range(0, UNITS, AT_ONCE):
            numbers = range(first, first + AT_ONCE)
            outcomes += await asyncio.gather(*(cancelled_at_random(connections, unit, random) for unit in numbers))
        await all_connections_work(connections)

        halves = Counter(unit for (unit,) in await seen.rows("SELECT unit FROM pair"))
        assert set(halves.values()) == {2}
        assert {unit for unit, is_done in enumerate(outcomes) if is_done} <= halves.keys()
        assert 0 < outcomes.count(False) < UNITS, "the cancels all came too early, or too late"


async def cancelled_at_random(connections: Connections, unit: int, random: Random) -> bool:
    """Begin a unit of work, cancel it once or twice some milliseconds later; return whether it was quicker."""
    task = asyncio.create_task(random.choice(UNITS_OF_WORK)(connections, unit))
    for _ in range(random.randint(1, 2)):
        await CLOCK.sleep(random.random() * 0.02)
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return not task.cancelled()


async def in_write(connections: Connections, unit: int) -> None:
    await connections.write(lambda session: both(session, unit))


async def in_run(connections: Connections, unit: int) -> None:
    async def work(session: Session) -> None:
        await session.execute(session.dialect.begin)
        await both(session, unit)
        await session.execute("COMMIT")

    await connections.run(work)


async def in_transaction(connections: Connections, unit: int) -> None:
    async with connections.transaction() as session:
        await both(session, unit)


UNITS_OF_WORK = (in_write, in_run, in_transaction, in_transaction)


async def both(session: Session, unit: int) -> None:
    """Write both rows of a unit."""
    for half in (1, 2):
        await session.execute(INSERT, {"unit": unit, "half": half})


async def all_connections_work(connections: Connections) -> None:
    """Use every connection of both pools at the same time."""
    dialect = connections.dialect
    sizes = [int(dialect.options(for_engine=for_engine).get("max_size", 1)) for for_engine in (False, True)]
    async with asyncio.timeout(20):
        await asyncio.gather(at_once(connections.read, sizes[0]), at_once(connections.run, sizes[1]))


async def at_once(take: Callable[[Callable[[Session], Awaitable[Any]]], Awaitable[Any]], size: int) -> None:
    """Take so many connections, and give none back before all have been used."""
    barrier = asyncio.Barrier(size)

    async def work(session: Session) -> None:
        await session.rows("SELECT COUNT(*) FROM pair")
        await barrier.wait()

    await asyncio.gather(*(take(work) for _ in range(size)))
