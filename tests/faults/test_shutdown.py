"""Executors that are stopped by a signal, and starts that are killed while they create the tables."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from tests.faults.fault_harness import REAL_CLOCK, WORKFLOWS, open_fault_harness
from tests.faults.processes import StartProcess

pytestmark = pytest.mark.faults

ERRAND_COUNT = 1000
KILL_COUNT = 6


async def test_sigterm_under_load_drains_and_leaves_the_rest_for_others(
    database_url: str, start_process: StartProcess
) -> None:
    async with open_fault_harness(database_url, "errand") as seen:
        first = await start_process("run_executor.py", "errand", database_url=database_url, slots="64")
        await seen.create_instances("Errand", [{}] * ERRAND_COUNT)
        await first.wait_for_lines("ran ", times=100)

        first.send_signal(signal.SIGTERM)

        assert await first.wait_for_exit() == 0
        assert first.find_lines("the end")
        assert await seen.count_instances("executor_id IS NOT NULL OR status = 'EXECUTING'") == 0
        assert await seen.fetch_rows("SELECT status FROM flowlet_executor") == [("STOPPED",)]
        assert await seen.count_instances("status <> 'FINISHED'") > 0, "it was not under load"

        second = await start_process("run_executor.py", "errand", database_url=database_url)
        await seen.wait_until_all_end(timeout_seconds=30)
        await seen.check_consistency()
        runs = Counter(first.find_lines("ran ") + second.find_lines("ran "))
        assert len(runs) == runs.total() == 3 * ERRAND_COUNT


async def test_a_second_sigterm_stops_at_once_and_hands_back(
    database_url: str, start_process: StartProcess, tmp_path: Path
) -> None:
    async with open_fault_harness(database_url, "vigil") as seen:
        executor = await start_process("run_executor.py", "vigil", database_url=database_url, grace="5m")
        await seen.create_instances("Vigil", [{"until": str(tmp_path / "never")}] * 10)
        await executor.wait_for_lines(" watch ", times=10)

        executor.send_signal(signal.SIGTERM)
        await executor.wait_for_lines("10 activations are running")
        executor.send_signal(signal.SIGTERM)

        assert await executor.wait_for_exit(timeout_seconds=5) == 0
        assert await seen.count_instances("executor_id IS NULL AND status = 'IN_PROGRESS' AND crashes = 0") == 10
        assert await seen.fetch_rows("SELECT status FROM flowlet_executor") == [("STOPPED",)]


async def test_a_handler_in_a_thread_that_never_ends_does_not_keep_the_process_after_the_grace_period(
    sqlite_url: str, start_process: StartProcess
) -> None:
    async with open_fault_harness(sqlite_url, "stuck") as seen:
        module = str(WORKFLOWS / "stuck.py")
        executor = await start_process("flowlet", "serve", module, database_url=sqlite_url, grace="1s")
        await seen.create_instances("Stuck", [{}])
        await executor.wait_for_lines("ran ")

        executor.send_signal(signal.SIGTERM)

        assert await executor.wait_for_exit(timeout_seconds=20) == 0
        assert executor.find_lines("exiting while 1 handlers still run")
        assert await seen.count_instances("executor_id IS NULL AND status = 'IN_PROGRESS'") == 1


async def test_a_start_that_is_killed_while_it_makes_the_tables_is_made_good_by_the_next(
    empty_database_url: str, start_process: StartProcess, seeded_random: Random
) -> None:
    for _ in range(KILL_COUNT):
        start = await start_process("migrate_database.py", database_url=empty_database_url)
        await start.wait_for_lines("ready")
        await REAL_CLOCK.sleep(seeded_random.random() * 0.08)  # making the tables takes from 20 to 60 ms
        await start.kill()

    async with open_fault_harness(empty_database_url, "errand") as seen:
        await seen.create_instances("Errand", [{}] * 10)
        await start_process("run_executor.py", "errand", database_url=empty_database_url)
        await seen.wait_until_all_end(timeout_seconds=20)
        await seen.check_consistency()
