"""Three processes on PostgreSQL hear of each other's commits at once, also after their connections were killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import median

import httpx
import orjson
import pytest

from flowlet.operations.service import Operations
from tests.faults.fault_harness import REAL_CLOCK, FaultHarness
from tests.faults.processes import ManagedProcess, StartProcess
from tests.faults.test_waiters import ServedProcess, serve_process

pytestmark = pytest.mark.faults

LISTENERS = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
    "AND (query LIKE 'LISTEN%' OR query LIKE '%-- LISTEN') ORDER BY pid"
)
MAX_MILLISECONDS = 100
TRIES = 15


@asynccontextmanager
async def open_page(web: ServedProcess) -> AsyncIterator[AsyncIterator[str]]:
    """Follow the events as an open page does, for the length of the block; yield the lines of the stream."""
    async with (
        httpx.AsyncClient(base_url=web.base_url, trust_env=False, headers={"X-API-Key": web.key}) as client,
        client.stream("GET", "/api/events", params={"type": "CREATED"}, timeout=30) as answer,
    ):
        yield answer.aiter_lines()


async def measure_wakeups(
    harness: FaultHarness, executors: list[ManagedProcess], page: AsyncIterator[str]
) -> tuple[float, float]:
    """Return after how many milliseconds a handler runs, and the page hears, in other processes: the medians."""
    operations, runs, events = Operations(harness.store, harness.registry), list[float](), list[float]()
    for _ in range(TRIES):
        before = [len(executor.find_lines(" leave ")) for executor in executors]
        began = REAL_CLOCK.monotonic()
        created = await operations.create("Errand")
        heard = asyncio.create_task(_wait_for_event(page, created.id))
        running = [
            asyncio.create_task(executor.wait_for_lines(" leave ", times=count + 1))
            for executor, count in zip(executors, before, strict=True)
        ]
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED, timeout=20)
        runs.append((REAL_CLOCK.monotonic() - began) * 1000)
        async with asyncio.timeout(20):
            events.append((await heard - began) * 1000)
        for task in running:
            task.cancel()
        await REAL_CLOCK.sleep(0.15)
    return median(runs), median(events)


async def _wait_for_event(page: AsyncIterator[str], id: int) -> float:
    async for line in page:
        if line.startswith("data: ") and orjson.loads(line[6:])["workflowId"] == id:
            return REAL_CLOCK.monotonic()
    raise AssertionError("the stream has ended")


async def test_after_their_connections_were_killed_processes_hear_of_each_other_within_100_ms(
    postgres_url: str, start_process: StartProcess
) -> None:
    async with serve_process(postgres_url, start_process, max_waiters=10) as web:
        executors = [await start_process("run_executor.py", "errand", database_url=postgres_url) for _ in range(2)]
        for executor in executors:
            await executor.wait_for_lines(" runs Errand")
        async with open_page(web) as page:
            before = await _wait_for_listeners(web.harness, set())
            await measure_wakeups(web.harness, [web.process, *executors], page)

            await web.harness.fetch_rows(f"SELECT pg_terminate_backend(pid) FROM ({LISTENERS}) listeners")
            await _wait_for_listeners(web.harness, before)
            runs, events = await measure_wakeups(web.harness, [web.process, *executors], page)

        assert len(before) == 3
        assert max(runs, events) < MAX_MILLISECONDS
        await web.harness.wait_until_all_end(timeout_seconds=20)


async def _wait_for_listeners(harness: FaultHarness, gone: set[int]) -> set[int]:
    """Return the connections that listen, as soon as each of the three processes has one that is not gone."""
    found: set[int] = set()

    async def has_three() -> bool:
        found.clear()
        found.update(row[0] for row in await harness.fetch_rows(LISTENERS))
        return len(found) == 3 and not found & gone

    await harness.wait_until(has_three, timeout_seconds=5, description="three processes listen")
    return found
