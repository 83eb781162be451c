"""An executor that has nothing to do costs next to nothing, at its default settings."""

from __future__ import annotations

import asyncio

import psutil
import pytest

from tests.faults.checking import CLOCK, bench
from tests.faults.processes import Process, Start
from tests.servers import Server

pytestmark = pytest.mark.faults

SECONDS = 25


async def test_an_idle_executor_makes_less_than_one_query_a_second_and_uses_less_than_one_percent_of_a_core(
    sqlite_url: str, postgres_url: str, mariadb_url: str, postgres_server: Server, run: Start
) -> None:
    urls = {"sqlite": sqlite_url, "postgresql": postgres_url, "mariadb": mariadb_url}
    database = postgres_url.rpartition("/")[2]
    postgres_server.program.execute(postgres_url, f"ALTER DATABASE {database} SET log_statement = 'all'")
    executors = {name: await run("serving.py", "errand", database_url=url) for name, url in urls.items()}
    await asyncio.gather(*(settle(executors[name], url) for name, url in urls.items()))

    postgres_server.log.clear()
    before = {name: cpu_seconds(executor) for name, executor in executors.items()}
    await CLOCK.sleep(SECONDS)
    used = {name: cpu_seconds(executor) - before[name] for name, executor in executors.items()}
    statements = [line for line in postgres_server.log if "LOG:  execute" in line or "LOG:  statement" in line]

    assert {name: seconds for name, seconds in used.items() if seconds >= 0.01 * SECONDS} == {}
    assert 0 < len(statements) < SECONDS, "".join(statements)


async def settle(executor: Process, url: str) -> None:
    """Let an executor run what there is, so that its connections are open and its code is loaded."""
    await executor.says(" runs Errand")
    async with bench(url, "errand") as seen:
        await seen.create("Errand", [{}] * 20)
        await seen.all_end(within=20)


def cpu_seconds(executor: Process) -> float:
    """Return the processor time that a process has used."""
    times = psutil.Process(executor.pid).cpu_times()
    return float(times.user + times.system)
