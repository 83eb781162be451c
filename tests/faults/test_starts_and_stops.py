"""Executors that are told to stop, and starts that are killed while they make the tables."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from tests.faults.checking import CLOCK, WORKFLOWS, bench
from tests.faults.processes import Start

pytestmark = pytest.mark.faults

ERRANDS = 1000
KILLS = 8


async def test_sigterm_under_load_drains_and_leaves_the_rest_for_others(database_url: str, run: Start) -> None:
    async with bench(database_url, "errand") as seen:
        first = await run("serving.py", "errand", database_url=database_url, slots="64")
        await seen.create("Errand", [{}] * ERRANDS)
        await first.says("ran ", times=100)

        first.send(signal.SIGTERM)

        assert await first.ended() == 0
        assert first.having("the end")
        assert await seen.count("executor_id IS NOT NULL OR status = 'EXECUTING'") == 0
        assert await seen.rows("SELECT status FROM executor") == [("STOPPED",)]
        assert await seen.count("status <> 'FINISHED'") > 0, "it was not under load"

        second = await run("serving.py", "errand", database_url=database_url)
        await seen.all_end(within=30)
        await seen.check()
        runs = Counter(first.having("ran ") + second.having("ran "))
        assert len(runs) == runs.total() == 3 * ERRANDS


async def test_a_second_sigterm_stops_at_once_and_hands_back(database_url: str, run: Start, tmp_path: Path) -> None:
    async with bench(database_url, "vigil") as seen:
        executor = await run("serving.py", "vigil", database_url=database_url, grace="5m")
        await seen.create("Vigil", [{"until": str(tmp_path / "never")}] * 10)
        await executor.says(" watch ", times=10)

        executor.send(signal.SIGTERM)
        await executor.says("10 activations are running")
        executor.send(signal.SIGTERM)

        assert await executor.ended(within=5) == 0
        assert await seen.count("executor_id IS NULL AND status = 'IN_PROGRESS' AND crashes = 0") == 10
        assert await seen.rows("SELECT status FROM executor") == [("STOPPED",)]


async def test_a_handler_in_a_thread_that_never_ends_does_not_keep_the_process_after_the_grace_period(
    sqlite_url: str, run: Start
) -> None:
    async with bench(sqlite_url, "stuck") as seen:
        module = str(WORKFLOWS / "stuck.py")
        executor = await run("flowlet", "serve", module, database_url=sqlite_url, grace="1s")
        await seen.create("Stuck", [{}])
        await executor.says("ran ")

        executor.send(signal.SIGTERM)

        assert await executor.ended(within=20) == 0
        assert executor.having("leaving 1 handlers behind")
        assert await seen.count("executor_id IS NULL AND status = 'IN_PROGRESS'") == 1


async def test_a_start_that_is_killed_while_it_makes_the_tables_is_made_good_by_the_next(
    database_url: str, run: Start, random: Random
) -> None:
    for _ in range(KILLS):
        start = await run("migrating.py", database_url=database_url)
        await start.says("ready")
        await CLOCK.sleep(random.random() * 0.08)  # making the tables takes from 20 to 60 ms
        await start.kill()

    async with bench(database_url, "errand") as seen:
        await seen.create("Errand", [{}] * 10)
        await run("serving.py", "errand", database_url=database_url)
        await seen.all_end(within=20)
        await seen.check()
