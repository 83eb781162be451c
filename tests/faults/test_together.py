"""Several executors on one database share the work, and do none of it twice."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from tests.faults.checking import bench
from tests.faults.processes import Start

pytestmark = pytest.mark.faults

ERRANDS = 300


async def test_two_executors_run_each_state_once(database_url: str, run: Start) -> None:
    async with bench(database_url, "errand") as seen:
        executors = [await run("serving.py", "errand", database_url=database_url, slots="16") for _ in range(2)]
        await asyncio.gather(*(executor.says(" runs Errand") for executor in executors))

        await seen.create("Errand", [{}] * ERRANDS)
        await seen.all_end(within=30)

        runs = [Counter(executor.having("ran ")) for executor in executors]
        assert all(runs), "one of the two had nothing to do"
        assert Counter(executors[0].having("ran ") + executors[1].having("ran ")).total() == 3 * ERRANDS
        assert not runs[0].keys() & runs[1].keys()
        await seen.check()


async def test_five_executors_that_start_at_once_on_an_empty_database_all_run(database_url: str, run: Start) -> None:
    executors = [await run("serving.py", "errand", database_url=database_url) for _ in range(5)]

    await asyncio.gather(*(executor.says(" runs Errand") for executor in executors))

    async with bench(database_url, "errand") as seen:
        await seen.create("Errand", [{}] * 20)
        await seen.all_end(within=20)
        assert await seen.rows("SELECT COUNT(*) FROM executor WHERE status = 'RUNNING'") == [(5,)]


async def test_a_workflow_that_no_executor_knows_waits_and_says_so(database_url: str, run: Start) -> None:
    async with bench(database_url, "errand", "leg") as seen:
        executor = await run("serving.py", "errand", database_url=database_url, lease="1s")
        await executor.says(" runs Errand")
        await seen.create("Leg", [{"length": 1}])
        await seen.create("Errand", [{}] * 10)

        async def explained() -> bool:
            return await seen.count("workflow_type = 'Leg' AND status = 'NEW' AND reason IS NOT NULL") == 1

        await seen.until(explained, within=20, what="the unknown workflow waits and says why")

        assert executor.is_alive
        assert await seen.count("workflow_type = 'Errand' AND status = 'FINISHED'") == 10


async def test_executors_that_save_the_same_definitions_at_once_save_them_once(database_url: str) -> None:
    async with bench(database_url, "errand", "journey", "leg") as seen:
        definitions, now = seen.registry.definitions, seen.store.clock.now()

        reshaped = await asyncio.gather(*(seen.store.definitions.save(definitions, now=now) for _ in range(20)))

        assert reshaped == [[]] * 20
        shapes = await seen.store.definitions.shapes()
        assert {name: len(found) for (name, _), found in shapes.items()} == {"Errand": 1, "Journey": 1, "Leg": 1}
