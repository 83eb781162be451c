"""Limits over several executors that are killed: never one too many at once, and never a slot that stays taken."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from random import Random

import pytest

from tests.faults.fault_harness import REAL_CLOCK, FaultHarness, open_fault_harness
from tests.faults.processes import ManagedProcess, StartProcess

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

TRAVELLER_COUNT = 80
COMPANIES = 12
CLOCK_MICROSECONDS = 5_000
"""By how much the clocks of two executors may differ: they are set by the same server."""


async def test_never_more_run_at_once_than_the_limit_says_while_executors_are_killed(
    database_url: str, start_process: StartProcess, seeded_random: Random
) -> None:
    async with open_fault_harness(database_url, "toll") as seen:
        executors = list(await asyncio.gather(*(start_executor(start_process, database_url) for _ in range(4))))
        await seen.create_instances(
            "Toll", [{"company": f"company-{number % COMPANIES}"} for number in range(TRAVELLER_COUNT)]
        )
        for _ in range(2):
            await REAL_CLOCK.sleep(0.2 + seeded_random.random() * 0.5)
            await executors.pop(seeded_random.randrange(len(executors))).kill()
            executors.append(await start_executor(start_process, database_url))
        await seen.wait_until_all_end(timeout_seconds=180)

        await seen.check_consistency()
        runs = await read_runs(seen)
        assert count_most_at_once((began, ended) for state, _, began, ended in runs if state == "wait_in_line") == 4
        for company in {company for _, company, _, _ in runs}:
            own = [(began, ended) for state, name, began, ended in runs if (state, name) == ("pay", company)]
            assert count_most_at_once(own) == 1
        assert not await seen.fetch_rows("SELECT id FROM flowlet_workflow WHERE gate IS NOT NULL")


async def start_executor(start_process: StartProcess, url: str) -> ManagedProcess:
    """Start an executor with a short lease, and wait until it runs."""
    executor = await start_process("run_executor.py", "toll", database_url=url, lease="6s", crash_limit="50", slots="8")
    await executor.wait_for_lines(" runs Toll")
    return executor


async def read_runs(harness: FaultHarness) -> list[tuple[str, str, int, int]]:
    """Return each run of a handler by the history: its state, the company, when it began, and when it ended."""
    sql = (
        "SELECT a.from_state, w.vars, a.at, a.duration_ms FROM flowlet_action a "
        "JOIN flowlet_workflow w ON w.id = a.workflow_id WHERE a.kind = 'TRANSITION'"
    )
    return [
        (state, vars, at - duration * 1_000 + CLOCK_MICROSECONDS, at)
        for state, vars, at, duration in await harness.fetch_rows(sql)
    ]


def count_most_at_once(runs: Iterable[tuple[int, int]]) -> int:
    """Return how many runs there were at most at one time."""
    changes = sorted(change for began, ended in runs for change in ((began, 1), (ended, -1)))
    most = now = 0
    for _, step in changes:
        now += step
        most = max(most, now)
    return most
