"""Creates that race: one external id has one instance, and SQLite is never locked for long."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from flowlet.operations import Operations
from tests.faults.checking import Bench, bench
from tests.faults.processes import Start

pytestmark = pytest.mark.faults

NAME = "order-1"


async def test_fifty_clients_that_create_one_external_id_get_one_instance(database_url: str) -> None:
    async with bench(database_url, "errand") as seen:
        made = await asyncio.gather(*(create_in_own_transaction(seen, NAME) for _ in range(50)))

        assert len({id for id, _ in made}) == 1
        assert [is_new for _, is_new in made].count(True) == 1
        assert await instances_and_lines(seen) == (1, 1)


async def test_fifty_clients_whose_creates_are_one_batch_get_one_instance(database_url: str) -> None:
    async with bench(database_url, "errand") as seen:
        operations = Operations(seen.store, seen.registry)

        made = await asyncio.gather(*(operations.create("Errand", external_id=NAME) for _ in range(50)))

        assert len({one.id for one in made}) == 1
        assert [one.is_new for one in made].count(True) == 1
        assert await instances_and_lines(seen) == (1, 1)


async def test_processes_that_create_one_external_id_get_one_instance(database_url: str, run: Start) -> None:
    processes = [await run("creating.py", "50", NAME, database_url=database_url) for _ in range(4)]

    codes = [await process.ended() for process in processes]

    assert codes == [0] * 4
    made = Counter(line for process in processes for line in process.having("created "))
    assert sorted(made.values()) == [1, 199]
    async with bench(database_url, "errand") as seen:
        assert await instances_and_lines(seen) == (1, 1)


async def test_a_thousand_creates_at_once_never_find_sqlite_locked(sqlite_url: str) -> None:
    async with bench(sqlite_url, "errand") as seen:
        made = await asyncio.gather(*(create_in_own_transaction(seen, f"order-{place}") for place in range(1000)))

        assert all(is_new for _, is_new in made)
        assert await instances_and_lines(seen) == (1000, 1000)


async def test_four_processes_of_250_creates_never_find_sqlite_locked(sqlite_url: str, run: Start) -> None:
    processes = [await run("creating.py", "250", database_url=sqlite_url) for _ in range(4)]

    codes = [await process.ended() for process in processes]

    assert codes == [0] * 4
    async with bench(sqlite_url, "errand") as seen:
        assert await instances_and_lines(seen) == (1000, 1000)


async def create_in_own_transaction(seen: Bench, external_id: str) -> tuple[int, bool]:
    """Create one instance in a transaction of its own; return its id and whether it is new."""
    now = seen.store.clock.now()
    new = seen.registry.definition("Errand").new_instance(None, now=now, external_id=external_id)
    (created,) = await seen.store.instances.create([new], now=now)
    return created.id, created.is_new


async def instances_and_lines(seen: Bench) -> tuple[int, int]:
    """Return how many instances there are, and how many lines of history."""
    return await seen.count("1 = 1"), (await seen.rows("SELECT COUNT(*) FROM workflow_action"))[0][0]
