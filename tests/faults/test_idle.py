"""An executor that has nothing to do costs next to nothing, at its default settings."""

from __future__ import annotations

import asyncio

import psutil
import pytest

from tests.database_servers import DatabaseServer
from tests.faults.fault_harness import REAL_CLOCK, open_fault_harness
from tests.faults.processes import ManagedProcess, StartProcess
from tests.faults.test_commit_signal import open_page
from tests.faults.test_waiters import ServedProcess, serve_process

pytestmark = pytest.mark.faults

MEASURED_SECONDS = 25
PAGE_SECONDS = 15
SETTLING_SECONDS = 12
"""After a commit skipped ids are looked for, and a database that is polled counts as busy, for ten seconds."""


async def test_an_idle_executor_makes_less_than_one_query_a_second_and_uses_less_than_one_percent_of_a_core(
    sqlite_url: str, postgres_url: str, mariadb_url: str, postgres_server: DatabaseServer, start_process: StartProcess
) -> None:
    urls = {"sqlite": sqlite_url, "postgresql": postgres_url, "mariadb": mariadb_url}
    database = postgres_url.rpartition("/")[2]
    postgres_server.program.execute_statement(postgres_url, f"ALTER DATABASE {database} SET log_statement = 'all'")
    executors = {name: await start_process("run_executor.py", "errand", database_url=url) for name, url in urls.items()}
    await asyncio.gather(*(warm_up_executor(executors[name], url) for name, url in urls.items()))

    postgres_server.log.clear()
    before = {name: read_cpu_seconds(executor) for name, executor in executors.items()}
    await REAL_CLOCK.sleep(MEASURED_SECONDS)
    used = {name: read_cpu_seconds(executor) - before[name] for name, executor in executors.items()}
    statements = [line for line in postgres_server.log if "LOG:  execute" in line or "LOG:  statement" in line]

    assert {name: seconds for name, seconds in used.items() if seconds >= 0.01 * MEASURED_SECONDS} == {}
    assert 0 < len(statements) < MEASURED_SECONDS, "".join(statements)


@pytest.mark.timeout(180)
async def test_an_open_page_costs_an_idle_process_at_most_one_statement_a_second(
    sqlite_url: str, postgres_url: str, mariadb_url: str, start_process: StartProcess
) -> None:
    urls = (sqlite_url, postgres_url, mariadb_url)
    found = await asyncio.gather(*(measure_statements(url, start_process) for url in urls))

    assert [(without, with_page) for without, with_page in found if with_page - without > PAGE_SECONDS] == []


async def measure_statements(url: str, start_process: StartProcess) -> tuple[int, int]:
    """Return how often an idle process with an executor uses its database, without an open page and with one."""
    async with serve_process(url, start_process, max_waiters=10) as web:
        await web.harness.create_instances("Errand", [{}] * 20)
        await web.harness.wait_until_all_end(timeout_seconds=20)
        await REAL_CLOCK.sleep(SETTLING_SECONDS)
        without = await count_statements(web)
        async with open_page(web) as lines:
            await anext(lines)
            await REAL_CLOCK.sleep(1)
            return without, await count_statements(web)


async def count_statements(web: ServedProcess) -> int:
    before = (await web.read_counts())[1]
    await REAL_CLOCK.sleep(PAGE_SECONDS)
    return (await web.read_counts())[1] - before


async def warm_up_executor(executor: ManagedProcess, url: str) -> None:
    """Let an executor run what there is, so that its connections are open and its code is loaded."""
    await executor.wait_for_lines(" runs Errand")
    async with open_fault_harness(url, "errand") as seen:
        await seen.create_instances("Errand", [{}] * 20)
        await seen.wait_until_all_end(timeout_seconds=20)


def read_cpu_seconds(executor: ManagedProcess) -> float:
    """Return the processor time that a process has used."""
    times = psutil.Process(executor.pid).cpu_times()
    return float(times.user + times.system)
