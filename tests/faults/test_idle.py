"""A process that has nothing to do costs next to nothing at its default settings, also with an open page."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import psutil
import pytest

from tests.faults.fault_harness import REAL_CLOCK
from tests.faults.processes import StartProcess
from tests.faults.test_commit_signal import open_page
from tests.faults.test_waiters import ServedProcess, serve_process

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

MEASURED_SECONDS = 10
EDGE_STATEMENTS = 2
"""How many statements more may fall into a length of time."""
SETTLING_SECONDS = 12
"""After a commit skipped ids are looked for, and a database that is polled counts as busy, for ten seconds."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process cost while it was measured."""

    statement_count: int
    cpu_seconds: float


async def test_an_idle_process_costs_next_to_nothing_and_an_open_page_one_statement_a_second_more(
    sqlite_url: str, postgres_url: str, mariadb_url: str, start_process: StartProcess
) -> None:
    urls = {"sqlite": sqlite_url, "postgresql": postgres_url, "mariadb": mariadb_url}
    measured = await asyncio.gather(*(measure_costs(url, start_process) for url in urls.values()))
    costs = dict(zip(urls, measured, strict=True))

    # MariaDB cannot notify, and is polled: at most every 200 ms.
    limits = {"sqlite": 1, "postgresql": 1, "mariadb": 6}
    idle = {name: alone for name, (alone, _) in costs.items()}
    assert {name: cost for name, cost in idle.items() if cost.statement_count >= limits[name] * MEASURED_SECONDS} == {}
    assert {name: cost for name, cost in idle.items() if cost.cpu_seconds >= 0.02 * MEASURED_SECONDS} == {}
    # On a busy machine an idle process polls less often than every 200 ms: the two numbers are not subtracted.
    with_page = {name: watched.statement_count for name, (_, watched) in costs.items()}
    most = {name: (limit + 1) * MEASURED_SECONDS + EDGE_STATEMENTS for name, limit in limits.items()}
    assert {name: count for name, count in with_page.items() if count > most[name]} == {}


async def measure_costs(url: str, start_process: StartProcess) -> tuple[Cost, Cost]:
    """Return what an idle process with an executor costs, without an open page and with one."""
    async with serve_process(url, start_process, max_waiters=10) as web:
        await web.harness.create_instances("Errand", [{}] * 20)
        await web.harness.wait_until_all_end(timeout_seconds=20)
        await REAL_CLOCK.sleep(SETTLING_SECONDS)
        alone = await measure_cost(web)
        async with open_page(web) as lines:
            await anext(lines)
            await REAL_CLOCK.sleep(1)
            return alone, await measure_cost(web)


async def measure_cost(web: ServedProcess) -> Cost:
    statements, cpu_seconds = await read_totals(web)
    await REAL_CLOCK.sleep(MEASURED_SECONDS)
    statements_after, cpu_seconds_after = await read_totals(web)
    return Cost(statements_after - statements, cpu_seconds_after - cpu_seconds)


async def read_totals(web: ServedProcess) -> tuple[int, float]:
    times = psutil.Process(web.process.pid).cpu_times()
    return (await web.read_counts())[1], float(times.user + times.system)
