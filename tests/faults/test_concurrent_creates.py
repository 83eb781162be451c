"""Creates that race: one external id has one instance, and SQLite is never locked for long."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from flowlet.operations.service import Operations
from tests.faults.fault_harness import FaultHarness, open_fault_harness
from tests.faults.processes import StartProcess

pytestmark = pytest.mark.faults

EXTERNAL_ID = "order-1"


async def test_fifty_clients_that_create_one_external_id_get_one_instance(database_url: str) -> None:
    async with open_fault_harness(database_url, "errand") as seen:
        made = await asyncio.gather(*(create_in_own_transaction(seen, EXTERNAL_ID) for _ in range(50)))

        assert len({id for id, _ in made}) == 1
        assert [is_new for _, is_new in made].count(True) == 1
        assert await count_instances_and_actions(seen) == (1, 1)


async def test_fifty_clients_whose_creates_are_one_batch_get_one_instance(database_url: str) -> None:
    async with open_fault_harness(database_url, "errand") as seen:
        operations = Operations(seen.store, seen.registry)

        made = await asyncio.gather(*(operations.create("Errand", external_id=EXTERNAL_ID) for _ in range(50)))

        assert len({one.id for one in made}) == 1
        assert [one.is_new for one in made].count(True) == 1
        assert await count_instances_and_actions(seen) == (1, 1)


async def test_processes_that_create_one_external_id_get_one_instance(
    database_url: str, start_process: StartProcess
) -> None:
    processes = [
        await start_process("create_instances.py", "50", EXTERNAL_ID, database_url=database_url) for _ in range(4)
    ]

    codes = [await process.wait_for_exit() for process in processes]

    assert codes == [0] * 4
    made = Counter(line for process in processes for line in process.find_lines("created "))
    assert sorted(made.values()) == [1, 199]
    async with open_fault_harness(database_url, "errand") as seen:
        assert await count_instances_and_actions(seen) == (1, 1)


async def test_a_thousand_creates_at_once_never_find_sqlite_locked(sqlite_url: str) -> None:
    async with open_fault_harness(sqlite_url, "errand") as seen:
        made = await asyncio.gather(*(create_in_own_transaction(seen, f"order-{place}") for place in range(1000)))

        assert all(is_new for _, is_new in made)
        assert await count_instances_and_actions(seen) == (1000, 1000)


async def test_four_processes_of_250_creates_never_find_sqlite_locked(
    sqlite_url: str, start_process: StartProcess
) -> None:
    processes = [await start_process("create_instances.py", "250", database_url=sqlite_url) for _ in range(4)]

    codes = [await process.wait_for_exit() for process in processes]

    assert codes == [0] * 4
    async with open_fault_harness(sqlite_url, "errand") as seen:
        assert await count_instances_and_actions(seen) == (1000, 1000)


async def create_in_own_transaction(harness: FaultHarness, external_id: str) -> tuple[int, bool]:
    """Create one instance in a transaction of its own; return its id and whether it is new."""
    now = harness.store.clock.now()
    new = harness.registry.get_definition("Errand").build_instance(None, now=now, external_id=external_id)
    (created,) = await harness.store.instances.create([new], now=now)
    return created.id, created.is_new


async def count_instances_and_actions(harness: FaultHarness) -> tuple[int, int]:
    """Return how many instances there are, and how many lines of history."""
    return await harness.count_instances("1 = 1"), (await harness.fetch_rows("SELECT COUNT(*) FROM flowlet_action"))[0][
        0
    ]
