"""Several executors on one database share the work, and do none of it twice."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from tests.faults.fault_harness import open_fault_harness
from tests.faults.processes import StartProcess

pytestmark = pytest.mark.faults

ERRAND_COUNT = 300


async def test_two_executors_run_each_state_once(database_url: str, start_process: StartProcess) -> None:
    async with open_fault_harness(database_url, "errand") as seen:
        executors = [
            await start_process("run_executor.py", "errand", database_url=database_url, slots="16") for _ in range(2)
        ]
        await asyncio.gather(*(executor.wait_for_lines(" runs Errand") for executor in executors))

        await seen.create_instances("Errand", [{}] * ERRAND_COUNT)
        await seen.wait_until_all_end(timeout_seconds=30)

        runs = [Counter(executor.find_lines("ran ")) for executor in executors]
        assert all(runs), "one of the two had nothing to do"
        assert Counter(executors[0].find_lines("ran ") + executors[1].find_lines("ran ")).total() == 3 * ERRAND_COUNT
        assert not runs[0].keys() & runs[1].keys()
        await seen.check_consistency()


async def test_five_executors_that_start_at_once_on_an_empty_database_all_run(
    empty_database_url: str, start_process: StartProcess
) -> None:
    executors = [await start_process("run_executor.py", "errand", database_url=empty_database_url) for _ in range(5)]

    await asyncio.gather(*(executor.wait_for_lines(" runs Errand") for executor in executors))

    async with open_fault_harness(empty_database_url, "errand") as seen:
        await seen.create_instances("Errand", [{}] * 20)
        await seen.wait_until_all_end(timeout_seconds=20)
        assert await seen.fetch_rows("SELECT COUNT(*) FROM flowlet_executor WHERE status = 'RUNNING'") == [(5,)]


async def test_a_workflow_that_no_executor_knows_waits_and_says_so(
    database_url: str, start_process: StartProcess
) -> None:
    async with open_fault_harness(database_url, "errand", "leg") as seen:
        executor = await start_process("run_executor.py", "errand", database_url=database_url, lease="1s")
        await executor.wait_for_lines(" runs Errand")
        await seen.create_instances("Leg", [{"length": 1}])
        await seen.create_instances("Errand", [{}] * 10)

        async def check_query_plan() -> bool:
            return await seen.count_instances("workflow_type = 'Leg' AND status = 'NEW' AND reason IS NOT NULL") == 1

        await seen.wait_until(
            check_query_plan, timeout_seconds=20, description="the unknown workflow waits and says why"
        )

        assert executor.is_alive
        assert await seen.count_instances("workflow_type = 'Errand' AND status = 'FINISHED'") == 10


async def test_executors_that_save_the_same_definitions_at_once_save_them_once(database_url: str) -> None:
    async with open_fault_harness(database_url, "errand", "journey", "leg") as seen:
        definitions, now = seen.registry.definitions, seen.store.clock.now()

        reshaped = await asyncio.gather(
            *(seen.store.definitions.save_definitions(definitions, now=now) for _ in range(20))
        )

        assert reshaped == [[]] * 20
        shapes = await seen.store.definitions.read_documents()
        assert {name: len(found) for (name, _), found in shapes.items()} == {"Errand": 1, "Journey": 1, "Leg": 1}
